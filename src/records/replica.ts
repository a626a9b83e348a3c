// What this peer keeps of the records: as an owner, and as a stand-in for owners that could not be reached. Changes of one key
// happen one after another, each on top of the last, and whoever is told that a change happened may rely on it: it is
// durable. What comes from elsewhere has its signatures checked here before anything is stored.

import { decode, encode } from '@ipld/dag-cbor'
import type { Clock } from '../base/clock.ts'
import { compareByCodePoint } from '../base/code-points.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Table, TableOperation } from '../core/ports.ts'
import type { Dots } from './dots.ts'
import { RecordsError, shownKey } from './errors.ts'
import { HintBook } from './hint-book.ts'
import type { Laws } from './laws.ts'
import { addPast, pastWrites } from './past.ts'
import { decodeSet, encodeSet, sameBytes, type Verifier } from './record.ts'
import type { Rings } from './rings.ts'
import { hintRow, indexEnd, indexRow, keyOfIndexRow, kinds, partsOfRow, rowOf, rowsOf } from './rows.ts'
import { hashOfRecord, Tree } from './tree.ts'
import { emptySet, isRemoved, knows, type SiblingSet, type Write } from './version.ts'

export interface ReplicaDeps {
  table: Table
  dots: Dots
  rings: Rings
  laws: Laws
  verifier: Verifier
  clock: Clock
}

/** A record as it is here, durable. */
export interface Stored {
  readonly set: SiblingSet
  readonly bytes: Uint8Array
}

interface Rows {
  owned: Uint8Array | undefined
  stoodIn: Uint8Array | undefined
}

const present = new Uint8Array(0)

export class Replica {
  readonly tree = new Tree()
  readonly hints: HintBook
  readonly #deps: ReplicaDeps
  readonly #queues = new Map<string, Promise<unknown>>()
  readonly #stoodIn = new Set<string>()
  /** Hears of every change, once it is durable. */
  onChange: (key: string, set: SiblingSet) => void = () => {}
  /** Hears of every key of which nothing is here any more, since it is others' to keep. */
  onGone: (key: string) => void = () => {}

  constructor(deps: ReplicaDeps) {
    this.#deps = deps
    this.hints = new HintBook(deps.table)
    for (const [row, bytes] of rowsOf(deps.table, kinds.owned)) {
      const { partition, key } = partsOfRow(row)
      this.tree.replace(partition, key, undefined, bytes)
    }
    for (const [row] of rowsOf(deps.table, kinds.stoodIn)) this.#stoodIn.add(partsOfRow(row).key)
  }

  get stoodIn(): number {
    return this.#stoodIn.size
  }

  /** What is here of a key, in whatever role. */
  read(key: string): Stored | undefined {
    const bytes = this.bytesOf(key)
    return bytes && { set: decodeSet(key, bytes), bytes }
  }

