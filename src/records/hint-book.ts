// Which owners have missed which records: rows in the table, and the same in memory. A hint holds no copy; it points at the
// record that this peer keeps, as an owner or as a stand-in. It goes when the owner has the record durably.
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Table, TableOperation } from '../core/ports.ts'
import { hintRow, hintRows, partsOfHintRow } from './rows.ts'

const present = new Uint8Array(0)

export class HintBook {
  readonly #keysOf = new Map<PeerId, Set<string>>()
  readonly #ownersOf = new Map<string, Set<PeerId>>()
  #size = 0

  constructor(table: Table) {
    for (const [row] of table.range(hintRows)) {
      const { owner, key } = partsOfHintRow(row)
      this.note(key, [owner as PeerId])
    }
  }

  get size(): number {
    return this.#size
  }

  get isFull(): boolean {
    return this.#size >= limits.recordHintsMax
  }

  /** Owners that have missed something, sorted. */
  owners(): PeerId[] {
    return [...this.#keysOf.keys()].sort()
  }

  /** Some keys that an owner has missed. */
  keysOf(owner: PeerId, most: number): string[] {
    return [...(this.#keysOf.get(owner) ?? [])].slice(0, most)
  }

  keys(): IterableIterator<string> {
    return this.#ownersOf.keys()
  }

  ownersOf(key: string): ReadonlySet<PeerId> | undefined {
    return this.#ownersOf.get(key)
  }

  /** The rows that are missing for these hints. */
  operations(key: string, owners: readonly PeerId[]): TableOperation[] {
    const known = this.#ownersOf.get(key)
    return owners.filter((owner) => !known?.has(owner)).map((owner) => ({ put: hintRow(owner, key), value: present }))
  }

  /** Takes note of hints whose rows are durable. */
  note(key: string, owners: readonly PeerId[]): void {
    for (const owner of owners) {
      const keys = this.#keysOf.get(owner) ?? new Set()
      if (keys.has(key)) continue
      this.#keysOf.set(owner, keys.add(key))
      this.#ownersOf.set(key, (this.#ownersOf.get(key) ?? new Set()).add(owner))
      this.#size++
    }
  }

  /** Takes note that the row of a hint is gone. */
  forget(key: string, owner: PeerId): void {
    const keys = this.#keysOf.get(owner)
    if (!keys?.delete(key)) return
    this.#size--
    if (keys.size === 0) this.#keysOf.delete(owner)
    const owners = this.#ownersOf.get(key)
    owners?.delete(owner)
    if (owners?.size === 0) this.#ownersOf.delete(key)
  }
}
