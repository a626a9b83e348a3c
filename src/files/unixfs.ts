// UnixFS nodes: what a block says about the file, directory or link that it is. Reading believes nothing: sizes are only
// claims until the blocks below have been seen. Writing sets neither mode nor time, so that CIDs equal Kubo's.
// Format: https://specs.ipfs.tech/unixfs/
import { UnixFS } from 'ipfs-unixfs'
import type { CID } from 'multiformats/cid'
import { Block, codecs } from '../core/block.ts'
import { decodePb, encodePb, type Link } from './dag-pb.ts'
import { FilesError } from './errors.ts'
import { decodedAs } from './links.ts'
import type { Profile } from './profiles.ts'

/** The root of a file, directory or link that was built, as its parent links to it. */
export interface Part {
  cid: CID
  /** Bytes of all blocks at and below it. */
  tsize: number
  /** Bytes of content: 0 for directories. */
  sizeBytes: number
}

export type UnixfsNode =
  /** Content is `data`, then the links' in order, of the sizes that `linkSizes` claims. */
  | { type: 'file'; sizeBytes: number; data: Uint8Array; links: Link[]; linkSizes: number[] }
  | { type: 'directory'; links: Link[] }
  /** One level of a directory split into a HAMT; names begin with their slot. */
  | { type: 'shard'; links: Link[]; slotBits: number }
  | { type: 'symlink'; target: Uint8Array }
  /** Data that is not UnixFS; `links` is empty unless it is dag-pb. */
  | { type: 'node'; links: Link[] }

const nothing = new Uint8Array(0)

/** Throws DAG_INVALID. */
export function unixfsOf(block: Block): UnixfsNode {
  if (block.cid.code === codecs.raw)
    return { type: 'file', sizeBytes: block.bytes.byteLength, data: block.bytes, links: [], linkSizes: [] }
  if (block.cid.code !== codecs.dagPb) return { type: 'node', links: [] }
  const { data, links } = decodedAs(block, decodePb)
  const unixfs = data && unmarshal(data)
  switch (unixfs?.type) {
    case 'file':
    case 'raw':
      return fileOf(block, unixfs, links)
    case 'directory':
      return { type: 'directory', links }
    case 'hamt-sharded-directory':
      return { type: 'shard', links, slotBits: slotBitsOf(block, unixfs) }
    case 'symlink':
      return { type: 'symlink', target: unixfs.data ?? nothing }
    default:
      return { type: 'node', links }
  }
}

function unmarshal(data: Uint8Array): UnixFS | undefined {
  try {
    return UnixFS.unmarshal(data)
  } catch {
    return undefined
  }
}

function fileOf(block: Block, unixfs: UnixFS, links: Link[]): UnixfsNode {
  const linkSizes = unixfs.blockSizes.map(Number)
  const data = unixfs.data ?? nothing
  const sizeBytes = linkSizes.reduce((sum, size) => sum + size, data.byteLength)
  if (linkSizes.length !== links.length || !Number.isSafeInteger(sizeBytes))
    throw new FilesError('DAG_INVALID', `block ${block.cid} is a file whose sizes do not fit its links`)
  return { type: 'file', sizeBytes, data, links, linkSizes }
}

// Kubo's fan-out is 256; the specification allows powers of two up to 1,024.
function slotBitsOf(block: Block, unixfs: UnixFS): number {
  const slotBits = Math.log2(Number(unixfs.fanout ?? 0n))
  if (!Number.isInteger(slotBits) || slotBits < 1 || slotBits > 10)
    throw new FilesError('DAG_INVALID', `block ${block.cid} is a directory with a fan-out of ${unixfs.fanout}`)
  return slotBits
}

/** A leaf of a file. */
export function leafBlock(profile: Profile, bytes: Uint8Array): Block {
  if (profile.rawLeaves) return Block.of(codecs.raw, bytes)
  return nodeBlock(profile, new UnixFS({ type: 'file', data: bytes }), [])
}

/** An inner node of a file. */
export function fileBlock(profile: Profile, parts: Part[]): Block {
  const unixfs = new UnixFS({ type: 'file', blockSizes: parts.map((part) => BigInt(part.sizeBytes)) })
  return nodeBlock(
    profile,
    unixfs,
    parts.map(({ cid, tsize }) => ({ name: '', cid, tsize })),
  )
}

export function directoryBlock(profile: Profile, links: Link[]): Block {
  return nodeBlock(profile, new UnixFS({ type: 'directory' }), links)
}

export function shardBlock(profile: Profile, slots: Uint8Array, links: Link[]): Block {
  const unixfs = new UnixFS({ type: 'hamt-sharded-directory', data: slots, fanout: 256n, hashType: 0x22n })
  return nodeBlock(profile, unixfs, links)
}

export function symlinkBlock(profile: Profile, target: Uint8Array): Block {
  return nodeBlock(profile, new UnixFS({ type: 'symlink', data: target }), [])
}

function nodeBlock(profile: Profile, unixfs: UnixFS, links: Link[]): Block {
  return Block.of(codecs.dagPb, encodePb(unixfs.marshal(), links), profile.cidVersion)
}

/** The part whose root is this block, with these parts below it. */
export function partOf(block: Block, sizeBytes: number, below: { tsize: number }[] = []): Part {
  const tsize = below.reduce((sum, part) => sum + part.tsize, block.bytes.byteLength)
  return { cid: block.cid, tsize, sizeBytes }
}
