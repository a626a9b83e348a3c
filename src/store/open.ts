// The store of a home: blocks, pins and tables on the disk. `openStore` reads nothing but the catalog's head; what a crash
// left behind is invisible, because a block exists only once the catalog says so. One process at a time opens a home:
// whoever opens the store holds the home's lock.
import { open as openFile } from 'node:fs/promises'
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import { Block, inlineBytes, matches, requireKnownHash } from '../core/block.ts'
import type { BlockReference, BlockStore, BlockWriter, Lease, LinksOf, Losses, Table } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import { adoptFiles } from './adopt.ts'
import { type BlockFiles, DiskFiles } from './block-files.ts'
import { Catalog } from './catalog.ts'
import { type Collected, collect } from './collect.ts'
import type { Entry } from './entry.ts'
import { StoreError } from './errors.ts'
import { Pins } from './pins.ts'
import { CatalogTable } from './table.ts'
import { type Examined, examine, sweepOrphans, type Verified, verify } from './verify.ts'
import { StoreWriter } from './writer.ts'

export interface StoreDeps {
  clock: Clock
  random: Random
  log: Log
  linksOf: LinksOf
}

export interface StoreStats {
  blocks: number
  bytes: number
  inlineBytes: number
  fileBytes: number
  referencedBytes: number
  pins: number
}

/** What was let go since the store was opened: pins that were removed, and leases that ended. */
export interface Releases {
  pins: number
  leases: number
}

/** Opens the store below `directory`, making it if need be. Throws HOME_TOO_NEW, CATALOG_DAMAGED, STORE_FAILED. */
export async function openStore(deps: StoreDeps, { directory }: { directory: string }): Promise<Store> {
  await using scope = new Scope()
  const catalog = scope.use(await Catalog.open(directory))
  const files = new DiskFiles(deps, directory)
  await files.make()
  if (catalog.counts.blocks === 0) await adoptFiles({ catalog, files, log: deps.log })
  scope.move()
  return new Store(deps, catalog, files)
}

export class Store implements BlockStore, Losses, AsyncDisposable {
  readonly pins: Pins
  readonly #catalog: Catalog
  readonly #files: BlockFiles
  readonly #linksOf: LinksOf
  readonly #leases = new Map<Lease, number>()
  #leasesEnded = 0
  readonly #lossListeners = new Set<(cid: CID) => void>()
  #collecting: Promise<unknown> = Promise.resolve()

  constructor(deps: { clock: Clock; linksOf: LinksOf }, catalog: Catalog, files: BlockFiles) {
    this.#catalog = catalog
    this.#files = files
    this.#linksOf = deps.linksOf
    this.pins = new Pins({ catalog, clock: deps.clock })
  }

  has(cid: CID): boolean {
    return this.sizeOf(cid) !== undefined
  }

  sizeOf(cid: CID): number | undefined {
    const own = inlineBytes(cid)
    if (own) return own.byteLength
    const entry = this.#catalog.entry(cid.multihash.bytes)
    return entry && !(entry.kind === 'reference' && entry.broken) ? entry.sizeBytes : undefined
  }

  async get(cid: CID, options: Abortable = {}): Promise<Block> {
    requireKnownHash(cid)
    const { entry, bytes } = await this.#read(cid, options)
    if (matches(cid, bytes)) {
      if (entry?.kind === 'reference' && entry.broken) await this.#setBroken(cid, entry, false)
      return Block.verify(cid, bytes)
    }
    if (entry?.kind === 'reference') {
      await this.#setBroken(cid, entry, true)
      throw changed(entry.reference)
    }
    if (entry) await this.#discard(cid, entry)
    throw new StoreError('CORRUPT', `block ${cid} has rotted on the disk; it was set aside, and can be fetched again`)
  }

