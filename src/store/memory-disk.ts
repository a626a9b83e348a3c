// A disk in memory: what the catalog and the block files lie on when there is no real one. It promises what they rely on
// and no more: a change counts once `commit` has let it through, everything else is gone after `crash()`, and whoever
// was using the disk at that moment never writes to it again. It does not rot, and it does not measure time.
import type { BlockFiles, FileName } from './block-files.ts'
import { type Environment, nameOf, type OrderedMap } from './catalog.ts'
import { StoreError } from './errors.ts'

/** Lets one write to the disk through: may wait, throw (an error with code ENOSPC is a full disk), or crash the disk. */
export type Commit = () => Promise<void>

/** What survives. */
export class MemoryDisk {
  /** The maps of the database, by name. */
  readonly maps = new Map<string, Map<string, unknown>>()
  /** The bytes of block files, by name. */
  readonly files = new Map<string, FileName & { bytes: Uint8Array }>()
  /** Grows with every file, so that no two have the same id. */
  filesMade = 0
  /** Grows with every crash. */
  life = 0

  /** Loses what is not durable. Stores that are open on the disk can no longer write; open another one. */
  crash(): void {
    this.life++
  }
}

/** One opening of a disk: it lets writes through until the disk crashes. */
class Opening {
  readonly disk: MemoryDisk
  readonly #commit: Commit
  readonly #life: number

  constructor(disk: MemoryDisk, commit: Commit) {
    this.disk = disk
    this.#commit = commit
    this.#life = disk.life
  }

  /** When it resolves, the caller makes its change durable in the same turn. Throws STORE_FAILED after a crash. */
  async commit(): Promise<void> {
    this.#requireLife()
    await this.#commit()
    this.#requireLife()
  }

  #requireLife(): void {
    if (this.disk.life !== this.#life)
      throw new StoreError('STORE_FAILED', 'the disk has crashed since this store was opened; open it again')
  }
}

/** Database and files of one opening. */
export function openMemoryDisk(disk: MemoryDisk, commit: Commit): { environment: Environment; files: BlockFiles } {
  const opening = new Opening(disk, commit)
  return { environment: new MemoryEnvironment(opening), files: new MemoryFiles(opening) }
}

interface Change {
  map: MemoryMap<unknown, never>
  text: string
  /** Undefined: removed, or was not there. */
  value: unknown
  before: unknown
}

interface Waiting {
  work: () => void
  reject: (error: unknown) => void
  resolve: () => void
}

/** Transactions that are asked for at about the same time share a commit. Readers see them before it has ended. */
class MemoryEnvironment implements Environment {
  readonly #opening: Opening
  readonly #maps = new Map<string, MemoryMap<unknown, never>>()
  #waiting: Waiting[] = []
  #running: Promise<void> | undefined
  /** The changes of the running batch. */
  #changes: Change[] | undefined

  constructor(opening: Opening) {
    this.#opening = opening
  }

  openDB<Value, Key extends Uint8Array | string>({
    name,
    keyEncoding,
  }: {
    name: string
    keyEncoding?: 'binary'
  }): OrderedMap<Value, Key> {
    const durable = this.#opening.disk.maps.get(name) as Map<string, Value> | undefined
    const keys = (keyEncoding === 'binary' ? binaryKeys : textKeys) as unknown as Keys<Key>
    const map: MemoryMap<Value, Key> = new MemoryMap(name, keys, durable, (text, value) =>
      this.#change(map as unknown as MemoryMap<unknown, never>, text, value),
    )
    this.#maps.set(name, map as unknown as MemoryMap<unknown, never>)
    return map
  }

  transaction<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    let result: T
    this.#waiting.push({
      work: () => {
        result = work()
      },
      resolve: () => resolve(result),
      reject,
    })
    this.#running ??= this.#run()
    return promise
  }

  /** Transactions resolve only when they are durable. */
  get flushed(): Promise<void> {
    return Promise.resolve()
  }

  async close(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    // Not within the turn of whoever asks: a real database does not do that either.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const changes: Change[] = []
      const worked = batch.filter((waiting) => this.#work(waiting, changes))
      try {
        if (worked.length > 0) await this.#opening.commit()
        for (const { map, text, value } of changes) this.#keep(map.name, text, value)
        for (const { resolve } of worked) resolve()
      } catch (error) {
        undo(changes, 0)
        for (const { reject } of worked) reject(error)
      }
    }
    this.#running = undefined
  }

  #work({ work, reject }: Waiting, changes: Change[]): boolean {
    const before = changes.length
    this.#changes = changes
    try {
      work()
      return true
    } catch (error) {
      undo(changes, before)
      reject(error)
      return false
    } finally {
      this.#changes = undefined
    }
  }

  #change(map: MemoryMap<unknown, never>, text: string, value: unknown): void {
    if (!this.#changes) throw new Error('the database is changed within transactions only')
    this.#changes.push({ map, text, value, before: map.set(text, value) })
  }

  #keep(name: string, text: string, value: unknown): void {
    const { maps } = this.#opening.disk
    const durable = maps.get(name) ?? new Map<string, unknown>()
    maps.set(name, durable)
    if (value === undefined) durable.delete(text)
    else durable.set(text, value)
  }
}

