// The rows of this organ in its table. The first letter says what a row is; partitions are four hex digits, so that rows of
// one partition lie together. Keys of records come last, because they may contain anything but control characters.
import type { Table } from '../core/ports.ts'

/** What kinds of rows belong to a key in a partition. */
export const kinds = {
  /** A record that this peer keeps as an owner. */
  owned: 'k',
  /** A record that it keeps as a stand-in. */
  stoodIn: 's',
  /** Writes that were replaced. */
  past: 'v',
  /** Records whose siblings are all removals: since when. */
  removed: 't',
  /** What was promised and accepted for compare-and-set. */
  promise: 'a',
} as const

export type RowKind = (typeof kinds)[keyof typeof kinds]

export const storeRow = 'm/store'
export const countRow = 'm/count'
export const ringsRow = 'm/rings'
export const presenceRow = 'm/presence'
export const filledRow = 'm/filled'

export function rowOf(kind: RowKind, partition: number, key: string): string {
  return `${kind}/${hex(partition)}/${key}`
}

/** Which record a row of any kind above is about. */
export function partsOfRow(row: string): { partition: number; key: string } {
  return { partition: Number.parseInt(row.slice(2, 6), 16), key: row.slice(7) }
}

/** All rows of a kind, or those of one partition. */
export function rowsOf(table: Table, kind: RowKind, partition?: number): Iterable<[string, Uint8Array]> {
  // '0' follows '/': the end of everything that begins with it.
  if (partition === undefined) return table.range({ from: `${kind}/`, to: `${kind}0` })
  return table.range({ from: `${kind}/${hex(partition)}/`, to: `${kind}/${hex(partition)}0` })
}

/** The index of keys, in their own order. */
export const indexRow = (key: string) => `n/${key}`
export const indexEnd = 'n0'
export const keyOfIndexRow = (row: string) => row.slice(2)

/** How often this peer has given a partition up. */
export const generationRow = (partition: number) => `g/${hex(partition)}`
export const generationRows = { from: 'g/', to: 'g0' }
export const partitionOfGenerationRow = (row: string) => Number.parseInt(row.slice(2), 16)

/** That an owner has missed a record. */
export const hintRow = (owner: string, key: string) => `h/${owner}/${key}`
export const hintRows = { from: 'h/', to: 'h0' }
export const partsOfHintRow = (row: string) => {
  const slash = row.indexOf('/', 2)
  return { owner: row.slice(2, slash), key: row.slice(slash + 1) }
}

function hex(partition: number): string {
  return partition.toString(16).padStart(4, '0')
}
