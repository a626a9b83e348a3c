// CAR: a DAG as one stream of bytes. Written as version 1; read as 1 or 2, from anyone: lengths are limited before memory
// is taken, every block is verified before it is put, and errors say at which byte. Nothing larger than a block is held,
// so that a file of any size passes through. @ipld/car's readers neither verify nor limit, hence our own framing.
// Format: https://ipld.io/specs/transport/car/
import { decode as decodeCbor, encode as encodeCbor } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { codeOf } from '../base/errors.ts'
import { ByteReader, varintBytes } from '../base/frames.ts'
import { Block, CoreError, inlineBytes } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReader, BlockWriter } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import { walkDag } from './dag.ts'
import { FilesError } from './errors.ts'
import { Source } from './pull.ts'

export interface Imported {
  roots: CID[]
  blocks: number
  /** Bytes of blocks. */
  sizeBytes: number
}

/** Small frames are gathered into pieces of this size: a socket or file does not want 40 bytes at a time. */
const pieceBytes = 64 * 1024

/** The DAGs below the roots as CAR version 1, in depth, each block once. Throws as `walkDag` does. */
export async function* exportCar(
  reader: BlockReader,
  roots: CID[],
  options: Abortable = {},
): AsyncGenerator<Uint8Array> {
  const header = encodeCbor({ version: 1, roots })
  let gathered = [varintBytes(header.byteLength), header]
  let gatheredBytes = header.byteLength
  for await (const { cid, bytes } of walkDag(reader, roots, options)) {
    // A CID that carries its block needs no copy of it.
    if (inlineBytes(cid)) continue
    gathered.push(varintBytes(cid.bytes.byteLength + bytes.byteLength), cid.bytes)
    const large = bytes.byteLength >= pieceBytes
    if (!large) gathered.push(bytes)
    gatheredBytes += cid.bytes.byteLength + bytes.byteLength
    if (gatheredBytes >= pieceBytes) {
      yield Buffer.concat(gathered)
      if (large) yield bytes
      gathered = []
      gatheredBytes = 0
    }
  }
  if (gathered.length > 0) yield Buffer.concat(gathered)
}

/**
 * Puts the blocks of a CAR. Throws CAR_INVALID, CAR_TRUNCATED, MISMATCH, HASH_UNSUPPORTED, BLOCK_TOO_LARGE, each with the
 * offset, and what the writer throws; blocks before that have been put. Nothing is flushed.
 */
export async function importCar(
  deps: { writer: BlockWriter },
  pieces: AsyncIterable<Uint8Array>,
  { signal, onProgress }: Abortable & Reporting = {},
): Promise<Imported> {
  const source = new Source(pieces)
  const input = new CarInput(source, signal)
  try {
    const { roots, end } = await readHeaders(input)
    const imported = { roots, blocks: 0, sizeBytes: 0 }
    for (let block = await nextBlock(input, end); block; block = await nextBlock(input, end)) {
      if (!inlineBytes(block.cid)) await deps.writer.put(block, { signal })
      imported.blocks++
      imported.sizeBytes += block.bytes.byteLength
      onProgress?.({ phase: 'reading', done: input.offset, unit: 'bytes' })
    }
    return imported
  } finally {
    source.release()
  }
}

/** The roots that a CAR names, by its beginning. Throws CAR_INVALID, and CAR_TRUNCATED if its header is not whole. */
export async function carRoots(pieces: AsyncIterable<Uint8Array>): Promise<CID[]> {
  const source = new Source(pieces)
  try {
    return (await readHeaders(new CarInput(source, undefined))).roots
  } finally {
    source.release()
  }
}

/** The stream as frames, with the offset that errors name. */
class CarInput {
  readonly #reader: ByteReader
  readonly #options: Abortable
  #pulledBytes = 0

  constructor(source: Source, signal: AbortSignal | undefined) {
    this.#options = { signal }
    this.#reader = new ByteReader(async (options) => {
      const piece = await source.next(options)
      this.#pulledBytes += piece?.byteLength ?? 0
      return piece && [piece]
    })
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#pulledBytes - this.#reader.buffered
  }

  atEnd(): Promise<boolean> {
    return this.#reader.atEnd(this.#options)
  }

  exact(length: number): Promise<Uint8Array> {
    return this.#framed(() => this.#reader.exact(length, this.#options))
  }

  varint(): Promise<number> {
    return this.#framed(() => this.#reader.varint(this.#options))
  }

  /** The next bytes, however many there are, at most `length` and a piece. */
  async some(length: number): Promise<Uint8Array> {
    if (await this.atEnd()) return await this.exact(1)
    return await this.exact(Math.min(length, this.#reader.buffered, pieceBytes))
  }

  async #framed<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (codeOf(error) === 'TRUNCATED')
        throw new FilesError(
          'CAR_TRUNCATED',
          `the CAR is cut off: it ends after ${this.#pulledBytes} bytes, in the middle of something; get it again`,
        )
      if (codeOf(error) === 'FRAME_TOO_LARGE') throw invalid(this.offset, 'there is a length that is too large')
      throw error
    }
  }
}

