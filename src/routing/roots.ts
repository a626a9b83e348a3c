// The roots that are ours to announce, in a durable table: two small rows each, nothing in memory. `root/POSITION` says when
// a root is due; `due/TIME/POSITION` lists them by that time, those of one time by their place in the keyspace. All roots of
// a region are due together, so finding the due ones of a region is a range scan per time. Changes are made one after the
// other, so that each decides by what the one before left.

import type { Table, TableOperation } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { hexOf, hexRange, type Prefix } from './keyspace.ts'
import type { Root } from './sweep.ts'

const countsRow = 'counts'

export class Roots {
  readonly #table: Table
  #total: number
  #waiting: number
  #lastChange: Promise<unknown> = Promise.resolve()
  /** Roots that the next write adds; while it waits for its turn, more may join. */
  #adding: { roots: Root[]; done: Promise<boolean> } | undefined

  constructor(table: Table) {
    this.#table = table
    const counts = table.get(countsRow)
    const { total, waiting } = counts ? JSON.parse(Buffer.from(counts).toString()) : { total: 0, waiting: 0 }
    this.#total = total
    this.#waiting = waiting
  }

  get total(): number {
    return this.#total
  }

  /** Roots that were never announced, or whose last announcement reached too few servers. */
  get waiting(): number {
    return this.#waiting
  }

  /**
   * A new root, due at once. Nothing happens if it is known. Resolves when durable, together with others added meanwhile;
   * gives whether any of them was new.
   */
  add(key: Uint8Array, position: Uint8Array): Promise<boolean> {
    this.#adding ??= this.#addTogether()
    this.#adding.roots.push({ key, position, dueMs: 0, attempt: 1 })
    return this.#adding.done
  }

  remove(position: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const present = this.#find(position)
      if (present) await this.#write(dropRoot(present), { total: -1, waiting: present.attempt > 0 ? -1 : 0 })
    })
  }

  /** Notes what has become of roots; those removed meanwhile stay removed. */
  update(roots: Root[]): Promise<void> {
    return this.#inTurn(async () => {
      const operations: TableOperation[] = []
      let waiting = 0
      for (const root of roots) {
        const present = this.#find(root.position)
        if (!present) continue
        operations.push(...dropRoot(present), ...putRoot(root))
        waiting += (root.attempt > 0 ? 1 : 0) - (present.attempt > 0 ? 1 : 0)
      }
      await this.#write(operations, { total: 0, waiting })
    })
  }

  /** The root that has been due for longest. */
  firstDue(nowMs: number): Root | undefined {
    for (const dueMs of this.#dueTimes(nowMs)) for (const root of this.#dueAt(dueMs, '', 1)) return root
    return undefined
  }

  /** The roots of a subtree that are due, those due for longest first. */
  dueWithin(prefix: Prefix, nowMs: number, most: number): Root[] {
    const roots: Root[] = []
    for (const dueMs of this.#dueTimes(nowMs)) {
      roots.push(...this.#dueAt(dueMs, prefix, most - roots.length))
      if (roots.length >= most) break
    }
    return roots
  }

  /** When the next root is due that is not due yet. */
  nextDueMs(nowMs: number): number | undefined {
    return this.#firstTime(nowMs + 1, Number.POSITIVE_INFINITY)
  }

  /** Every time at which roots were or are due. One more than a cycle ahead is from before the clock was set back. */
  *#dueTimes(nowMs: number): Generator<number> {
    const spans = [
      { from: 0, to: nowMs + 1 },
      { from: nowMs + times.announceEveryMs + 1, to: Number.POSITIVE_INFINITY },
    ]
    for (const { from, to } of spans) {
      let dueMs = this.#firstTime(from, to)
      while (dueMs !== undefined) {
        yield dueMs
        dueMs = this.#firstTime(dueMs + 1, to)
      }
    }
  }

  #firstTime(from: number, to: number): number | undefined {
    const bounds = { from: `due/${stamp(from)}`, to: to === Number.POSITIVE_INFINITY ? 'due/g' : `due/${stamp(to)}` }
    for (const [row] of this.#table.range({ ...bounds, limit: 1 })) return Number.parseInt(row.slice(4, 16), 16)
    return undefined
  }

  *#dueAt(dueMs: number, prefix: Prefix, limit: number): Generator<Root> {
    const { from, to } = hexRange(prefix)
    const time = `due/${stamp(dueMs)}/`
    for (const [row, value] of this.#table.range({ from: time + from, to: time + to, limit }))
      yield rootOf(dueMs, row.slice(time.length), value)
  }

  #find(position: Uint8Array): Root | undefined {
    const dueMs = this.#table.get(rootRow(position))
    if (!dueMs) return undefined
    const time = Buffer.from(dueMs).toString()
    const value = this.#table.get(`due/${time}/${hexOf(position)}`)
    return value && rootOf(Number.parseInt(time, 16), hexOf(position), value)
  }

  #addTogether(): { roots: Root[]; done: Promise<boolean> } {
    const roots: Root[] = []
    const done = this.#inTurn(async () => {
      if (this.#adding?.roots === roots) this.#adding = undefined
      const added = new Map<string, Root>()
      for (const root of roots) if (!this.#table.get(rootRow(root.position))) added.set(rootRow(root.position), root)
      if (added.size === 0) return false
      await this.#write([...added.values()].flatMap(putRoot), { total: added.size, waiting: added.size })
      return true
    })
    return { roots, done }
  }

  async #write(operations: TableOperation[], changed: { total: number; waiting: number }): Promise<void> {
    const total = this.#total + changed.total
    const waiting = this.#waiting + changed.waiting
    await this.#table.write([...operations, { put: countsRow, value: Buffer.from(JSON.stringify({ total, waiting })) }])
    this.#total = total
    this.#waiting = waiting
  }

  /** A change that comes after all before it: roots added from now on wait for a turn after this one. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    this.#adding = undefined
    const done = this.#lastChange.then(change)
    this.#lastChange = done.catch(() => {})
    return done
  }
}

// Twelve digits last for 8,900 years and keep the texts of times in the order of the times.
function stamp(timeMs: number): string {
  return Math.floor(timeMs).toString(16).padStart(12, '0')
}

function rootRow(position: Uint8Array): string {
  return `root/${hexOf(position)}`
}

function dueRow({ dueMs, position }: Root): string {
  return `due/${stamp(dueMs)}/${hexOf(position)}`
}

function putRoot(root: Root): TableOperation[] {
  return [
    { put: rootRow(root.position), value: Buffer.from(stamp(root.dueMs)) },
    { put: dueRow(root), value: Uint8Array.of(root.attempt, ...root.key) },
  ]
}

function dropRoot(root: Root): TableOperation[] {
  return [{ delete: rootRow(root.position) }, { delete: dueRow(root) }]
}

function rootOf(dueMs: number, positionHex: string, value: Uint8Array): Root {
  return { dueMs, position: Uint8Array.from(Buffer.from(positionHex, 'hex')), attempt: value[0]!, key: value.slice(1) }
}
