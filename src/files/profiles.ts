// A profile says how files become DAGs: chunk size, fan-out, CID version, and when a directory is split. Two peers that
// add the same files with the same profile get the same CIDs. Both are those of IPIP-499, and Kubo's.
import { FilesError } from './errors.ts'

export interface Profile {
  name: string
  /** CIDs of nodes; raw leaves always have CIDv1. */
  cidVersion: 0 | 1
  /** Leaves are the bytes of the file and nothing else. References need this. */
  rawLeaves: boolean
  chunkBytes: number
  /** Links of a file's inner node, at most. */
  linksMax: number
  /** What is compared with `shardAboveBytes`: the size of the directory's block, or only its names and CIDs. */
  shardBy: 'block-bytes' | 'links-bytes'
  /** A directory larger than this is split into a HAMT. */
  shardAboveBytes: number
}

export const unixfsV1: Profile = {
  name: 'unixfs-v1-2025',
  cidVersion: 1,
  rawLeaves: true,
  chunkBytes: 1024 * 1024,
  linksMax: 1024,
  shardBy: 'block-bytes',
  shardAboveBytes: 256 * 1024,
}

export const unixfsV0: Profile = {
  name: 'unixfs-v0-2015',
  cidVersion: 0,
  rawLeaves: false,
  chunkBytes: 256 * 1024,
  linksMax: 174,
  shardBy: 'links-bytes',
  shardAboveBytes: 256 * 1024,
}

export const defaultProfile = unixfsV1

const profiles = [unixfsV1, unixfsV0]

/** Throws PROFILE_UNKNOWN. */
export function profileNamed(name: string): Profile {
  const profile = profiles.find((known) => known.name === name)
  if (!profile)
    throw new FilesError(
      'PROFILE_UNKNOWN',
      `there is no profile '${name}'; choose ${profiles.map((known) => known.name).join(' or ')}`,
    )
  return profile
}
