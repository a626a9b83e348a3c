// Requests and answers as bytes: a frame is a varint length, a varint id, a byte that says what it is, and a payload. Frames
// are cut out of whatever pieces the wire delivers, and gathered into few writes, since a write costs a system call and a
// small frame nearly nothing. Nothing here knows what the payloads mean.
import { BaseError, CodedError, sentenceOf } from '../base/errors.ts'
import { readVarint, varintBytes } from '../base/frames.ts'
import { CoreError } from './block.ts'
import { limits } from './limits.ts'
import type { Channel } from './ports.ts'

export const frameKinds = { request: 0, answer: 1, refusal: 2 } as const

export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds]

export interface CallFrame {
  id: number
  kind: FrameKind
  payload: Uint8Array
}

/** Most bytes of a frame besides its payload, the length not counted: an id of 2^53 and the kind. */
const headBytesMax = 9
/** A varint of a length that is allowed. */
const lengthBytesMax = 4

/** Throws FRAME_TOO_LARGE for a request or answer that the other side would not take. */
export function checkPayload(payload: Uint8Array, what: 'request' | 'answer'): void {
  if (payload.byteLength > limits.callBytesMax)
    throw new BaseError(
      'FRAME_TOO_LARGE',
      `a ${what} of ${payload.byteLength} bytes is over the limit of ${limits.callBytesMax}; ask for less at a time`,
    )
}

/** Cuts frames out of the pieces of a stream, whole or broken anywhere. */
export class FrameCutter {
  #held: Uint8Array[] = []
  #heldBytes = 0
  /** Below this many bytes there is no frame to be had. */
  #neededBytes = 1
  #at = 0

  push(pieces: Uint8Array[]): void {
    for (const piece of pieces) {
      this.#held.push(piece)
      this.#heldBytes += piece.byteLength
    }
  }

