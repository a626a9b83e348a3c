// Bytes in pieces, read as frames. A ByteReader pulls chunks from a source and hands out exact lengths; a large read is
// copied once, into the buffer that the caller keeps. Varints are unsigned LEB128, as in all multiformats, up to 2^53-1.
import type { Abortable } from './abort.ts'
import { BaseError } from './errors.ts'

/** The next pieces of a byte stream; undefined when it has ended. An empty list is allowed. */
export type PullBytes = (options: Abortable) => Promise<Uint8Array[] | undefined>

export class ByteReader {
  readonly #pull: PullBytes
  #chunks: Uint8Array[] = []
  #head = 0
  #offset = 0
  #buffered = 0
  #ended = false

  constructor(pull: PullBytes) {
    this.#pull = pull
  }

  /** Bytes that can be read without waiting. */
  get buffered(): number {
    return this.#buffered
  }

  /** True when the source has ended and all was read; waits for the next byte to know. */
  async atEnd(options: Abortable = {}): Promise<boolean> {
    return !(await this.#fill(1, options))
  }

  /** Exactly `length` bytes, in a buffer of their own. Throws TRUNCATED if the source ends before. */
  async exact(length: number, options: Abortable = {}): Promise<Uint8Array> {
    // Not filled with zeros first, since every byte is written or the buffer is dropped; and not from the shared pool, which
    // would keep 8 KiB alive for a small read.
    const target = Buffer.allocUnsafeSlow(length)
    let at = 0
    while (at < length) {
      if (this.#buffered === 0 && !(await this.#fill(1, options)))
        throw new BaseError('TRUNCATED', `the stream ended ${length - at} bytes early`, { retryable: true })
      at += this.#take(target, at)
    }
    return target
  }

  /** An unsigned varint. Throws TRUNCATED at the end of the source. */
  async varint(options: Abortable = {}): Promise<number> {
    let value = 0
    for (let index = 0; index < 8; index++) {
      if (this.#buffered === 0 && !(await this.#fill(1, options)))
        throw new BaseError('TRUNCATED', 'the stream ended inside a number', { retryable: true })
      const byte = this.#takeByte()
      value += (byte & 0x7f) * 2 ** (7 * index)
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
    }
    throw new BaseError('FRAME_TOO_LARGE', 'the stream has a number that is too large')
  }

  /** A varint length and that many bytes; undefined at a clean end. Throws FRAME_TOO_LARGE past `bytesMax`. */
  async frame(bytesMax: number, options: Abortable = {}): Promise<Uint8Array | undefined> {
    if (await this.atEnd(options)) return undefined
    const length = await this.varint(options)
    if (length > bytesMax)
      throw new BaseError('FRAME_TOO_LARGE', `a message of ${length} bytes is over the limit of ${bytesMax}`)
    return await this.exact(length, options)
  }

  async #fill(wanted: number, options: Abortable): Promise<boolean> {
    while (this.#buffered < wanted && !this.#ended) {
      const chunks = await this.#pull(options)
      if (!chunks) {
        this.#ended = true
        break
      }
      if (this.#head > 0) {
        this.#chunks = this.#chunks.slice(this.#head)
        this.#head = 0
      }
      for (const chunk of chunks) {
        if (chunk.byteLength === 0) continue
        this.#chunks.push(chunk)
        this.#buffered += chunk.byteLength
      }
    }
    return this.#buffered >= wanted
  }

  #take(target: Uint8Array, at: number): number {
    let copied = 0
    while (this.#buffered > 0 && at + copied < target.byteLength) {
      const chunk = this.#chunks[this.#head]!
      const piece = chunk.subarray(this.#offset, this.#offset + target.byteLength - at - copied)
      target.set(piece, at + copied)
      copied += piece.byteLength
      this.#advance(piece.byteLength)
    }
    return copied
  }

  #takeByte(): number {
    const byte = this.#chunks[this.#head]![this.#offset]!
    this.#advance(1)
    return byte
  }

  #advance(length: number): void {
    this.#offset += length
    this.#buffered -= length
    if (this.#offset < this.#chunks[this.#head]!.byteLength) return
    this.#chunks[this.#head] = empty
    this.#head++
    this.#offset = 0
  }
}

const empty = new Uint8Array(0)

/** An unsigned varint as bytes. */
export function varintBytes(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 128) | 0x80)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** Reads a varint at `offset` of a buffer: its value and the offset after it. Throws TRUNCATED or FRAME_TOO_LARGE. */
export function readVarint(bytes: Uint8Array, offset: number): { value: number; next: number } {
  let value = 0
  for (let index = 0; index < 8; index++) {
    const byte = bytes[offset + index]
    if (byte === undefined) throw new BaseError('TRUNCATED', 'the message ended inside a number')
    value += (byte & 0x7f) * 2 ** (7 * index)
    if (byte < 0x80 && value <= Number.MAX_SAFE_INTEGER) return { value, next: offset + index + 1 }
  }
  throw new BaseError('FRAME_TOO_LARGE', 'the message has a number that is too large')
}