function undo(changes: Change[], to: number): void {
  for (const { map, text, before } of changes.splice(to).reverse()) map.set(text, before)
}

/** Keys are kept as text that sorts as they do. */
interface Keys<Key> {
  textOf(key: Key): string
  keyOf(text: string): Key
}

const textKeys: Keys<string> = {
  textOf: (key) => nameOf(Buffer.from(key)),
  keyOf: (text) => Buffer.from(text, 'latin1').toString(),
}
const binaryKeys: Keys<Uint8Array> = {
  textOf: nameOf,
  keyOf: (text) => new Uint8Array(Buffer.from(text, 'latin1')),
}

class MemoryMap<Value, Key> implements OrderedMap<Value, Key> {
  readonly name: string
  readonly #keys: Keys<Key>
  readonly #entries: Map<string, Value>
  /** By code unit, which for these texts is by byte. */
  readonly #sorted: string[]
  readonly #change: (text: string, value: Value | undefined) => void

  constructor(
    name: string,
    keys: Keys<Key>,
    durable: Map<string, Value> | undefined,
    change: (text: string, value: Value | undefined) => void,
  ) {
    this.name = name
    this.#keys = keys
    this.#entries = new Map(durable)
    this.#sorted = [...this.#entries.keys()].sort()
    this.#change = change
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(this.#keys.textOf(key))
  }

  put(key: Key, value: Value): void {
    // A copy, as a database makes one: the caller may use its buffer again.
    const copy = value instanceof Uint8Array ? (new Uint8Array(value) as Value) : value
    this.#change(this.#keys.textOf(key), copy)
  }

  remove(key: Key): void {
    this.#change(this.#keys.textOf(key), undefined)
  }

  doesExist(key: Key): boolean {
    return this.#entries.has(this.#keys.textOf(key))
  }

  getCount(): number {
    return this.#entries.size
  }

  getRange({
    start,
    exclusiveStart = false,
    end,
    limit = Number.POSITIVE_INFINITY,
  }: {
    start?: Key
    exclusiveStart?: boolean
    end?: Key
    limit?: number
  }): { key: Key; value: Value }[] {
    let first = start === undefined ? 0 : this.#place(this.#keys.textOf(start))
    if (exclusiveStart && start !== undefined && this.#sorted[first] === this.#keys.textOf(start)) first++
    const last = end === undefined ? this.#sorted.length : this.#place(this.#keys.textOf(end))
    return this.#sorted
      .slice(first, Math.max(first, Math.min(last, first + limit)))
      .map((text) => ({ key: this.#keys.keyOf(text), value: this.#entries.get(text)! }))
  }

  /** Sets or, without a value, removes; gives what was there. */
  set(text: string, value: Value | undefined): Value | undefined {
    const before = this.#entries.get(text)
    if (value === undefined) {
      if (this.#entries.delete(text)) this.#sorted.splice(this.#place(text), 1)
    } else {
      if (!this.#entries.has(text)) this.#sorted.splice(this.#place(text), 0, text)
      this.#entries.set(text, value)
    }
    return before
  }

  /** Where the text is in the order, or would be. */
  #place(text: string): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#sorted[middle]! < text) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Bytes are durable after `write`, but their name only after `syncShards`, as with files. */
class MemoryFiles implements BlockFiles {
  readonly #opening: Opening
  readonly #unsynced = new Map<string, FileName & { bytes: Uint8Array }>()
  readonly #underway = new Set<string>()

  constructor(opening: Opening) {
    this.#opening = opening
  }

  async write(key: Uint8Array, bytes: Uint8Array): Promise<string> {
    const fileId = (++this.#opening.disk.filesMade).toString(16).padStart(12, '0')
    this.#underway.add(fileId)
    try {
      await this.#opening.commit()
    } catch (error) {
      this.#underway.delete(fileId)
      throw error
    }
    this.#unsynced.set(fileId, { key, fileId, bytes })
    return fileId
  }

  async syncShards(names: FileName[]): Promise<void> {
    if (names.length === 0) return
    await this.#opening.commit()
    for (const { fileId } of names) {
      const file = this.#unsynced.get(fileId)
      if (file) this.#opening.disk.files.set(fileId, file)
      this.#unsynced.delete(fileId)
    }
  }

  settle(names: FileName[]): void {
    for (const { fileId } of names) this.#underway.delete(fileId)
  }

  async read({ fileId }: FileName): Promise<Uint8Array | undefined> {
    return (this.#unsynced.get(fileId) ?? this.#opening.disk.files.get(fileId))?.bytes
  }

  async remove(names: FileName[]): Promise<void> {
    if (names.length === 0) return
    await this.#opening.commit()
    for (const { fileId } of names) {
      this.#unsynced.delete(fileId)
      this.#opening.disk.files.delete(fileId)
    }
  }

  async quarantine(name: FileName): Promise<void> {
    await this.remove([name])
  }

  async *list(): AsyncGenerator<FileName[]> {
    yield [...this.#opening.disk.files.values(), ...this.#unsynced.values()]
  }

  isUnderway({ fileId }: FileName): boolean {
    return this.#underway.has(fileId)
  }
}