  /** The next frame; undefined until more has come. Throws STREAM_BROKEN for what is none. */
  next(): CallFrame | undefined {
    if (this.#heldBytes - this.#at < this.#neededBytes) return undefined
    const bytes = this.#joined()
    const available = Math.min(bytes.byteLength - this.#at, lengthBytesMax)
    const whole = bytes.subarray(this.#at, this.#at + available).some((byte) => byte < 0x80)
    if (!whole && available < lengthBytesMax) return this.#wait(available + 1)
    const { value: length, next: start } = this.#lengthAt(bytes)
    const end = start + length
    if (end > bytes.byteLength) return this.#wait(end - this.#at)
    const frame = frameOf(bytes.subarray(start, end))
    this.#at = end
    this.#neededBytes = 1
    // A line that is idle now shall not keep the packet alive that it was last given.
    if (end === this.#heldBytes) this.#drop()
    return frame
  }

  #drop(): void {
    this.#held = []
    this.#heldBytes = 0
    this.#at = 0
  }

  // Pieces are joined once per frame that spans them, not once per piece.
  #joined(): Uint8Array {
    if (this.#held.length === 1) return this.#held[0]!
    const joined = Buffer.concat(this.#held).subarray(this.#at)
    this.#held = [joined]
    this.#heldBytes = joined.byteLength
    this.#at = 0
    return joined
  }

  #wait(neededBytes: number): undefined {
    this.#neededBytes = neededBytes
    const rest = this.#joined().subarray(this.#at)
    this.#held = rest.byteLength > 0 ? [rest] : []
    this.#heldBytes = rest.byteLength
    this.#at = 0
  }

  #lengthAt(bytes: Uint8Array): { value: number; next: number } {
    const length = read(bytes, this.#at)
    if (length.value < 2 || length.value > limits.callBytesMax + headBytesMax)
      throw garbled(`a message of ${length.value} bytes`)
    return length
  }
}

function frameOf(bytes: Uint8Array): CallFrame {
  const { value: id, next } = read(bytes, 0)
  const kind = bytes[next]
  if (kind !== frameKinds.request && kind !== frameKinds.answer && kind !== frameKinds.refusal)
    throw garbled('a message of an unknown kind')
  const payload = bytes.subarray(next + 1)
  if (payload.byteLength > limits.callBytesMax) throw garbled(`a message of ${payload.byteLength} bytes`)
  // A view of a small one would keep the whole piece that it came in alive.
  return { id, kind, payload: payload.byteLength < limits.callCopiedBytesMax ? new Uint8Array(payload) : payload }
}

function read(bytes: Uint8Array, at: number): { value: number; next: number } {
  try {
    return readVarint(bytes, at)
  } catch (error) {
    throw garbled(sentenceOf(error))
  }
}

/** A refusal as bytes: whether trying again may help, the code, and the sentence after a line break. */
export function refusalBytes(error: unknown): Uint8Array {
  const ours = error instanceof CodedError
  const code = ours ? error.code : 'INTERNAL'
  const sentence = ours ? error.message : 'something unexpected went wrong at the other peer; its log says more'
  const text = `${ours && error.retryable ? '1' : '0'}${code}\n${sentence}`
  return new TextEncoder().encode(text.slice(0, limits.refusalCharactersMax))
}

/** The caller's error; its cause carries the code that the handler's error had. */
export function refusalOf(payload: Uint8Array): CoreError {
  const text = new TextDecoder().decode(payload).slice(0, limits.refusalCharactersMax)
  const cut = text.indexOf('\n')
  const sentence = cut === -1 ? 'the other peer refused and did not say why' : text.slice(cut + 1)
  const cause = Object.assign(new Error(sentence), { code: cut === -1 ? '' : text.slice(1, cut) })
  return new CoreError('CALL_REFUSED', sentence, { retryable: text.startsWith('1'), cause })
}

/** What a peer sent that no peer should. */
export function garbled(what: string): CoreError {
  return new CoreError('STREAM_BROKEN', `the other peer sent ${what}`, { retryable: true })
}

/**
 * Writes frames to a channel, as many in one write as are there. Payloads must not change before they are written. `room`
 * is called when frames have left, `broken` once when a write failed; nothing is written after that.
 */
export class FrameWriter {
  readonly #channel: Channel
  readonly #room: () => void
  readonly #broken: (reason: unknown) => void
  #frames: CallFrame[] = []
  #bytes = 0
  #writing = false
  #stopped = false

  constructor(channel: Channel, events: { room: () => void; broken: (reason: unknown) => void }) {
    this.#channel = channel
    this.#room = events.room
    this.#broken = events.broken
  }

  /** Bytes that the channel has not taken yet. */
  get waitingBytes(): number {
    return this.#bytes
  }

  get idle(): boolean {
    return !this.#writing
  }

  put(frame: CallFrame): void {
    if (this.#stopped) return
    this.#frames.push(frame)
    this.#bytes += frame.payload.byteLength
    if (!this.#writing) void this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    this.#writing = true
    try {
      while (this.#frames.length > 0) {
        await this.#gather()
        const { frames, sizeBytes } = this.#take()
        await this.#channel.write(encodeFrames(frames, sizeBytes))
        this.#bytes -= sizeBytes
        this.#room()
      }
    } catch (error) {
      this.#stopped = true
      this.#frames = []
      this.#bytes = 0
      this.#broken(error)
    } finally {
      this.#writing = false
    }
  }

  // Each turn of the promise queue lets everything that can go on do one step: answers that came in one packet lead to
  // requests that leave in one. A timer would do the same for a millisecond, which is longer than a round trip.
  async #gather(): Promise<void> {
    let quiet = 0
    for (let turn = 0; turn < gatherTurnsMax && quiet < quietTurns; turn++) {
      const before = this.#frames.length
      await undefined
      quiet = this.#frames.length === before ? quiet + 1 : 0
    }
  }

  #take(): { frames: CallFrame[]; sizeBytes: number } {
    let sizeBytes = 0
    let count = 0
    while (count < this.#frames.length && (count === 0 || sizeBytes < limits.callBatchBytes))
      sizeBytes += this.#frames[count++]!.payload.byteLength
    const frames = count === this.#frames.length ? this.#frames : this.#frames.slice(0, count)
    this.#frames = count === this.#frames.length ? [] : this.#frames.slice(count)
    return { frames, sizeBytes }
  }
}

/** Turns without a new frame after which what is there is written: chains of promises between two frames are shorter. */
const quietTurns = 8
const gatherTurnsMax = 64

/** Small frames as one piece, large ones with their payloads as they are. */
export function encodeFrames(frames: CallFrame[], payloadBytes: number): Uint8Array[] {
  if (payloadBytes > limits.callBatchBytes) return frames.flatMap((frame) => [headOf(frame), frame.payload])
  const target = Buffer.allocUnsafe(payloadBytes + frames.length * (lengthBytesMax + headBytesMax))
  let at = 0
  for (const { id, kind, payload } of frames) {
    at = putVarint(target, at, varintLength(id) + 1 + payload.byteLength)
    at = putVarint(target, at, id)
    target[at++] = kind
    target.set(payload, at)
    at += payload.byteLength
  }
  return [target.subarray(0, at)]
}

function headOf({ id, kind, payload }: CallFrame): Uint8Array {
  return Buffer.concat([varintBytes(varintLength(id) + 1 + payload.byteLength), varintBytes(id), Uint8Array.of(kind)])
}

function putVarint(target: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) target[at++] = (rest % 128) | 0x80
  target[at++] = rest
  return at
}

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) length++
  return length
}
