// The catalog: one database that says which blocks exist, where their bytes are, and what is pinned. A block exists
// when the catalog says so, and the catalog says so only after its bytes are on the disk. Every change goes through
// `change`, which runs alone in a transaction and resolves when the result is durable.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { open } from 'lmdb'
import { sentenceOf } from '../base/errors.ts'
import { headProblem } from './catalog-head.ts'
import { decodeEntry, type Entry, encodeEntry } from './entry.ts'
import { catalogDamaged, isDamage, StoreError, writeError } from './errors.ts'

export interface Counts {
  blocks: number
  inlineBytes: number
  fileBytes: number
  referencedBytes: number
}

const countNames = ['blocks', 'inlineBytes', 'fileBytes', 'referencedBytes'] as const
const formatVersion = 1

/** An ordered map in the database. Changed only within a transaction. What `get` lends is good until the next read. */
export interface OrderedMap<Value = Uint8Array, Key = Uint8Array> {
  get(key: Key): Value | undefined
  put(key: Key, value: Value): unknown
  remove(key: Key): unknown
  doesExist(key: Key): boolean
  getCount(): number
  /** Entries from `start` to before `end`, in key order, as they were when the reading began. */
  getRange(options: {
    start?: Key
    exclusiveStart?: boolean
    end?: Key
    limit?: number
    snapshot?: boolean
  }): Iterable<{ key: Key; value: Value }>
}

/** As much of lmdb as the catalog uses, so that it also runs over a disk in memory. */
export interface Environment {
  openDB<Value, Key extends Uint8Array | string>(options: {
    name: string
    encoding?: 'binary'
    keyEncoding?: 'binary'
  }): OrderedMap<Value, Key>
  /** Runs the work alone, at some later time; all of its changes are made, or none. */
  transaction<T>(work: () => T): Promise<T>
  /** Resolves when all transactions that have resolved are durable. */
  readonly flushed: Promise<unknown>
  close(): Promise<void>
}

export class Catalog implements AsyncDisposable {
  readonly directory: string
  readonly pins: OrderedMap
  readonly tables: OrderedMap<Uint8Array, string>
  readonly inline: OrderedMap
  readonly #root: Environment
  readonly #index: OrderedMap
  readonly #meta: OrderedMap<number, string>
  readonly #held = new Map<string, number>()
  /** Grows by one with every collection. */
  generation: number
  readonly counts: Counts

  /** `directory` is where errors say that it lies. Throws HOME_TOO_NEW. */
  constructor(root: Environment, directory: string) {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const
    this.directory = directory
    this.#root = root
    const map = (name: string) => new ReadableMap(root.openDB<Uint8Array, Uint8Array>({ name, ...binary }), directory)
    this.#index = map('index')
    this.inline = map('inline')
    this.pins = map('pins')
    this.tables = new ReadableMap(root.openDB<Uint8Array, string>({ name: 'tables', encoding: 'binary' }), directory)
    this.#meta = root.openDB<number, string>({ name: 'meta' })
    const version = this.#meta.get('version') ?? formatVersion
    if (version > formatVersion)
      throw new StoreError(
        'HOME_TOO_NEW',
        `${directory} was written by a newer potluck; use that one, or a newer one still`,
      )
    this.generation = this.#meta.get('generation') ?? 1
    const count = (name: keyof Counts) => this.#meta.get(name) ?? 0
    this.counts = {
      blocks: count('blocks'),
      inlineBytes: count('inlineBytes'),
      fileBytes: count('fileBytes'),
      referencedBytes: count('referencedBytes'),
    }
  }

  static async open(directory: string): Promise<Catalog> {
    const path = join(directory, 'catalog')
    try {
      await mkdir(path, { recursive: true, mode: 0o700 })
      const problem = await headProblem(join(path, 'data.mdb'))
      if (problem) throw catalogDamaged(path, problem)
      // What a failed commit does to lmdb's batches by turn and to its overlapping syncs: promises are rejected that
      // nobody can catch, and others never settle. Without both, one promise says whether a change is durable.
      return new Catalog(open({ path, maxDbs: 8, eventTurnBatching: false, overlappingSync: false }), path)
    } catch (error) {
      if (error instanceof StoreError) throw error
      throw catalogDamaged(path, sentenceOf(error), error)
    }
  }

