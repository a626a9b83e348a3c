// The dots that this store issues. Counts are reserved in blocks, and a block is durable before its first count is used: after
// a crash counting goes on behind the block, so no count is ever issued twice. The store's id is made with its table.
import { decode, encode } from '@ipld/dag-cbor'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { Table } from '../core/ports.ts'
import { countField, textField } from './fields.ts'
import type { Laws } from './laws.ts'
import { countRow, generationRow, generationRows, partitionOfGenerationRow, storeRow } from './rows.ts'
import type { Dot, SiblingSet, StoreId } from './version.ts'

const storeIdBytes = 8

export interface DotsDeps {
  table: Table
  random: Random
  laws: Laws
}

export class Dots {
  readonly store: StoreId
  readonly #deps: DotsDeps
  readonly #generations = new Map<number, number>()
  /** The last count given out, and the last that may be. */
  #last: number
  #reserved: number
  #reserving: Promise<void> | undefined

  private constructor(deps: DotsDeps, store: StoreId, reserved: number) {
    this.store = store
    this.#deps = deps
    this.#last = reserved
    this.#reserved = reserved
    for (const [row, value] of deps.table.range(generationRows))
      this.#generations.set(partitionOfGenerationRow(row), countField(decode(value), 'generation'))
  }

  static async open(deps: DotsDeps): Promise<Dots> {
    const row = deps.table.get(storeRow)
    const reserved = deps.table.get(countRow)
    if (row) {
      const count = reserved ? countField(decode(reserved), 'count of dots') : 0
      return new Dots(deps, textField(decode(row), 64, 'store id'), count)
    }
    const store = Buffer.from(deps.random.bytes(storeIdBytes)).toString('base64url')
    await deps.table.write([{ put: storeRow, value: encode(store) }])
    return new Dots(deps, store, 0)
  }

  /** A dot that nobody has, for a write on top of `set`. Throws what keeps the table from being written. */
  async next(partition: number, set: SiblingSet): Promise<Dot> {
    while (this.#last >= this.#reserved) await this.#reserve()
    if (this.#reserved - this.#last < limits.recordDotsReserved / 2) this.#reserve().catch(() => {})
    const generation = this.#generations.get(partition) ?? 0
    const dot = this.#deps.laws.nextDot({ store: this.store, generation, lastCount: this.#last, set })
    this.#last++
    return dot
  }

  /** True if this store issued the dot. */
  isOwn({ store }: Dot): boolean {
    return store === this.store || store.startsWith(`${this.store}~`)
  }

  /** The row that says that this store has given a partition up once more; `apply` when it is durable. */
  nextGeneration(partition: number): { row: { put: string; value: Uint8Array }; apply: () => void } {
    const generation = (this.#generations.get(partition) ?? 0) + 1
    return {
      row: { put: generationRow(partition), value: encode(generation) },
      apply: () => this.#generations.set(partition, generation),
    }
  }

  #reserve(): Promise<void> {
    this.#reserving ??= this.#reserveBlock().finally(() => {
      this.#reserving = undefined
    })
    return this.#reserving
  }

  async #reserveBlock(): Promise<void> {
    const reserved = this.#reserved + limits.recordDotsReserved
    await this.#deps.table.write([{ put: countRow, value: encode(reserved) }])
    this.#reserved = reserved
  }
}
