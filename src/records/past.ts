// What a replica keeps of writes that were replaced, for `history`: the last ones, as many as fit. It is a courtesy to people,
// kept by each replica for itself; nothing is decided by it and nothing is repaired in it.
import { encode } from '@ipld/dag-cbor'
import { limits } from '../core/limits.ts'
import { bytesField, decoded, listField } from './fields.ts'
import { decodeWrite } from './record.ts'
import type { Write } from './version.ts'
import type { PastWrite } from './words.ts'

/** The row after some more writes were replaced. */
export function addPast(row: Uint8Array | undefined, replaced: readonly Write[]): Uint8Array {
  let kept = [...(row ? entriesOf(row) : []), ...replaced.map(({ bytes }) => bytes)].slice(-limits.recordPastMax)
  let size = kept.reduce((sum, { byteLength }) => sum + byteLength, 0)
  while (size > limits.recordPastBytesMax) {
    size -= kept[0]!.byteLength
    kept = kept.slice(1)
  }
  return encode(kept)
}

/** Writes of a row, the oldest first. */
export function pastWrites(row: Uint8Array): Write[] {
  return entriesOf(row).map(decodeWrite)
}

export function shownPast({ value, author, id, atMs }: Write): PastWrite {
  return { value, removed: value === undefined, author, writeId: id, atMs }
}

function entriesOf(row: Uint8Array): Uint8Array[] {
  return listField(decoded(row, 'history'), limits.recordPastMax, 'history').map((entry) =>
    bytesField(entry, limits.recordPastBytesMax, 'past write'),
  )
}
