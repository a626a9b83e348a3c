// A table whose writers share their trips to the disk: while one write is on its way, all that come after it wait together
// and go as one. Each is still all or nothing, and resolves when it is durable; those that went together fail together.
import type { Table, TableOperation } from '../core/ports.ts'

export class GroupedTable implements Table {
  readonly #table: Table
  #waiting: TableOperation[] = []
  #isWriting = false
  #next: PromiseWithResolvers<void> | undefined

  constructor(table: Table) {
    this.#table = table
  }

  get(key: string): Uint8Array | undefined {
    return this.#table.get(key)
  }

  range(bounds: Parameters<Table['range']>[0]): ReturnType<Table['range']> {
    return this.#table.range(bounds)
  }

  write(operations: TableOperation[]): Promise<void> {
    for (const operation of operations) this.#waiting.push(operation)
    this.#next ??= Promise.withResolvers()
    const written = this.#next.promise
    if (!this.#isWriting) void this.#write()
    return written
  }

  async #write(): Promise<void> {
    this.#isWriting = true
    // What the rest of this turn brings goes with it.
    await Promise.resolve()
    while (this.#next) {
      const { resolve, reject } = this.#next
      const operations = this.#waiting
      this.#next = undefined
      this.#waiting = []
      await this.#table.write(operations).then(resolve, reject)
    }
    this.#isWriting = false
  }
}