  async unverified(cid: CID, options: Abortable = {}): Promise<Uint8Array> {
    return (await this.#read(cid, options)).bytes
  }

  onLost(listener: (cid: CID) => void): () => void {
    this.#lossListeners.add(listener)
    return () => this.#lossListeners.delete(listener)
  }

  lease(reason: string): Lease {
    const end = () => {
      if (this.#leases.delete(lease)) this.#leasesEnded++
    }
    const lease: Lease = { reason, [Symbol.dispose]: end }
    this.#leases.set(lease, this.#catalog.generation)
    return lease
  }

  writer(lease: Lease): BlockWriter {
    if (!this.#leases.has(lease)) throw new Error('the lease of this writer has ended')
    return new StoreWriter({ catalog: this.#catalog, files: this.#files, reader: this })
  }

  /** Deletes what no pin and no lease needs, and what a crash left. One collection runs at a time; a second one waits. */
  gc(options: Abortable & Reporting = {}): Promise<Collected> {
    const deps = {
      catalog: this.#catalog,
      files: this.#files,
      pins: this.pins,
      reader: this,
      linksOf: this.#linksOf,
      oldestLease: () => (this.#leases.size === 0 ? undefined : Math.min(...this.#leases.values())),
    }
    const collected = this.#collecting.then(async () => {
      const done = await collect(deps, options)
      await sweepOrphans(deps, options)
      return done
    })
    this.#collecting = collected.catch(() => {})
    return collected
  }

  /** Reads every block again and compares it with its hash. */
  verify(options: Abortable & Reporting = {}): Promise<Verified> {
    return verify({ catalog: this.#catalog, files: this.#files, reader: this }, options)
  }

  /**
   * Reads some blocks again and compares them with their hashes: those that follow `after`, a key, in the order of keys.
   * `upTo` of the result is where the next call goes on.
   */
  examine(after: Uint8Array | undefined, options: Abortable = {}): Promise<Examined> {
    return examine({ catalog: this.#catalog, reader: this }, after, options)
  }

  /** A durable table for another organ. */
  table(name: string): Table {
    return new CatalogTable(this.#catalog, name)
  }

  stats(): StoreStats {
    const { blocks, inlineBytes, fileBytes, referencedBytes } = this.#catalog.counts
    const bytes = inlineBytes + fileBytes + referencedBytes
    return { blocks, bytes, inlineBytes, fileBytes, referencedBytes, pins: this.pins.count }
  }

  /** Two collections without any release between them: the second finds nothing. */
  releases(): Releases {
    return { pins: this.pins.removed, leases: this.#leasesEnded }
  }

  /** Waits for a running collection; writers must have been flushed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#collecting
    await this.#catalog[Symbol.asyncDispose]()
  }

  async #read(cid: CID, { signal }: Abortable): Promise<{ entry?: Entry; bytes: Uint8Array }> {
    signal?.throwIfAborted()
    const own = inlineBytes(cid)
    if (own) return { bytes: own }
    const key = cid.multihash.bytes
    const entry = this.#catalog.entry(key)
    if (!entry) throw notFound(cid)
    if (entry.kind === 'reference') return { entry, bytes: await this.#referenced(cid, entry) }
    const bytes = entry.kind === 'inline' ? copyOf(this.#catalog.inline.get(key)) : await this.#file(cid, key, entry)
    if (bytes) return { entry, bytes }
    // Collected, or written anew, between the two looks; or the disk has lost the file.
    const now = this.#catalog.entry(key)
    if (now && JSON.stringify(now) !== JSON.stringify(entry)) return await this.#read(cid, { signal })
    if (now) await this.#discard(cid, now)
    if (now) throw new StoreError('CORRUPT', `the file of block ${cid} is gone from the disk; it can be fetched again`)
    throw notFound(cid)
  }

  async #file(cid: CID, key: Uint8Array, entry: Entry & { kind: 'file' }): Promise<Uint8Array | undefined> {
    try {
      return await this.#files.read({ key, ...entry })
    } catch (error) {
      // A bad sector, and as good as rotten. Where nothing can be moved either, it is the disk that is gone.
      if (codeOf(error) !== 'EIO') throw error
      await this.#discard(cid, entry)
      const why = `the disk cannot read block ${cid} any more; it was set aside, and can be fetched again`
      throw new StoreError('CORRUPT', why, { cause: error })
    }
  }

  async #referenced(cid: CID, entry: Entry & { kind: 'reference' }): Promise<Uint8Array> {
    const { path, offset, length, mtimeMs } = entry.reference
    try {
      await using file = await openFile(path, 'r')
      const stats = await file.stat()
      const bytes = new Uint8Array(length)
      const { bytesRead } = await file.read(bytes, 0, length, offset)
      if (bytesRead === length && stats.mtimeMs === mtimeMs) return bytes
      // Touched, perhaps not changed: the hash decides.
      if (bytesRead === length && matches(cid, bytes)) return bytes
    } catch {
      // Gone or unreadable: the same to whoever asks for the block.
    }
    await this.#setBroken(cid, entry, true)
    throw changed(entry.reference)
  }

  async #setBroken(cid: CID, entry: Entry & { kind: 'reference' }, broken: boolean): Promise<void> {
    if (entry.broken === broken) return
    const key = cid.multihash.bytes
    await this.#catalog.change(() => {
      const now = this.#catalog.entry(key)
      if (now?.kind === 'reference') this.#catalog.set(key, { ...now, broken })
    })
    if (broken) this.#tellLost(cid)
  }

  // Only the very copy that failed: it may have been fetched again meanwhile.
  async #discard(cid: CID, failed: Entry): Promise<void> {
    const key = cid.multihash.bytes
    if (failed.kind === 'file') await this.#files.quarantine({ key, fileId: failed.fileId })
    await this.#catalog.change(() => {
      const now = this.#catalog.entry(key)
      const same = now?.kind === failed.kind && (now.kind !== 'file' || now.fileId === (failed as typeof now).fileId)
      if (now && same) this.#catalog.remove(key, now)
    })
    this.#tellLost(cid)
  }

  #tellLost(cid: CID): void {
    for (const listener of this.#lossListeners) listener(cid)
  }
}

// The database lends its memory only until the next read.
function copyOf(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && new Uint8Array(bytes)
}

function notFound(cid: CID): StoreError {
  return new StoreError('NOT_FOUND', `block ${cid} is not in this store`)
}

function changed({ path }: BlockReference): StoreError {
  return new StoreError(
    'REFERENCE_CHANGED',
    `the file ${path} has changed or gone since it was added by reference; add it again`,
  )
}
