// One file becomes leaves and inner nodes. Reading runs ahead of hashing, within a budget of bytes that all files of one
// operation share; a file that changes under our hands is refused, because half of each version is neither.
import type { Abortable } from '../base/abort.ts'
import type { Block } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockWriter, OnProgress } from '../core/ports.ts'
import { closeFile, describe, describeOpen, openToRead, readAt } from './disk.ts'
import { FilesError } from './errors.ts'
import { FileLayout } from './layout.ts'
import type { Profile } from './profiles.ts'
import { Slots } from './slots.ts'
import { leafBlock, type Part, partOf } from './unixfs.ts'

/** Where the bytes of a leaf lie, if they are to stay there. */
interface Origin {
  path: string
  mtimeMs: number
}

/** One adding operation: where blocks go, and what has been done so far. */
export class AddRun {
  readonly profile: Profile
  readonly signal: AbortSignal | undefined
  readonly bytesInFlight = new Slots(limits.fileBytesInFlightMax)
  blocks = 0
  files = 0
  sizeBytes = 0
  skipped = 0
  misnamed = 0
  readonly #writer: BlockWriter
  readonly #onProgress: OnProgress | undefined
  readonly #totalBytes: number | undefined

  constructor(
    writer: BlockWriter,
    options: { profile: Profile; onProgress?: OnProgress | undefined; totalBytes?: number | undefined } & Abortable,
  ) {
    this.#writer = writer
    this.profile = options.profile
    this.signal = options.signal
    this.#onProgress = options.onProgress
    this.#totalBytes = options.totalBytes
  }

  put(block: Block): Promise<void> {
    this.blocks++
    return this.#writer.put(block, { signal: this.signal })
  }

  async putAll(blocks: Iterable<Block>): Promise<void> {
    for (const block of blocks) await this.put(block)
  }

  /** The next leaf of the file at `path`; its bytes stay where they are if there is an origin. */
  async putLeaf(bytes: Uint8Array, offset: number, path: string, origin?: Origin): Promise<Part> {
    this.signal?.throwIfAborted()
    const block = leafBlock(this.profile, bytes)
    // An empty leaf has nothing that could stay.
    if (origin && bytes.byteLength > 0) {
      this.blocks++
      const reference = { ...origin, offset, length: bytes.byteLength }
      await this.#writer.putReference(block, reference, { signal: this.signal })
    } else await this.put(block)
    this.sizeBytes += bytes.byteLength
    this.tell(path)
    return partOf(block, bytes.byteLength)
  }

  tell(note: string): void {
    this.#onProgress?.({ phase: 'reading', done: this.sizeBytes, total: this.#totalBytes, unit: 'bytes', note })
  }

  skip(path: string, kind: string): void {
    this.skipped++
    this.tell(`skipped '${path}': it is ${kind}`)
  }

  skipMisnamed(path: string): void {
    this.misnamed++
    this.tell(`skipped '${path}': its name is not valid UTF-8`)
  }
}

/** Adds the file at an absolute path. Throws FILE_CHANGED, SPECIAL_FILE, PERMISSION, NOT_FOUND_PATH. */
export async function addFile(run: AddRun, path: string, options: { reference: boolean }): Promise<Part> {
  const descriptor = await openToRead(path)
  try {
    const before = await describeOpen(descriptor, path)
    if (!before.isFile()) throw new FilesError('SPECIAL_FILE', `'${path}' is not a file, a folder or a link`)
    const origin = options.reference ? { path, mtimeMs: before.mtimeMs } : undefined
    const layout = new FileLayout(run.profile)
    for await (const { bytes, offset } of chunksOf(run, descriptor, path, before.size))
      await run.putAll(layout.add(await run.putLeaf(bytes, offset, path, origin)))
    const { root, done } = layout.finish()
    await run.putAll(done)
    // By path, not by descriptor: a file that was replaced meanwhile has changed too.
    const after = await describe(path)
    if (after?.size !== before.size || after.mtimeMs !== before.mtimeMs || after.ino !== before.ino) throw changed(path)
    run.files++
    return root
  } finally {
    await closeFile(descriptor, path)
  }
}

interface Pending {
  length: number
  bytes: Promise<Uint8Array | undefined>
  giveBack: Promise<() => void>
}

/** The chunks of an open file in order, each within the budget until the next is asked for. One empty chunk if it is empty. */
async function* chunksOf(
  run: AddRun,
  descriptor: number,
  path: string,
  sizeBytes: number,
): AsyncGenerator<{ bytes: Uint8Array; offset: number }> {
  if (sizeBytes === 0) return yield { bytes: new Uint8Array(0), offset: 0 }
  const pending: Pending[] = []
  let asked = 0
  const ask = () => {
    const offset = asked
    const length = Math.min(run.profile.chunkBytes, sizeBytes - offset)
    asked += length
    const giveBack = run.bytesInFlight.take(length)
    const bytes = giveBack.then(() => readAt(descriptor, path, offset, length))
    bytes.catch(() => {})
    pending.push({ length, bytes, giveBack })
  }
  try {
    for (let offset = 0; offset < sizeBytes; ) {
      while (asked < sizeBytes && pending.length < limits.fileChunksAhead) ask()
      const bytes = await pending[0]!.bytes
      if (!bytes) throw changed(path)
      yield { bytes, offset }
      offset += bytes.byteLength
      const give = await pending.shift()!.giveBack
      give()
    }
  } finally {
    // The descriptor stays open until nobody reads from it.
    for (const { bytes, giveBack } of pending) {
      await bytes.catch(() => {})
      const give = await giveBack
      give()
    }
  }
}

function changed(path: string): FilesError {
  return new FilesError('FILE_CHANGED', `'${path}' changed while it was being added; add it again`, { retryable: true })
}