function invalid(offset: number, what: string): FilesError {
  return new FilesError('CAR_INVALID', `the CAR is damaged: at byte ${offset} ${what}`)
}

function notCar(why: string): FilesError {
  return new FilesError('CAR_INVALID', `this is not a CAR file: ${why}`)
}

/** The roots, and the offset where blocks end. */
async function readHeaders(input: CarInput): Promise<{ roots: CID[]; end: number }> {
  if (await input.atEnd()) throw notCar('it is empty')
  const first = await readHeader(input)
  if (first.version === 1) return { roots: first.roots, end: Number.POSITIVE_INFINITY }
  const fixed = await input.exact(40)
  const view = new DataView(fixed.buffer, fixed.byteOffset, fixed.byteLength)
  const dataOffset = Number(view.getBigUint64(16, true))
  const end = dataOffset + Number(view.getBigUint64(24, true))
  if (dataOffset < input.offset || !Number.isSafeInteger(end))
    throw invalid(input.offset, 'the header says that the data is where it cannot be')
  while (input.offset < dataOffset) await input.some(dataOffset - input.offset)
  const inner = await readHeader(input)
  if (inner.version !== 1 || input.offset > end) throw invalid(dataOffset, 'there is no CAR version 1 inside')
  return { roots: inner.roots, end }
}

async function readHeader(input: CarInput): Promise<{ version: 1; roots: CID[] } | { version: 2 }> {
  const start = input.offset
  const length = await input.varint().catch((error) => {
    throw codeOf(error) === 'CAR_INVALID' ? notCar('it does not begin with a header') : error
  })
  if (length === 0 || length > limits.carHeaderBytesMax)
    throw notCar(`it begins with a header of ${length} bytes, and the most is ${limits.carHeaderBytesMax}`)
  // A header is a map of one or two entries. Looking at that first tells a cut CAR from something else.
  const kind = await input.exact(1)
  if (kind[0] !== 0xa1 && kind[0] !== 0xa2) throw notCar('it does not begin with a header')
  const header = decodeHeader(Buffer.concat([kind, await input.exact(length - 1)]))
  const { version, roots } = header ?? {}
  if (version === 1 && Array.isArray(roots) && roots.every((root) => CID.asCID(root)))
    return { version, roots: roots.map((root) => CID.asCID(root)!) }
  if (version === 2 && roots === undefined && start === 0) return { version }
  throw notCar('its header is not one of version 1 or 2')
}

function decodeHeader(bytes: Uint8Array): { version?: unknown; roots?: unknown } | undefined {
  try {
    return decodeCbor(bytes)
  } catch {
    return undefined
  }
}

/** The next block, verified; undefined at the end. */
async function nextBlock(input: CarInput, end: number): Promise<Block | undefined> {
  const start = input.offset
  if (start === end || (end === Number.POSITIVE_INFINITY && (await input.atEnd()))) return undefined
  const length = await input.varint()
  if (length === 0) return await requireZeros(input, start, end)
  if (input.offset + length > end) throw invalid(start, 'there is a block that reaches past the end of the data')
  if (length > limits.blockBytesMax + cidBytesMax)
    throw new FilesError(
      'BLOCK_TOO_LARGE',
      `the CAR has a block of ${length} bytes at byte ${start}; the limit is ${limits.blockBytesMax}`,
    )
  const [cid, bytes] = splitSection(await input.exact(length), start)
  try {
    return Block.verify(cid, bytes)
  } catch (error) {
    if (!(error instanceof CoreError)) throw error
    throw new FilesError(error.code as 'MISMATCH', `the CAR is damaged at byte ${start}: ${error.message}`, {
      cause: error,
    })
  }
}

/** A CID as text may be long, but a multihash that we can check is short: identity's limit and the numbers before it. */
const cidBytesMax = limits.identityBytesMax + 32

function splitSection(section: Uint8Array, start: number): [CID, Uint8Array] {
  try {
    return CID.decodeFirst(section)
  } catch {
    throw invalid(start, 'there is no CID where a block should begin')
  }
}

// Some writers pad to a multiple of a disk's sector. Zeros are that; anything after them is damage.
async function requireZeros(input: CarInput, start: number, end: number): Promise<undefined> {
  while (input.offset < end && !(end === Number.POSITIVE_INFINITY && (await input.atEnd()))) {
    const bytes = await input.some(end - input.offset)
    if (bytes.some((byte) => byte !== 0)) throw invalid(start, 'there is an empty block')
  }
}
