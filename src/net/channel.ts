// A Channel over a libp2p stream: bytes by pull, with back-pressure both ways, and without copies. What is read are the
// very pieces that came off the wire. A stream whose connection went away without a goodbye never looks like a clean end.
//
// libp2p pushes bytes as events and offers pause(); its own async iterator and onDrain() do not hold anybody back, so
// neither is used here. pause() must not be called from inside the event that delivers bytes: it would be undone.
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { type Abortable, abortable } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Channel } from '../core/ports.ts'
import { NetError } from './errors.ts'

export class StreamChannel implements Channel {
  readonly peer: PeerId
  readonly #stream: Stream
  #unread: Uint8Array[] = []
  #unreadBytes = 0
  /** The other side has said that it will send no more. */
  #ended: boolean
  #broken: Error | undefined
  /** The read that waits, if one does: called whenever there may be something new. */
  #onArrival: (() => void) | undefined
  /** Writes take turns, so that each is one run of bytes. */
  #lastWrite: Promise<void> = Promise.resolve()
  #writesWaiting = 0

  /** Takes over a stream at once: bytes that came early are kept, those that come late are not lost. */
  constructor(stream: Stream, peer: PeerId) {
    this.peer = peer
    this.#stream = stream
    this.#ended = stream.remoteWriteStatus === 'closed' && stream.status === 'open'
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('remoteCloseWrite', this.#onEnd)
    stream.addEventListener('close', this.#onClose)
    if (stream.status !== 'open') this.#break(connectionLost())
  }

  get protocol(): string {
    return this.#stream.protocol
  }

  async write(pieces: Uint8Array[], { signal }: Abortable = {}): Promise<void> {
    signal?.throwIfAborted()
    if (this.#writesWaiting === 0 && !this.#stream.writableNeedsDrain) return this.#send(pieces)
    this.#writesWaiting++
    const turn = this.#lastWrite.then(async () => {
      try {
        signal?.throwIfAborted()
        while (this.#stream.writableNeedsDrain) await this.#drained(signal)
        this.#send(pieces)
      } finally {
        this.#writesWaiting--
      }
    })
    this.#lastWrite = turn.catch(() => {})
    await turn
  }

  async read({ signal }: Abortable = {}): Promise<Uint8Array[] | undefined> {
    signal?.throwIfAborted()
    for (;;) {
      if (this.#unread.length === 0) this.#resume()
      if (this.#unread.length > 0) return this.#takeUnread()
      if (this.#broken) throw this.#broken
      if (this.#ended) return undefined
      await this.#arrival(signal)
    }
  }

  async close({ signal }: Abortable = {}): Promise<void> {
    await abortable(this.#lastWrite, signal)
    if (this.#broken) throw this.#broken
    try {
      await this.#stream.close(signal ? { signal } : {})
    } catch (error) {
      signal?.throwIfAborted()
      throw this.#broken ?? broken(error)
    }
  }

  abort(reason: Error): void {
    this.#unread = []
    this.#unreadBytes = 0
    this.#break(reason)
    this.#stream.abort(reason)
  }

  #send(pieces: Uint8Array[]): void {
    if (this.#broken) throw this.#broken
    try {
      // One list, so that a small header travels in the same frame as what follows it.
      this.#stream.send(new Uint8ArrayList(...pieces))
    } catch (error) {
      throw this.#broken ?? broken(error)
    }
  }

  #drained(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#stream.removeEventListener('drain', onDrain)
        this.#stream.removeEventListener('close', onClose)
        signal?.removeEventListener('abort', onAbort)
      }
      const onDrain = () => {
        stop()
        resolve()
      }
      const onClose = () => {
        stop()
        reject(this.#broken ?? connectionLost())
      }
      const onAbort = () => {
        stop()
        reject(signal?.reason)
      }
      if (this.#broken) return reject(this.#broken)
      this.#stream.addEventListener('drain', onDrain)
      this.#stream.addEventListener('close', onClose)
      signal?.addEventListener('abort', onAbort)
    })
  }

  #arrival(signal: AbortSignal | undefined): Promise<void> {
    if (this.#onArrival) throw new Error('a channel has one reader at a time')
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#onArrival = undefined
        signal?.removeEventListener('abort', onAbort)
      }
      const onAbort = () => {
        stop()
        reject(signal?.reason)
      }
      this.#onArrival = () => {
        stop()
        resolve()
      }
      signal?.addEventListener('abort', onAbort)
    })
  }

  #takeUnread(): Uint8Array[] {
    const taken = this.#unread
    this.#unread = []
    this.#unreadBytes = 0
    // More may come while the caller works on what it took.
    this.#resume()
    return taken
  }

  #pauseIfFull = () => {
    if (this.#unreadBytes <= limits.channelReadBytesMax || this.#stream.readStatus !== 'readable') return
    this.#stream.pause()
  }

  #resume(): void {
    if (this.#stream.readStatus !== 'paused') return
    try {
      this.#stream.resume()
    } catch {
      // What was buffered has been handed over; telling a connection that is closing to send more is what failed.
    }
  }

  #onMessage = ({ data }: StreamMessageEvent) => {
    if (data instanceof Uint8Array) this.#unread.push(data)
    else for (const piece of data) this.#unread.push(piece)
    this.#unreadBytes += data.byteLength
    if (this.#unreadBytes > limits.channelReadBytesMax) queueMicrotask(this.#pauseIfFull)
    this.#onArrival?.()
  }

  #onEnd = () => {
    this.#ended = true
    this.#onArrival?.()
  }

  #onClose = ({ error }: StreamCloseEvent) => {
    if (error) this.#break(error instanceof NetError ? error : broken(error))
    else if (!this.#ended) this.#break(connectionLost())
    else this.#onArrival?.()
  }

  #break(reason: Error): void {
    this.#broken ??= reason
    this.#onArrival?.()
  }
}

function connectionLost(): NetError {
  return new NetError('STREAM_BROKEN', 'the connection closed in the middle', { retryable: true })
}

function broken(cause: unknown): NetError {
  const reset = (cause as Error | undefined)?.name === 'StreamResetError'
  const why = reset ? 'the other side dropped it' : sentenceOf(cause)
  return new NetError('STREAM_BROKEN', `the stream broke: ${why}`, { retryable: true, cause })
}
