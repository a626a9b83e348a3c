// The twin of the durable Table: an ordered map in memory. What was written survives as long as the object does, so a
// test restarts an organ by opening it again over the same table. `failWrites` plays a disk that gives up.
import { compareByCodePoint } from '../../src/base/code-points.ts'
import type { Table, TableOperation } from '../../src/core/ports.ts'

export class MemoryTable implements Table {
  readonly #entries = new Map<string, Uint8Array>()
  /** Sorted keys; undefined after a write that changed the set of keys, until the next range needs it. */
  #sorted: string[] | undefined = []
  /** While set, every write rejects with it and changes nothing. */
  failWrites: Error | undefined
  /** Writes that have succeeded: batches, not operations. */
  writes = 0

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Uint8Array | undefined {
    return this.#entries.get(key)?.slice()
  }

  *range({
    from,
    to,
    limit = Number.POSITIVE_INFINITY,
  }: {
    from?: string
    to?: string
    limit?: number
  }): Iterable<[key: string, value: Uint8Array]> {
    this.#sorted ??= [...this.#entries.keys()].sort(compareByCodePoint)
    const keys = this.#sorted
    let given = 0
    for (let index = from === undefined ? 0 : firstAtLeast(keys, from); index < keys.length && given < limit; index++) {
      const key = keys[index]!
      if (to !== undefined && compareByCodePoint(key, to) >= 0) return
      const value = this.#entries.get(key)
      if (value === undefined) continue
      given++
      yield [key, value.slice()]
    }
  }

  async write(operations: TableOperation[]): Promise<void> {
    if (this.failWrites) throw this.failWrites
    for (const operation of operations) {
      if ('put' in operation) {
        if (!this.#entries.has(operation.put)) this.#sorted = undefined
        this.#entries.set(operation.put, operation.value.slice())
      } else if (this.#entries.delete(operation.delete)) this.#sorted = undefined
    }
    this.writes++
  }
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
