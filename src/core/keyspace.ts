// Where keys lie. The hash space is 0 .. 2^64-1 and a key's position in it is the first 8 bytes of its SHA-256; the space is
// cut into equal partitions, which are the unit of ownership, comparison and hand-off. Pure arithmetic, the same everywhere.
import { sha256 } from './block.ts'
import { partitionCount } from './limits.ts'

/** First 8 bytes of SHA-256, as a number in 0 .. 2^64-1. A text is hashed as UTF-8. */
export function positionOf(key: Uint8Array | string): bigint {
  return Buffer.from(sha256(bytesOf(key))).readBigUInt64BE(0)
}

/** The partition, 0 .. partitionCount-1, in which a key lies: the leading bits of its position. */
export function partitionOf(key: Uint8Array | string): number {
  return Math.floor((Buffer.from(sha256(bytesOf(key))).readUInt32BE(0) / 2 ** 32) * partitionCount)
}

function bytesOf(key: Uint8Array | string): Uint8Array {
  return typeof key === 'string' ? new TextEncoder().encode(key) : key
}
