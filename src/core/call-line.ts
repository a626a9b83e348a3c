// The caller's end of a line between two peers: it sends requests over one long-lived stream and matches answers to them by
// id. It never stops reading answers, so two peers that call each other cannot lock each other out. Deadlines cost one timer
// for the line, set for the request that is due first, not one for each.
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { BaseError, sentenceOf } from '../base/errors.ts'
import { CoreError } from './block.ts'
import { FrameCutter, FrameWriter, frameKinds, garbled, refusalOf } from './call-frames.ts'
import { limits } from './limits.ts'
import type { PeerId } from './peer.ts'
import type { Channel } from './ports.ts'
import { times } from './times.ts'
import { formatTime } from './units.ts'

interface OpenCall {
  id: number
  request: Uint8Array
  dueMs: number
  timeoutMs: number
  sent: boolean
  resolve: (answer: Uint8Array) => void
  reject: (reason: unknown) => void
  /** Lets go of the caller's signal. */
  detach: (() => void) | undefined
}

export class CallLine {
  readonly #peer: PeerId
  readonly #clock: Clock
  readonly #onEnd: () => void
  /** Unanswered, in the order of their ids. */
  readonly #calls = new Map<number, OpenCall>()
  /** Those of them that have not been sent. */
  #unsent: OpenCall[] = []
  #inFlight = 0
  #nextId = 0
  #channel: Channel | undefined
  #writer: FrameWriter | undefined
  #ended: Error | undefined
  #sweepMs = Number.POSITIVE_INFINITY
  #cancelSweep: (() => void) | undefined
  /** When the first request was made that was followed by no byte from the other side. */
  #silentSinceMs: number | undefined

  /** `open` opens the stream. `onEnd` is called once, when this line can carry no more calls. */
  constructor(
    deps: { clock: Clock; open: (options: Abortable) => Promise<Channel> },
    { peer, onEnd }: { peer: PeerId; onEnd: () => void },
  ) {
    this.#clock = deps.clock
    this.#peer = peer
    this.#onEnd = onEnd
    void this.#run(deps.open)
  }

  call(request: Uint8Array, { signal, timeoutMs = times.callMs }: Abortable & { timeoutMs?: number }) {
    return new Promise<Uint8Array>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      if (this.#ended) return reject(this.#ended)
      if (this.#unsent.length >= limits.callsWaitingMax) return reject(this.#full())
      const nowMs = this.#clock.monotonicMs()
      const id = this.#nextId++
      const dueMs = nowMs + timeoutMs
      const call: OpenCall = { id, request, dueMs, timeoutMs, sent: false, resolve, reject, detach: undefined }
      if (signal) call.detach = this.#attach(signal, call)
      this.#calls.set(id, call)
      this.#unsent.push(call)
      this.#sweepBy(dueMs)
      this.#pump()
    })
  }

  /** Ends the line; everything unanswered fails with the reason. */
  end(reason: Error): void {
    if (this.#ended) return
    this.#ended = reason
    this.#cancelSweep?.()
    this.#channel?.abort(reason)
    const open = [...this.#calls.values()]
    this.#calls.clear()
    this.#unsent = []
    for (const call of open) {
      call.detach?.()
      call.reject(reason)
    }
    this.#onEnd()
  }

  async #run(open: (options: Abortable) => Promise<Channel>): Promise<void> {
    try {
      const what = `opening a stream to ${this.#peer}`
      const channel = await withDeadline(this.#clock, times.dialMs, what, (signal) => open({ signal }))
      if (this.#ended) return channel.abort(this.#ended)
      this.#channel = channel
      this.#writer = new FrameWriter(channel, { room: () => {}, broken: (reason) => this.end(broken(reason)) })
    } catch (error) {
      return this.end(error instanceof Error ? error : broken(error))
    }
    try {
      this.#pump()
      await this.#receive(this.#channel)
    } catch (error) {
      this.end(broken(error))
    }
  }

  async #receive(channel: Channel): Promise<void> {
    const cutter = new FrameCutter()
    for (let pieces = await channel.read(); pieces; pieces = await channel.read()) {
      cutter.push(pieces)
      for (let frame = cutter.next(); frame; frame = cutter.next()) {
        const { id, kind, payload } = frame
        if (id >= this.#nextId || kind === frameKinds.request) throw garbled('an answer that nobody asked for')
        // What was given up meanwhile is not here any more.
        const call = this.#calls.get(id)
        if (!call) continue
        this.#forget(call)
        if (kind === frameKinds.answer) call.resolve(payload)
        else call.reject(refusalOf(payload))
      }
      this.#silentSinceMs = this.#inFlight > 0 ? this.#clock.monotonicMs() : undefined
      this.#pump()
    }
    throw new CoreError('STREAM_BROKEN', 'the other peer closed the stream', { retryable: true })
  }

  #pump(): void {
    if (!this.#writer) return
    while (this.#inFlight < limits.callsInFlightMax) {
      const call = this.#unsent.shift()
      if (!call) return
      call.sent = true
      this.#inFlight++
      this.#silentSinceMs ??= this.#clock.monotonicMs()
      this.#writer.put({ id: call.id, kind: frameKinds.request, payload: call.request })
    }
  }

  #forget(call: OpenCall): void {
    this.#calls.delete(call.id)
    call.detach?.()
    if (call.sent) this.#inFlight--
    else this.#unsent.splice(this.#unsent.indexOf(call), 1)
  }

  #attach(signal: AbortSignal, call: OpenCall): () => void {
    const onAbort = () => {
      this.#forget(call)
      call.reject(signal.reason)
      this.#pump()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    return () => signal.removeEventListener('abort', onAbort)
  }

  #sweepBy(dueMs: number): void {
    if (dueMs >= this.#sweepMs || this.#ended) return
    this.#cancelSweep?.()
    this.#sweepMs = dueMs
    this.#cancelSweep = this.#clock.timer(dueMs - this.#clock.monotonicMs(), () => this.#sweep())
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs()
    this.#sweepMs = Number.POSITIVE_INFINITY
    this.#cancelSweep = undefined
    let soonestMs = Number.POSITIVE_INFINITY
    let late = false
    for (const call of this.#calls.values()) {
      if (call.dueMs > nowMs) {
        soonestMs = Math.min(soonestMs, call.dueMs)
        continue
      }
      late = true
      this.#forget(call)
      call.reject(this.#late(call))
    }
    // A stream that has said nothing for so long may be dead without knowing: the next call shall have another.
    if (late && nowMs - (this.#silentSinceMs ?? nowMs) >= times.stallMs) this.end(this.#stalled())
    if (soonestMs < Number.POSITIVE_INFINITY) this.#sweepBy(soonestMs)
    this.#pump()
  }

  #late({ timeoutMs }: OpenCall): BaseError {
    return new BaseError('TIMED_OUT', `${this.#peer} did not answer within ${formatTime(timeoutMs)}`, {
      retryable: true,
    })
  }

  #stalled(): CoreError {
    return new CoreError('STREAM_BROKEN', `${this.#peer} has not said anything for ${formatTime(times.stallMs)}`, {
      retryable: true,
    })
  }

  #full(): CoreError {
    return new CoreError('CALLS_FULL', `${limits.callsWaitingMax} requests to ${this.#peer} wait already; try again`, {
      retryable: true,
    })
  }
}

function broken(reason: unknown): CoreError {
  if (reason instanceof CoreError) return reason
  return new CoreError('STREAM_BROKEN', sentenceOf(reason), { retryable: true, cause: reason })
}
