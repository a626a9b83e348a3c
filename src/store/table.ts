// A durable, ordered table inside the catalog, for the state of another organ. Tables share one database and are told apart
// by a prefix, so that opening one costs nothing.
import { limits } from '../core/limits.ts'
import type { Table, TableOperation } from '../core/ports.ts'
import type { Catalog } from './catalog.ts'
import { StoreError } from './errors.ts'

export class CatalogTable implements Table {
  readonly #catalog: Catalog
  readonly #prefix: string

  constructor(catalog: Catalog, name: string) {
    this.#catalog = catalog
    this.#prefix = `${name}/`
  }

  get(key: string): Uint8Array | undefined {
    const value = this.#catalog.tables.get(this.#prefix + key)
    return value && new Uint8Array(value)
  }

  *range({ from = '', to, limit }: { from?: string; to?: string; limit?: number }): Generator<[string, Uint8Array]> {
    const bounds = {
      start: this.#prefix + from,
      // '0' follows '/': the end of all keys with this prefix.
      end: to === undefined ? `${this.#prefix.slice(0, -1)}0` : this.#prefix + to,
      ...(limit !== undefined && { limit }),
    }
    for (const { key, value } of this.#catalog.tables.getRange(bounds))
      yield [key.slice(this.#prefix.length), new Uint8Array(value)]
  }

  async write(operations: TableOperation[]): Promise<void> {
    const { tables } = this.#catalog
    // Before the transaction: one that fails half-way keeps what came before.
    for (const operation of operations) this.#requireShort('put' in operation ? operation.put : operation.delete)
    await this.#catalog.change(() => {
      for (const operation of operations) {
        if ('put' in operation) void tables.put(this.#prefix + operation.put, operation.value)
        else void tables.remove(this.#prefix + operation.delete)
      }
    })
  }

  #requireShort(key: string): void {
    const sizeBytes = Buffer.byteLength(this.#prefix + key)
    if (sizeBytes > limits.tableKeyBytesMax)
      throw new StoreError(
        'STORE_FAILED',
        `a key of ${sizeBytes} bytes is too long for a table; the limit is ${limits.tableKeyBytesMax}`,
      )
  }
}
