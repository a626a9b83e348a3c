// The twin of a Channel: the two ends of a stream in the fabric. Bytes arrive in order, now and then cut or joined at
// places where nobody wrote a boundary, and a writer waits while the other side does not read, as TCP makes it wait. What
// is written is copied, so that no peer sees another's memory.
import { type Abortable, abortable } from '../base/abort.ts'
import type { PeerId } from '../core/peer.ts'
import type { Channel } from '../core/ports.ts'
import { SimError } from './errors.ts'
import type { Host, Line, Stream } from './fabric.ts'

/** Bytes written and not read by the other side before a writer waits. */
const windowBytes = 256 * 1024
/** Share of writes that arrive in two parts. */
const splitShare = 0.05

export class SimulatedStream implements Stream {
  readonly protocol: string
  readonly line: Line
  readonly #ends: Map<Host, End>

  private constructor(line: Line, opener: Host, protocol: string) {
    this.line = line
    this.protocol = protocol
    const other = line.other(opener)
    const near = new End(this, opener)
    const far = new End(this, other)
    near.other = far
    far.other = near
    this.#ends = new Map([
      [opener, near],
      [other, far],
    ])
    line.streams.add(this)
  }

  /** Asks the other side for the first of the protocols that it speaks; undefined if it speaks none. */
  static open(line: Line, opener: Host, protocols: string[]): Promise<SimulatedStream | undefined> {
    const other = line.other(opener)
    return new Promise((resolve, reject) => {
      const stillOpen = () => line.isOpenAt(opener)
      if (!stillOpen()) return reject(lineLost())
      const waiting = new Waiting(line, opener, reject)
      line.signal(other, () => {
        const protocol = protocols.find((name) => other.accepts(name))
        const stream = protocol === undefined ? undefined : new SimulatedStream(line, opener, protocol)
        line.signal(opener, () => {
          waiting.end()
          resolve(stream)
        })
        if (stream) other.accepted(stream)
      })
    })
  }

  endOf(host: Host): Channel {
    return this.#ends.get(host)!
  }

  lineClosed(host: Host): void {
    this.#ends.get(host)?.break(lineLost())
  }

  /** Both ends have said all they had to say. */
  finished(): void {
    if ([...this.#ends.values()].every(({ isDone }) => isDone)) this.line.streams.delete(this)
  }
}

/** Stands among the streams of a line while one is being opened, to hear that the line closed. */
class Waiting implements Stream {
  readonly protocol = ''
  readonly line: Line
  readonly #host: Host
  readonly #reject: (reason: Error) => void

  constructor(line: Line, host: Host, reject: (reason: Error) => void) {
    this.line = line
    this.#host = host
    this.#reject = reject
    line.streams.add(this)
  }

  end(): void {
    this.line.streams.delete(this)
  }

  lineClosed(host: Host): void {
    if (host !== this.#host) return
    this.end()
    this.#reject(lineLost())
  }
}

class End implements Channel {
  readonly #stream: SimulatedStream
  readonly #host: Host
  readonly #lane: ReturnType<Line['lane']>
  other!: End
  #unread: Uint8Array[] = []
  #unreadBytes = 0
  /** Bytes that this end has sent and the other side has not read. */
  #inFlightBytes = 0
  #isEnded = false
  #hasClosed = false
  #broken: Error | undefined
  #onChange: (() => void)[] = []

  constructor(stream: SimulatedStream, host: Host) {
    this.#stream = stream
    this.#host = host
    this.#lane = stream.line.lane(stream.line.other(host))
  }

  get peer(): PeerId {
    return this.#stream.line.other(this.#host).self
  }

  get protocol(): string {
    return this.#stream.protocol
  }

  get isDone(): boolean {
    return this.#broken !== undefined || (this.#hasClosed && this.#isEnded)
  }

  async write(pieces: Uint8Array[], { signal }: Abortable = {}): Promise<void> {
    signal?.throwIfAborted()
    this.#throwIfBroken()
    if (this.#hasClosed) throw new SimError('STREAM_BROKEN', 'this side of the stream is closed')
    const bytes = new Uint8Array(Buffer.concat(pieces))
    if (bytes.byteLength > 0) this.#send(bytes)
    while (this.#inFlightBytes > windowBytes) {
      await this.#change(signal)
      this.#throwIfBroken()
    }
  }

  async read({ signal }: Abortable = {}): Promise<Uint8Array[] | undefined> {
    signal?.throwIfAborted()
    for (;;) {
      if (this.#unread.length > 0) return this.#take()
      this.#throwIfBroken()
      if (this.#isEnded) return undefined
      await this.#change(signal)
    }
  }

  async close(): Promise<void> {
    this.#throwIfBroken()
    if (this.#hasClosed) return
    this.#hasClosed = true
    const { other } = this
    this.#stream.line.send(this.#lane, 0, () => other.#end())
    this.#stream.finished()
  }

  abort(reason: Error): void {
    if (this.#broken) return
    const { other } = this
    this.#unread = []
    this.break(reason)
    this.#stream.line.signal(other.#host, () =>
      other.break(new SimError('STREAM_BROKEN', 'the stream broke: the other side dropped it', { retryable: true })),
    )
  }

  break(reason: Error): void {
    if (this.#broken) return
    // A stream that had ended well before its line closed has ended well.
    if (this.isDone) return
    this.#broken = reason
    this.#changed()
    this.#stream.finished()
  }

  #send(bytes: Uint8Array): void {
    const { line } = this.#stream
    this.#inFlightBytes += bytes.byteLength
    const { other } = this
    const chance = line.chance()
    const at = chance < splitShare ? Math.floor((chance / splitShare) * bytes.byteLength) : 0
    const parts = at > 0 ? [bytes.subarray(0, at), bytes.subarray(at)] : [bytes]
    for (const part of parts) line.send(this.#lane, part.byteLength, () => other.#arrive(part))
  }

  #arrive(bytes: Uint8Array): void {
    if (this.#broken) return
    this.#unread.push(bytes)
    this.#unreadBytes += bytes.byteLength
    this.#changed()
  }

  #end(): void {
    if (this.#broken) return
    this.#isEnded = true
    this.#changed()
    this.#stream.finished()
  }

  #take(): Uint8Array[] {
    const taken = this.#unread
    const { other } = this
    this.#unread = []
    other.#inFlightBytes -= this.#unreadBytes
    // The window opens with the acknowledgement; its delay is spared, since nothing depends on it.
    if (other.#inFlightBytes <= windowBytes && other.#inFlightBytes + this.#unreadBytes > windowBytes) other.#changed()
    this.#unreadBytes = 0
    return taken
  }

  #throwIfBroken(): void {
    if (this.#broken) throw this.#broken
  }

  #change(signal: AbortSignal | undefined): Promise<void> {
    return abortable(new Promise<void>((resolve) => this.#onChange.push(resolve)), signal)
  }

  #changed(): void {
    const waiting = this.#onChange
    this.#onChange = []
    for (const resolve of waiting) resolve()
  }
}

function lineLost(): SimError {
  return new SimError('STREAM_BROKEN', 'the connection closed in the middle', { retryable: true })
}