  /** The same, encoded. */
  bytesOf(key: string): Uint8Array | undefined {
    const { owned, stoodIn } = this.#rows(partitionOf(key), key)
    if (!owned || !stoodIn) return owned ?? stoodIn
    return encodeSet(this.#deps.laws.merge(decodeSet(key, owned), decodeSet(key, stoodIn)))
  }

  /** What is here of a key as an owner, encoded. */
  ownedBytesOf(key: string): Uint8Array | undefined {
    return this.#deps.table.get(rowOf(kinds.owned, partitionOf(key), key))
  }

  /** Keys whose record is about to change here. */
  changing(): IteratorObject<string> {
    return this.#queues.keys()
  }

  isStandInFor(key: string): boolean {
    return this.#stoodIn.has(key)
  }

  /**
   * Gives a write its dot and keeps it. Throws TOO_MANY_SIBLINGS. A write that is here already keeps the dot that it has.
   * `onDecided` hears what will be stored, and may tell others at once: dots.ts says what happens if it is lost here.
   */
  async issue(
    write: Write,
    missing: readonly PeerId[] = [],
    onDecided: (bytes: Uint8Array) => void = () => {},
  ): Promise<Stored> {
    const { dots, laws, verifier } = this.#deps
    const change = async (set: SiblingSet, partition: number) => {
      if (knows(set, write.id)) return set
      verifier.check(write)
      const next = laws.issue(set, write, await dots.next(partition, set))
      requireRoom(write.key, next)
      return next
    }
    return await this.#change(write.key, missing, change, { onDecided, onLost: () => dots.lost() })
  }

  /** Takes in a set from elsewhere, and hints for owners that have missed it. Throws RECORD_INVALID. */
  merge(key: string, bytes: Uint8Array, missing: readonly PeerId[] = []): Promise<Stored> {
    return this.#change(key, missing, (set) => {
      const other = decodeSet(key, bytes)
      for (const { write } of other.siblings) if (!knows(set, write.id)) this.#deps.verifier.check(write)
      return this.#deps.laws.merge(set, other)
    })
  }

  /**
   * An owner has this version of a record, and maybe more (`news`): its hint goes, and the copy if it was kept for that
   * alone. Nothing happens if the record has changed here meanwhile.
   */
  async delivered(key: string, owner: PeerId, version: Uint8Array, news: Uint8Array | undefined): Promise<void> {
    const merged = news ? (await this.merge(key, news)).bytes : version
    await this.exclusively(key, async () => {
      const now = this.bytesOf(key)
      if (now && !sameBytes(now, merged)) return
      const operations: TableOperation[] = [{ delete: hintRow(owner, key) }]
      const others = [...(this.hints.ownersOf(key) ?? [])].filter((other) => other !== owner)
      const isDropped = others.length === 0 && this.#isIdle(key)
      if (isDropped) operations.push(...this.#dropping(key))
      await this.#deps.table.write(operations)
      this.hints.forget(key, owner)
      if (isDropped) this.#stoodIn.delete(key)
      if (isDropped && !this.ownedBytesOf(key)) this.onGone(key)
    })
  }

  /** Deletes a partition that is others' now. The caller has made sure that they hold it as it is; false if it has changed. */
  async giveUp(partition: number, hash: Uint8Array): Promise<boolean> {
    if (!sameBytes(this.tree.hashOf(partition), hash)) return false
    const records = [...rowsOf(this.#deps.table, kinds.owned, partition)]
    const promises = [...rowsOf(this.#deps.table, kinds.promise, partition)].map(([row]) => ({ delete: row }))
    // First of all: whatever happens next, this store does not issue again under the id whose dots it is about to forget.
    const generation = this.#deps.dots.nextGeneration(partition)
    await this.#deps.table.write([generation.row, ...promises])
    generation.apply()
    const gone = records.map(([row, bytes]) => this.#release(partition, partsOfRow(row).key, bytes))
    return (await Promise.all(gone)).every(Boolean)
  }

  #release(partition: number, key: string, expected: Uint8Array): Promise<boolean> {
    return this.exclusively(key, async () => {
      const bytes = this.ownedBytesOf(key)
      if (!bytes || !sameBytes(bytes, expected) || this.#deps.rings.isOwner(partition)) return bytes === undefined
      const isKept = this.#stoodIn.has(key)
      const owners = isKept ? [] : [...(this.hints.ownersOf(key) ?? [])]
      await this.#deps.table.write([
        ...[kinds.owned, kinds.past, kinds.removed].map((kind) => ({ delete: rowOf(kind, partition, key) })),
        ...(isKept ? [] : [{ delete: indexRow(key) }]),
        ...owners.map((owner) => ({ delete: hintRow(owner, key) })),
      ])
      this.tree.replace(partition, key, bytes, undefined)
      for (const owner of owners) this.hints.forget(key, owner)
      if (!isKept) this.onGone(key)
      return true
    })
  }

  /** Deletes a removed record that every owner has in this very version; false if it has changed. */
  async drop(key: string, hash: (bytes: Uint8Array) => boolean): Promise<boolean> {
    return await this.exclusively(key, async () => {
      const partition = partitionOf(key)
      const bytes = this.ownedBytesOf(key)
      if (!bytes) return true
      if (!hash(bytes) || !isRemoved(decodeSet(key, bytes)) || this.#stoodIn.has(key)) return false
      const rows = [kinds.owned, kinds.past, kinds.removed].map((kind) => ({ delete: rowOf(kind, partition, key) }))
      await this.#deps.table.write([...rows, { delete: indexRow(key) }])
      this.tree.replace(partition, key, bytes, undefined)
      return true
    })
  }

  /** Records, as an owner, that have been removed for long: since before a wall time. */
  *removedBefore(beforeMs: number): Iterable<{ partition: number; key: string; bytes: Uint8Array }> {
    for (const [row, since] of rowsOf(this.#deps.table, kinds.removed)) {
      const { partition, key } = partsOfRow(row)
      const bytes = this.ownedBytesOf(key)
      if (!bytes || Number(decode(since)) > beforeMs) continue
      yield { partition, key, bytes }
    }
  }

  past(key: string): Write[] {
    const row = this.#deps.table.get(rowOf(kinds.past, partitionOf(key), key))
    return row ? pastWrites(row) : []
  }

  /** Keys here that begin with `prefix`, in order, from `after` on. */
  *keys(prefix: string, after: string | undefined): Iterable<string> {
    const first = after === undefined || compareByCodePoint(after, prefix) < 0 ? prefix : `${after}\0`
    for (const [row] of this.#deps.table.range({ from: indexRow(first), to: indexEnd })) {
      const key = keyOfIndexRow(row)
      if (!key.startsWith(prefix)) return
      yield key
    }
  }

  /** Keys of a partition that this peer has as an owner, after a key, with the hashes of their records. */
  *hashesIn(partition: number, after: string): Iterable<[key: string, hash: Uint8Array]> {
    const from = after === '' ? rowOf(kinds.owned, partition, '') : `${rowOf(kinds.owned, partition, after)}\0`
    const to = `${rowOf(kinds.owned, partition, '').slice(0, -1)}0`
    for (const [row, bytes] of this.#deps.table.range({ from, to })) {
      const { key } = partsOfRow(row)
      yield [key, hashOfRecord(key, bytes)]
    }
  }

  /** Runs `work` after everything that was begun for this key before. */
  async exclusively<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(key)
    const running = before ? before.then(work) : work()
    const settled = running.then(
      () => {},
      () => {},
    )
    this.#queues.set(key, settled)
    try {
      return await running
    } finally {
      if (this.#queues.get(key) === settled) this.#queues.delete(key)
    }
  }

  #change(
    key: string,
    missing: readonly PeerId[],
    decide: (set: SiblingSet, partition: number) => SiblingSet | Promise<SiblingSet>,
    { onDecided, onLost }: { onDecided?: (bytes: Uint8Array) => void; onLost?: () => void } = {},
  ): Promise<Stored> {
    const partition = partitionOf(key)
    const wasOwner = this.#deps.rings.isOwner(partition)
    return this.exclusively(key, async () => {
      const rows = this.#rows(partition, key)
      // What comes to an owner is an owner's even if the ring changes before its turn, and so is what is kept for nobody in
      // particular: it will be handed over. A stand-in's copy without a hint would stay.
      const isOwner = wasOwner || (missing.length === 0 && !rows.stoodIn)
      const before = this.#setOf(key, rows)
      const set = await decide(before, partition)
      const bytes = encodeSet(set)
      if (!isOwner && !rows.stoodIn) this.#requireStandInRoom()
      const operations = this.hints.operations(key, missing)
      const old = isOwner ? rows.owned : rows.stoodIn
      if (!old || !sameBytes(old, bytes)) {
        operations.push({ put: rowOf(isOwner ? kinds.owned : kinds.stoodIn, partition, key), value: bytes })
        if (!rows.owned && !rows.stoodIn) operations.push({ put: indexRow(key), value: present })
        operations.push(...this.#sideRows(partition, key, before, set, isOwner))
      }
      if (isOwner && rows.stoodIn) operations.push({ delete: rowOf(kinds.stoodIn, partition, key) })
      if (operations.length === 0) return { set, bytes }
      const writing = this.#deps.table.write(operations)
      onDecided?.(bytes)
      // Before the next change of this key begins.
      await writing.catch((error) => {
        onLost?.()
        throw error
      })
      this.hints.note(key, missing)
      if (isOwner) {
        this.tree.replace(partition, key, rows.owned, bytes)
        this.#stoodIn.delete(key)
      } else this.#stoodIn.add(key)
      if (!old || !sameBytes(old, bytes)) this.onChange(key, set)
      return { set, bytes }
    })
  }

  #rows(partition: number, key: string): Rows {
    const { table } = this.#deps
    return {
      owned: table.get(rowOf(kinds.owned, partition, key)),
      stoodIn: this.#stoodIn.has(key) ? table.get(rowOf(kinds.stoodIn, partition, key)) : undefined,
    }
  }

  #setOf(key: string, { owned, stoodIn }: Rows): SiblingSet {
    const first = owned ?? stoodIn
    if (!first) return emptySet
    const set = decodeSet(key, first)
    return owned && stoodIn ? this.#deps.laws.merge(set, decodeSet(key, stoodIn)) : set
  }

  /** Rows beside the record: what was replaced, and since when it has been gone. */
  #sideRows(partition: number, key: string, before: SiblingSet, now: SiblingSet, isOwner: boolean): TableOperation[] {
    if (!isOwner) return []
    const operations: TableOperation[] = []
    const current = new Set(now.siblings.map(({ write }) => write.id))
    const replaced = before.siblings.flatMap(({ write }) => (current.has(write.id) ? [] : [write]))
    if (replaced.length > 0) {
      const row = rowOf(kinds.past, partition, key)
      operations.push({ put: row, value: addPast(this.#deps.table.get(row), replaced) })
    }
    const wasRemoved = before.siblings.length > 0 && isRemoved(before)
    const removedRow = rowOf(kinds.removed, partition, key)
    if (isRemoved(now)) operations.push({ put: removedRow, value: encode(Math.max(0, this.#deps.clock.nowMs())) })
    else if (wasRemoved) operations.push({ delete: removedRow })
    return operations
  }

  #requireStandInRoom(): void {
    if (this.#stoodIn.size < limits.recordHintsMax && !this.hints.isFull) return
    throw new RecordsError(
      'QUORUM_UNAVAILABLE',
      `this peer keeps ${this.#stoodIn.size} records for members that are away, and takes no more until one is back`,
      { retryable: true },
    )
  }

  // A copy whose current value was issued here stays: another write of this store must replace or show it, not hide it.
  #isIdle(key: string): boolean {
    if (!this.#stoodIn.has(key)) return false
    const set = this.read(key)?.set ?? emptySet
    return !set.siblings.some(({ dots }) => dots.some((dot) => this.#deps.dots.isOwn(dot)))
  }

  #dropping(key: string): TableOperation[] {
    const partition = partitionOf(key)
    const operations: TableOperation[] = [{ delete: rowOf(kinds.stoodIn, partition, key) }]
    if (!this.ownedBytesOf(key)) operations.push({ delete: indexRow(key) })
    return operations
  }
}

function requireRoom(key: string, { siblings }: SiblingSet): void {
  const sizeBytes = siblings.reduce((sum, { write }) => sum + write.bytes.byteLength, 0)
  if (siblings.length < 2) return
  if (siblings.length <= limits.recordSiblingsMax && sizeBytes <= limits.recordSiblingsBytesMax) return
  throw new RecordsError(
    'TOO_MANY_SIBLINGS',
    `'${shownKey(key)}' has ${siblings.length - 1} concurrent values already; read them, merge them into one and write that with the version read`,
  )
}
