// The disk of a simulated machine. A write is seen once it is committed and survives once it is synced, a little later, as
// with the real catalog; a crash takes everything that was not synced, except that a random beginning of the queue may have
// reached the disk all the same. Disks can be slow, full, or liars that acknowledge before they sync.
import { compareByCodePoint } from '../base/code-points.ts'
import type { Random } from '../base/random.ts'
import type { Table, TableOperation } from '../core/ports.ts'
import { BlockDisk } from './block-disk.ts'
import type { PeerClock } from './clock.ts'
import { SimError } from './errors.ts'

/** Between two syncs: a group commit takes all that came meanwhile. */
const commitMs = 0.5
const syncMs = 2

interface Pending {
  table: string
  operations: TableOperation[]
  resolve: () => void
  reject: (reason: Error) => void
}

export interface DiskFaults {
  /** A sync takes this many times longer. */
  slowness: number
  isFull: boolean
  /** Acknowledges what a crash may still take. */
  acknowledgesEarly: boolean
}

/** What a machine keeps while it is off. */
export class SimulatedDisk {
  readonly faults: DiskFaults = { slowness: 1, isFull: false, acknowledgesEarly: false }
  readonly #random: Random
  /** What has been synced. */
  #durable = new Map<string, Map<string, Uint8Array>>()
  #mounted: MountedDisk | undefined
  #blocks = new BlockDisk()

  constructor(random: Random) {
    this.#random = random
  }

  /** What the store of the machine lies on. */
  get blocks(): BlockDisk {
    return this.#blocks
  }

  /** Starts a machine with what was synced. */
  mount(clock: PeerClock): MountedDisk {
    this.#mounted = new MountedDisk(clock, this.faults, copyOf(this.#durable), (writes) => apply(this.#durable, writes))
    return this.#mounted
  }

  /** The machine crashes: some of what waited for the disk, oldest first, may be there when it is mounted again. */
  crash(): void {
    const waiting = this.#mounted?.stop() ?? []
    this.#mounted = undefined
    // A liar's cache is gone as a whole.
    if (this.faults.acknowledgesEarly) return
    apply(this.#durable, waiting.slice(0, Math.floor(this.#random.unit() * (waiting.length + 1))))
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.#mounted?.stop()
    this.#mounted = undefined
    this.#durable = new Map()
    this.#blocks = new BlockDisk()
  }
}

/** A disk in a running machine. */
export class MountedDisk {
  readonly #clock: PeerClock
  readonly #faults: DiskFaults
  readonly #seen: Map<string, Map<string, Uint8Array>>
  readonly #sync: (writes: Pending[]) => void
  readonly #sorted = new Map<string, string[]>()
  #queue: Pending[] = []
  #syncing: Pending[] = []
  #isStopped = false

  constructor(
    clock: PeerClock,
    faults: DiskFaults,
    seen: Map<string, Map<string, Uint8Array>>,
    sync: (writes: Pending[]) => void,
  ) {
    this.#clock = clock
    this.#faults = faults
    this.#seen = seen
    this.#sync = sync
  }

  table(name: string): Table {
    return {
      get: (key) => this.#seen.get(name)?.get(key)?.slice(),
      range: (bounds) => this.#range(name, bounds),
      write: (operations) => this.#write(name, operations),
    }
  }

  /** Lets one write of a store through, which takes as long as a table's; never once the machine is gone. */
  commit(): Promise<void> {
    if (this.#isStopped) return new Promise(() => {})
    return new Promise((resolve, reject) =>
      this.#clock.timer(commitMs, () => {
        if (this.#faults.isFull) reject(new Error('no space left on the disk'))
        else this.#clock.timer(syncMs * this.#faults.slowness, resolve)
      }),
    )
  }

  /** Nothing is done any more; gives the writes that were not synced, oldest first. */
  stop(): Pending[] {
    this.#isStopped = true
    const waiting = [...this.#syncing, ...this.#queue]
    this.#syncing = []
    this.#queue = []
    return waiting
  }

  *#range(
    table: string,
    { from = '', to, limit = Number.POSITIVE_INFINITY }: { from?: string; to?: string; limit?: number },
  ): Iterable<[string, Uint8Array]> {
    const entries = this.#seen.get(table)
    if (!entries) return
    const keys = this.#sorted.get(table) ?? [...entries.keys()].sort(compareByCodePoint)
    this.#sorted.set(table, keys)
    let given = 0
    for (let at = firstAtLeast(keys, from); at < keys.length && given < limit; at++) {
      const key = keys[at]!
      if (to !== undefined && compareByCodePoint(key, to) >= 0) return
      const value = entries.get(key)
      if (value === undefined) continue
      given++
      yield [key, value.slice()]
    }
  }

  #write(table: string, operations: TableOperation[]): Promise<void> {
    if (this.#isStopped) return new Promise(() => {})
    const copied = operations.map((operation) =>
      'put' in operation ? { put: operation.put, value: operation.value.slice() } : operation,
    )
    return new Promise((resolve, reject) => {
      this.#queue.push({ table, operations: copied, resolve, reject })
      if (this.#queue.length === 1 && this.#syncing.length === 0) this.#clock.timer(commitMs, () => this.#commit())
    })
  }

  #commit(): void {
    const writes = this.#queue
    this.#queue = []
    if (this.#faults.isFull) {
      for (const { reject } of writes)
        reject(new SimError('STORE_FULL', 'the disk is full; free some space and try again', { retryable: true }))
      return
    }
    for (const { table } of writes) this.#sorted.delete(table)
    apply(this.#seen, writes)
    const syncAfterMs = syncMs * this.#faults.slowness
    if (this.#faults.acknowledgesEarly) {
      for (const { resolve } of writes) resolve()
      this.#clock.timer(syncAfterMs, () => this.#sync(writes))
      return
    }
    this.#syncing = writes
    this.#clock.timer(syncAfterMs, () => this.#synced())
  }

  #synced(): void {
    const writes = this.#syncing
    this.#syncing = []
    this.#sync(writes)
    for (const { resolve } of writes) resolve()
    if (this.#queue.length > 0) this.#commit()
  }
}

type Tables = Map<string, Map<string, Uint8Array>>

function apply(tables: Tables, writes: Pending[]): void {
  for (const { table, operations } of writes) {
    const entries = tables.get(table) ?? new Map<string, Uint8Array>()
    tables.set(table, entries)
    for (const operation of operations) {
      if ('put' in operation) entries.set(operation.put, operation.value)
      else entries.delete(operation.delete)
    }
  }
}

function copyOf(tables: Tables): Tables {
  return new Map([...tables].map(([name, entries]) => [name, new Map(entries)]))
}

function firstAtLeast(keys: string[], wanted: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareByCodePoint(keys[middle]!, wanted) < 0) low = middle + 1
    else high = middle
  }
  return low
}
