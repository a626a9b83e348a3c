// Kademlia's keyspace: 256-bit positions compared by XOR, and its subtrees, written as the bits that their positions begin
// with ('' is everything, '01' a quarter). Keys and servers have positions: SHA-256 of a key's bytes, of a peer's id.
// Pure, apart from the chance that a preimage needs.
import { base58btc } from 'multiformats/bases/base58'
import type { Random } from '../base/random.ts'
import { sha256 } from '../core/block.ts'
import type { PeerId } from '../core/peer.ts'

/** The bits that all positions of a subtree begin with: a text of '0' and '1'. */
export type Prefix = string

export function positionOf(key: Uint8Array): Uint8Array {
  return sha256(key)
}

export function positionOfPeer(peer: PeerId): Uint8Array {
  return sha256(base58btc.baseDecode(peer))
}

export function hexOf(position: Uint8Array): string {
  return Buffer.from(position.buffer, position.byteOffset, position.byteLength).toString('hex')
}

/** The first `count` bits of a position; all without `count`. */
export function prefixOf(position: Uint8Array, count = position.byteLength * 8): Prefix {
  let bits = ''
  for (let at = 0; at * 8 < count; at++) bits += position[at]!.toString(2).padStart(8, '0')
  return bits.slice(0, count)
}

/** The other half of the subtree one bit wider. Not for '' . */
export function siblingOf(prefix: Prefix): Prefix {
  return prefix.slice(0, -1) + (prefix.endsWith('0') ? '1' : '0')
}

export function isWithin(position: Uint8Array, prefix: Prefix): boolean {
  for (let bit = 0; bit < prefix.length; bit++) {
    if (((position[bit >> 3]! >> (7 - (bit & 7))) & 1) !== (prefix[bit] === '1' ? 1 : 0)) return false
  }
  return true
}

/** How many bits two positions have in common at their beginning. */
export function sharedBits(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < a.byteLength; at++) {
    const difference = a[at]! ^ b[at]!
    if (difference !== 0) return at * 8 + Math.clz32(difference) - 24
  }
  return a.byteLength * 8
}

/** Negative if `a` is nearer to the target than `b`, positive if farther. */
export function compareDistance(target: Uint8Array, a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < target.byteLength; at++) {
    if (a[at] !== b[at]) return (a[at]! ^ target[at]!) - (b[at]! ^ target[at]!)
  }
  return 0
}

/** Where the positions of a subtree lie among hexadecimal texts: from the first, up to but without the second. */
export function hexRange(prefix: Prefix): { from: string; to: string } {
  const digits = Math.ceil(prefix.length / 4)
  const hex = (fill: string) =>
    prefix.padEnd(digits * 4, fill).replaceAll(/.{4}/g, (nibble) => Number.parseInt(nibble, 2).toString(16))
  // 'g' follows the last hexadecimal digit.
  return { from: hex('0'), to: `${hex('1')}g` }
}

/** Where a subtree begins, as a part of the keyspace: 0 <= start < 1. */
export function startOf(prefix: Prefix): number {
  return Number.parseInt(prefix.slice(0, 32).padEnd(32, '0'), 2) / 2 ** 32
}

/** Some bytes whose position lies in a subtree: found by trying, about 2^length times. */
export function preimageOf(prefix: Prefix, random: Random): Uint8Array {
  const candidate = random.bytes(16)
  const counter = new DataView(candidate.buffer, candidate.byteOffset)
  for (let tried = 0; ; tried++) {
    counter.setUint32(0, tried)
    if (isWithin(positionOf(candidate), prefix)) return candidate
  }
}
