// The dots that this store issues. Counts are reserved in blocks, and a block is durable before its first count is used: after
// a crash counting goes on behind the block, so no count is ever issued twice. The store's id is made with its table.
//
// A dot may reach others before its write is durable here, so a crash can make this store forget a write that others hold. Under
// its old id the next count would claim to have seen that write, and whoever merges the two would take it for replaced. So what
// is issued after a crash, or after a failed commit, has an id of its own: it claims nothing of what was issued before. The price
// is one more entry in the versions of keys that are written before and after. A store that was closed in order keeps its id.
import { decode, encode } from '@ipld/dag-cbor'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { Table } from '../core/ports.ts'
import { countField, listField, textField } from './fields.ts'
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
  /** How often writes may have been lost after others had heard of them, and how much of that is durable. */
  #losses: number
  #lossesKept: number

  private constructor(deps: DotsDeps, store: StoreId, { reserved, losses, isClean }: Counted) {
    this.store = store
    this.#deps = deps
    this.#last = reserved
    this.#reserved = reserved
    this.#losses = isClean ? losses : losses + 1
    this.#lossesKept = losses
    for (const [row, value] of deps.table.range(generationRows))
      this.#generations.set(partitionOfGenerationRow(row), countField(decode(value), 'generation'))
  }

  static async open(deps: DotsDeps): Promise<Dots> {
    const row = deps.table.get(storeRow)
    const reserved = deps.table.get(countRow)
    if (row) return new Dots(deps, textField(decode(row), 64, 'store id'), reserved ? countedOf(reserved) : nothingYet)
    const store = Buffer.from(deps.random.bytes(storeIdBytes)).toString('base64url')
    await deps.table.write([{ put: storeRow, value: encode(store) }])
    return new Dots(deps, store, nothingYet)
  }

  /** A dot that nobody has, for a write on top of `set`. Throws what keeps the table from being written. */
  async next(partition: number, set: SiblingSet): Promise<Dot> {
    while (this.#last >= this.#reserved || this.#lossesKept !== this.#losses) await this.#reserve()
    if (this.#reserved - this.#last < limits.recordDotsReserved / 2) this.#reserve().catch(() => {})
    // Either of the two only grows: their sum has not been used here before one of them grew.
    const generation = (this.#generations.get(partition) ?? 0) + this.#losses
    const dot = this.#deps.laws.nextDot({ store: this.store, generation, lastCount: this.#last, set })
    this.#last++
    return dot
  }

  /** A write that was given a dot was not stored: what is issued from now on has another id. */
  lost(): void {
    this.#losses++
  }

  /** Everything issued is durable, and nothing more is issued: the next opening goes on under the same id. */
  async close(): Promise<void> {
    await this.#reserving?.catch(() => {})
    if (this.#last === this.#reserved || this.#lossesKept !== this.#losses) return
    // Whoever wants a dot after all reserves first, which says that the store is open.
    this.#reserved = this.#last
    await this.#keep({ reserved: this.#last, losses: this.#losses, isClean: true })
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
    const [reserved, losses] = [this.#reserved + limits.recordDotsReserved, this.#losses]
    await this.#keep({ reserved, losses, isClean: false })
    this.#reserved = reserved
    this.#lossesKept = losses
  }

  async #keep({ reserved, losses, isClean }: Counted): Promise<void> {
    await this.#deps.table.write([{ put: countRow, value: encode([reserved, losses, isClean]) }])
  }
}

/** What is issued from the next opening on is another store's: this table is a copy, and the other one may have gone on. */
export async function renewStore(table: Table): Promise<void> {
  await table.write([{ delete: storeRow }, { delete: countRow }])
}

interface Counted {
  reserved: number
  losses: number
  /** False while dots may be issued. */
  isClean: boolean
}

const nothingYet: Counted = { reserved: 0, losses: 0, isClean: true }

function countedOf(bytes: Uint8Array): Counted {
  const [reserved, losses, isClean] = listField(decode(bytes), 3, 'count of dots')
  return {
    reserved: countField(reserved, 'count of dots'),
    losses: countField(losses, 'count of dots'),
    isClean: isClean === true,
  }
}
