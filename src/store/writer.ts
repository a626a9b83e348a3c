// Blocks on their way to the disk. Large ones are written and synced as files at once, several at a time; small ones wait.
// A commit makes the names of all files written so far durable and then, in one transaction, makes all blocks exist. So
// one commit pays for many blocks, and a crash before it leaves only files that nobody believes in. A writer that is
// disposed of before it has flushed takes its files with it. What is here already is read before it is left as it is: the
// catalog does not know what has rotted since, and whoever puts a block may have no other copy of it tomorrow.
import type { CID } from 'multiformats/cid'
import { type Abortable, abortable } from '../base/abort.ts'
import { type Block, inlineBytes } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReference, BlockStore, BlockWriter } from '../core/ports.ts'
import type { BlockFiles, FileName } from './block-files.ts'
import { type Catalog, nameOf } from './catalog.ts'
import type { Entry } from './entry.ts'
import { isUnreadable, StoreError, writeError } from './errors.ts'

type Kept =
  | { kind: 'inline'; key: Uint8Array; bytes: Uint8Array }
  | { kind: 'file'; key: Uint8Array; sizeBytes: number; fileId: string }
  | { kind: 'reference'; key: Uint8Array; reference: BlockReference }
  | { kind: 'touch'; key: Uint8Array }

/** A commit is worth its price from this many waiting bytes, bytes in files, or blocks on. */
const commitBytes = limits.writeBytesMax / 4
const commitFileBytes = 4 * limits.writeBytesMax
const commitBlocks = limits.writeBlocksMax / 4

type Reader = Pick<BlockStore, 'get' | 'unverified'>

export interface WriterDeps {
  catalog: Catalog
  files: BlockFiles
  reader: Reader
}

export class StoreWriter implements BlockWriter {
  readonly #catalog: Catalog
  readonly #files: BlockFiles
  readonly #reader: Reader
  #waiting = new Map<string, Kept>()
  #waitingBytes = 0
  /** Bytes in files that are on the disk and wait for their commit: a crash loses no more of a long fetch. */
  #waitingFileBytes = 0
  /** Bytes and blocks taken and not yet durable. */
  #underwayBytes = 0
  #underwayBlocks = 0
  readonly #fileWrites = new Set<Promise<void>>()
  /** Blocks whose files are being written. */
  readonly #writing = new Set<string>()
  /** What is in commits that have not ended. */
  readonly #committing = new Map<string, Kept>()
  #commits: Promise<void> = Promise.resolve()
  #failure: Error | undefined
  #onProgress = Promise.withResolvers<void>()

  constructor({ catalog, files, reader }: WriterDeps) {
    this.#catalog = catalog
    this.#files = files
    this.#reader = reader
  }

