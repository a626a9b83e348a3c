// The blocks of a directory from its entries: one block, or a HAMT once the profile's threshold is passed. Pure.
import type { Block } from '../core/block.ts'
import { type PackedLink, unpacked } from './dag-pb.ts'
import { shardBlocks } from './hamt.ts'
import type { Profile } from './profiles.ts'
import { directoryBlock, type Part, partOf } from './unixfs.ts'

/** The blocks, each after those below it; returns the root. Names are different from each other, in any order. */
export function* directoryBlocks(profile: Profile, entries: PackedLink[]): Generator<Block, Part> {
  const namesAndCids = entries.reduce((sum, { name, cid }) => sum + Buffer.byteLength(name) + cid.length, 0)
  // A block has all the names and CIDs in it, so past the threshold there is no need to build it.
  if (namesAndCids <= profile.shardAboveBytes) {
    const block = directoryBlock(profile, entries.toSorted(byNameBytes).map(unpacked))
    if (profile.shardBy === 'links-bytes' || block.bytes.byteLength <= profile.shardAboveBytes) {
      yield block
      return partOf(block, 0, entries)
    }
  }
  return yield* shardBlocks(profile, entries)
}

/** The order of the names' UTF-8 bytes. JavaScript compares UTF-16 units, where surrogates come before U+E000. */
export function byNameBytes(one: { name: string }, other: { name: string }): number {
  const length = Math.min(one.name.length, other.name.length)
  for (let index = 0; index < length; index++) {
    const left = one.name.charCodeAt(index)
    const right = other.name.charCodeAt(index)
    if (left !== right) return codePointRank(left) - codePointRank(right)
  }
  return one.name.length - other.name.length
}

function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}
