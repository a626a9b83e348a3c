// A durable, ordered table inside the catalog, for the state of another organ. Tables share one database and are told apart
// by a prefix, so that opening one costs nothing.
import type { Table, TableOperation } from '../core/ports.ts'
import type { Catalog } from './catalog.ts'

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
    await this.#catalog.change(() => {
      for (const operation of operations) {
        if ('put' in operation) void tables.put(this.#prefix + operation.put, operation.value)
        else void tables.remove(this.#prefix + operation.delete)
      }
    })
  }
}