  async put(block: Block, options: Abortable = {}): Promise<void> {
    const which = { mayRefer: false }
    if (await this.#has(block, which, options)) return
    if (this.#full()) await this.#room(options)
    // It may have ended meanwhile, and nobody commits any more.
    this.#throwFailure()
    const key = block.cid.multihash.bytes
    // Somebody else may have put the same meanwhile.
    if (this.#isComing(nameOf(key), which)) return
    const sizeBytes = block.bytes.byteLength
    this.#underwayBytes += sizeBytes
    this.#underwayBlocks++
    if (sizeBytes <= limits.inlineBytesMax) this.#keep({ kind: 'inline', key, bytes: block.bytes }, sizeBytes)
    else this.#startFile(key, block.bytes)
  }

  async putReference(block: Block, reference: BlockReference, options: Abortable = {}): Promise<void> {
    const which = { mayRefer: true }
    if (await this.#has(block, which, options)) return
    if (this.#full()) await this.#room(options)
    this.#throwFailure()
    const key = block.cid.multihash.bytes
    if (this.#isComing(nameOf(key), which)) return
    this.#underwayBlocks++
    this.#keep({ kind: 'reference', key, reference }, 0)
  }

  touch(cid: CID): boolean {
    this.#throwFailure()
    if (inlineBytes(cid)) return true
    const key = cid.multihash.bytes
    const name = nameOf(key)
    if (this.#isComing(name, { mayRefer: true })) return true
    const entry = this.#catalog.entry(key)
    if (!entry || (entry.kind === 'reference' && entry.broken)) return false
    // Already of this generation, or soon to be: no collection that has begun can take it.
    if (entry.generation >= this.#catalog.generation || this.#waiting.has(name)) return true
    this.#underwayBlocks++
    // The new generation becomes visible with the commit; until then the block is held by hand.
    this.#catalog.hold(name)
    this.#keep({ kind: 'touch', key }, 0)
    return true
  }

  async flush({ signal }: Abortable = {}): Promise<void> {
    // What is put meanwhile is not waited for: that might never end.
    await abortable(Promise.all(this.#fileWrites), signal)
    this.#commit()
    await abortable(this.#commits, signal)
    this.#throwFailure()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new StoreError('STORE_FAILED', 'this writer has ended'))
    await Promise.all(this.#fileWrites)
    // One that has failed gives up whatever waits.
    this.#commit()
    await this.#commits
  }

  /** True for a block that need not be written: it is on its way already, or whole and safe from collections. */
  async #has(block: Block, which: { mayRefer: boolean }, options: Abortable): Promise<boolean> {
    this.#throwFailure()
    const { cid } = block
    if (inlineBytes(cid) || this.#isComing(nameOf(cid.multihash.bytes), which)) return true
    const entry = this.#catalog.entry(cid.multihash.bytes)
    if (!entry || (entry.kind === 'reference' && (!which.mayRefer || entry.broken))) return false
    return (await this.#isWhole(block, options)) && this.touch(cid)
  }

  async #isWhole({ cid, bytes }: Block, options: Abortable): Promise<boolean> {
    try {
      if (Buffer.compare(await this.#reader.unverified(cid, options), bytes) === 0) return true
      // Reading it as what it should be sets aside what it is.
      await this.#reader.get(cid, options)
      return true
    } catch (error) {
      if (isUnreadable(error)) return false
      throw error
    }
  }

  /** True for bytes that this writer is writing or will write, or for a place where they are. */
  #isComing(name: string, { mayRefer }: { mayRefer: boolean }): boolean {
    if (this.#writing.has(name)) return true
    const isIt = (kept: Kept | undefined) => kept && kept.kind !== 'touch' && (mayRefer || kept.kind !== 'reference')
    return [this.#waiting.get(name), this.#committing.get(name)].some(isIt)
  }

  #full(): boolean {
    return this.#underwayBytes >= limits.writeBytesMax || this.#underwayBlocks >= limits.writeBlocksMax
  }

  async #room({ signal }: Abortable): Promise<void> {
    while (this.#full() && !this.#failure) {
      if (this.#fileWrites.size === 0) this.#commit()
      await abortable(this.#onProgress.promise, signal)
    }
    this.#throwFailure()
  }

  #startFile(key: Uint8Array, bytes: Uint8Array): void {
    const name = nameOf(key)
    this.#writing.add(name)
    const write = this.#files
      .write(key, bytes)
      .then(
        // The bytes are on the disk, so they no longer count as memory; the block still waits for its commit.
        (fileId) => {
          this.#underwayBytes -= bytes.byteLength
          this.#keep({ kind: 'file', key, sizeBytes: bytes.byteLength, fileId }, 0)
        },
        (error) => {
          this.#underwayBytes -= bytes.byteLength
          this.#underwayBlocks--
          this.#fail(error)
        },
      )
      .finally(() => {
        this.#writing.delete(name)
        this.#fileWrites.delete(write)
        this.#moved()
      })
    this.#fileWrites.add(write)
  }

  #keep(kept: Kept, sizeBytes: number): void {
    const name = nameOf(kept.key)
    const before = this.#waiting.get(name)
    if (before) this.#underwayBlocks--
    if (before?.kind === 'touch') this.#catalog.letGo(name)
    this.#waiting.set(name, kept)
    this.#waitingBytes += sizeBytes
    if (kept.kind === 'file') this.#waitingFileBytes += kept.sizeBytes
    const isWorthIt =
      this.#waitingBytes >= commitBytes ||
      this.#waitingFileBytes >= commitFileBytes ||
      this.#waiting.size >= commitBlocks
    if (isWorthIt) this.#commit()
  }

  // Commits run one after the other; each takes what waits when it is asked for.
  #commit(): void {
    if (this.#waiting.size === 0) return
    const batch = [...this.#waiting.values()]
    const batchBytes = this.#waitingBytes
    this.#waiting = new Map()
    this.#waitingBytes = 0
    this.#waitingFileBytes = 0
    for (const kept of batch) if (kept.kind !== 'touch') this.#committing.set(nameOf(kept.key), kept)
    this.#commits = this.#commits.then(async () => {
      const files = batch.filter((kept) => kept.kind === 'file')
      let unneeded: FileName[] = files
      try {
        this.#throwFailure()
        await this.#files.syncShards(files)
        unneeded = await this.#catalog.change(() => batch.flatMap((kept) => this.#apply(kept)))
      } catch (error) {
        this.#fail(error)
      }
      this.#underwayBytes -= batchBytes
      this.#underwayBlocks -= batch.length
      // One that stays behind is an orphan, which a later sweep removes.
      await this.#files.remove(unneeded).catch(() => {})
      this.#files.settle(files)
      for (const kept of batch) {
        const name = nameOf(kept.key)
        if (kept.kind === 'touch') this.#catalog.letGo(name)
        // The bytes of what was put as a reference may come in a later commit.
        else if (this.#committing.get(name) === kept) this.#committing.delete(name)
      }
      this.#moved()
    })
  }

  // Runs inside the transaction. What another writer brought meanwhile stays; the file of this one is then not needed.
  #apply(kept: Kept): FileName[] {
    const catalog = this.#catalog
    const { generation } = catalog
    const old = catalog.entry(kept.key)
    if (kept.kind === 'touch' || (old && (old.kind !== 'reference' || kept.kind === 'reference'))) {
      if (old) catalog.set(kept.key, refreshed(old, kept, generation))
      return kept.kind === 'file' ? [{ key: kept.key, fileId: kept.fileId }] : []
    }
    const life = { generation, mark: old?.mark ?? 0 }
    if (kept.kind === 'inline') {
      void catalog.inline.put(kept.key, kept.bytes)
      catalog.set(kept.key, { kind: 'inline', sizeBytes: kept.bytes.byteLength, ...life })
    } else if (kept.kind === 'file')
      catalog.set(kept.key, { kind: 'file', fileId: kept.fileId, sizeBytes: kept.sizeBytes, ...life })
    else
      catalog.set(kept.key, {
        kind: 'reference',
        broken: false,
        reference: kept.reference,
        sizeBytes: kept.reference.length,
        ...life,
      })
    return []
  }

  #fail(error: unknown): void {
    this.#failure ??= writeError(error, this.#catalog.directory)
  }

  #moved(): void {
    this.#onProgress.resolve()
    this.#onProgress = Promise.withResolvers<void>()
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure
  }
}

function refreshed(old: Entry, kept: Kept, generation: number): Entry {
  const mended = old.kind === 'reference' && kept.kind === 'reference'
  return mended ? { ...old, reference: kept.reference, broken: false, generation } : { ...old, generation }
}
