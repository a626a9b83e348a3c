// The HAMT that a large directory is split into: each level takes the next bits of the name's murmur3 hash as the slot, a
// slot holds one entry or another level, and links are named by their slot in hexadecimal, before the entry's name.
// All pure. Format: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory
import { murmur364 } from '@multiformats/murmur3'
import type { Block } from '../core/block.ts'
import { type Link, type PackedLink, unpacked } from './dag-pb.ts'
import { FilesError } from './errors.ts'
import type { Profile } from './profiles.ts'
import { type Part, partOf, shardBlock } from './unixfs.ts'

/** Slots of a level that we write: Kubo's figure. With it, a level takes one byte of the hash. */
const slots = 256
const hashBits = 64

interface Hashed {
  /** One byte a character, as in PackedLink. */
  hash: string
  entry: PackedLink
}

/** The blocks of a directory as a HAMT, each after those below it; returns the root. */
export function* shardBlocks(profile: Profile, entries: PackedLink[]): Generator<Block, Part> {
  const hashed = entries.map((entry) => ({ hash: Buffer.from(nameHash(entry.name)).toString('latin1'), entry }))
  hashed.sort((one, other) => (one.hash < other.hash ? -1 : 1))
  return yield* level(profile, hashed, 0)
}

// Sorted by hash, the entries of each slot are neighbours, at every level.
function* level(profile: Profile, entries: Hashed[], depth: number): Generator<Block, Part> {
  const links: Link[] = []
  const field = new Uint8Array(slots / 8)
  if (depth === hashBits / 8)
    throw new FilesError(
      'NAME_INVALID',
      `'${entries[0]!.entry.name}' and '${entries[1]!.entry.name}' have the same hash`,
    )
  for (let from = 0; from < entries.length; ) {
    const slot = entries[from]!.hash.charCodeAt(depth)
    let to = from + 1
    while (to < entries.length && entries[to]!.hash.charCodeAt(depth) === slot) to++
    const prefix = slotName(slot, 8)
    if (to - from === 1) {
      const { name, cid, tsize } = unpacked(entries[from]!.entry)
      links.push({ name: prefix + name, cid, tsize })
    } else {
      const { cid, tsize } = yield* level(profile, entries.slice(from, to), depth + 1)
      links.push({ name: prefix, cid, tsize })
    }
    field[field.length - 1 - (slot >> 3)]! |= 1 << (slot & 7)
    from = to
  }
  const firstUsed = field.findIndex((byte) => byte !== 0)
  const block = shardBlock(profile, field.subarray(firstUsed), links)
  yield block
  return partOf(block, 0, links)
}

/** murmur3-x64-64 of the name's UTF-8 bytes. */
export function nameHash(name: string): Uint8Array {
  return murmur364.encode(Buffer.from(name)) as Uint8Array
}

/** The slot of a hash at a level, as links name it; undefined below the last level. */
export function slotAt(hash: Uint8Array, depth: number, slotBits: number): string | undefined {
  const start = depth * slotBits
  if (start + slotBits > hashBits) return undefined
  let slot = 0
  for (let bit = start; bit < start + slotBits; bit++) slot = slot * 2 + ((hash[bit >> 3]! >> (7 - (bit & 7))) & 1)
  return slotName(slot, slotBits)
}

/** Digits that name a slot. */
export function slotDigits(slotBits: number): number {
  return Math.ceil(slotBits / 4)
}

/** Levels that a hash is good for. */
export function levelsMax(slotBits: number): number {
  return Math.floor(hashBits / slotBits)
}

function slotName(slot: number, slotBits: number): string {
  return slot.toString(16).toUpperCase().padStart(slotDigits(slotBits), '0')
}