  entry(key: Uint8Array): Entry | undefined {
    const bytes = this.#index.get(key)
    return bytes && decodeEntry(bytes)
  }

  /** Keys and entries in key order, from after `from` on; at most `limit`. */
  entries(from: Uint8Array | undefined, limit: number): { key: Uint8Array; entry: Entry }[] {
    const range = this.#index.getRange({ ...(from && { start: from, exclusiveStart: true }), limit })
    return Array.from(range, ({ key, value }) => ({ key: new Uint8Array(key), entry: decodeEntry(value) }))
  }

  /** Runs `work` in a transaction of its own; resolves when its changes are durable. Throws STORE_FULL, STORE_FAILED. */
  async change<T>(work: () => T): Promise<T> {
    const gained = { blocks: 0, inlineBytes: 0, fileBytes: 0, referencedBytes: 0 }
    try {
      return await this.#root.transaction(() => {
        const before = { ...this.counts }
        const done = work()
        for (const name of countNames) gained[name] = this.counts[name] - before[name]
        this.#putMeta()
        return done
      })
    } catch (error) {
      for (const name of countNames) this.counts[name] -= gained[name]
      throw writeError(await reasonOf(error), this.directory)
    }
  }

  // What is there already is not written again: a change of a table alone would take two more pages to the disk.
  #putMeta(): void {
    const all = { ...this.counts, generation: this.generation, version: formatVersion }
    for (const [name, value] of Object.entries(all)) if (this.#meta.get(name) !== value) this.#meta.put(name, value)
  }

  /** Within `change`: sets an entry and keeps the counts. */
  set(key: Uint8Array, entry: Entry): void {
    const old = this.entry(key)
    if (old) this.#count(old, -1)
    this.#count(entry, 1)
    void this.#index.put(key, encodeEntry(entry))
  }

  /** Within `change`: removes an entry with its inline bytes. */
  remove(key: Uint8Array, entry: Entry): void {
    this.#count(entry, -1)
    void this.#index.remove(key)
    if (entry.kind === 'inline') void this.inline.remove(key)
  }

  #count(entry: Entry, by: 1 | -1): void {
    const kind = ({ inline: 'inlineBytes', file: 'fileBytes', reference: 'referencedBytes' } as const)[entry.kind]
    this.counts.blocks += by
    this.counts[kind] += by * entry.sizeBytes
  }

  /** Keeps a block from collection until it is let go as often. */
  hold(name: string): void {
    this.#held.set(name, (this.#held.get(name) ?? 0) + 1)
  }

  letGo(name: string): void {
    const left = (this.#held.get(name) ?? 0) - 1
    if (left > 0) this.#held.set(name, left)
    else this.#held.delete(name)
  }

  isHeld(key: Uint8Array): boolean {
    return this.#held.size > 0 && this.#held.has(nameOf(key))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.close()
  }
}

/** A map whose reads tell damage as what it is. Writes are told by their transaction. */
class ReadableMap<Value, Key> implements OrderedMap<Value, Key> {
  readonly #map: OrderedMap<Value, Key>
  readonly #directory: string

  constructor(map: OrderedMap<Value, Key>, directory: string) {
    this.#map = map
    this.#directory = directory
  }

  get(key: Key): Value | undefined {
    try {
      return this.#map.get(key)
    } catch (error) {
      throw this.#told(error)
    }
  }

  doesExist(key: Key): boolean {
    try {
      return this.#map.doesExist(key)
    } catch (error) {
      throw this.#told(error)
    }
  }

  getCount(): number {
    try {
      return this.#map.getCount()
    } catch (error) {
      throw this.#told(error)
    }
  }

  *getRange(options: Parameters<OrderedMap<Value, Key>['getRange']>[0]): Generator<{ key: Key; value: Value }> {
    try {
      yield* this.#map.getRange(options)
    } catch (error) {
      throw this.#told(error)
    }
  }

  put(key: Key, value: Value): unknown {
    return this.#map.put(key, value)
  }

  remove(key: Key): unknown {
    return this.#map.remove(key)
  }

  #told(error: unknown): unknown {
    return isDamage(error) ? catalogDamaged(this.#directory, sentenceOf(error), error) : error
  }
}

// A failed commit tells why in a second promise, which must be heard lest it end the process.
async function reasonOf(error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<never> }
  return commitError ? await commitError.catch((reason) => reason) : error
}

/** A key as text, for maps in memory. */
export function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}
