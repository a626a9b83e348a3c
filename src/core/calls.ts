// Requests to peers and their answers, for one protocol. Between two peers there is at most one stream for each direction of
// asking, it stays open, and many requests share it; it is opened by the first request and again by the next one after it
// broke. A request is never sent twice by itself: whether that is safe only the caller knows.
import type { Clock } from '../base/clock.ts'
import { sleep } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { CoreError } from './block.ts'
import { CallAnswers } from './call-answers.ts'
import { checkPayload } from './call-frames.ts'
import { CallLine } from './call-line.ts'
import { limits } from './limits.ts'
import type { PeerId } from './peer.ts'
import type { AnswerCall, Calls, Channel, Network } from './ports.ts'
import { times } from './times.ts'

export interface CallsDeps {
  network: Network
  clock: Clock
  log: Log
}

export interface CallsOptions {
  protocol: string
  /** Runs once for each request, many at a time. Its signal aborts when the stream has ended or the calls are closed. */
  answer: AnswerCall
}

/** Serves a protocol and calls others on it. Closing fails what is unanswered, and waits a while for running handlers. */
export async function openCalls(deps: CallsDeps, options: CallsOptions): Promise<Calls> {
  const calls = new StreamCalls(deps, options)
  await calls.serve()
  return calls
}

class StreamCalls implements Calls {
  readonly #deps: CallsDeps
  readonly #options: CallsOptions
  readonly #lines = new Map<PeerId, CallLine>()
  readonly #served = new Map<Channel, Promise<void>>()
  #stopServing = async () => {}
  #closed: Promise<void> | undefined

  constructor(deps: CallsDeps, options: CallsOptions) {
    this.#deps = deps
    this.#options = options
  }

  async serve(): Promise<void> {
    const { protocol, answer } = this.#options
    const { network, log } = this.#deps
    const handle = (channel: Channel) => {
      const serving = new CallAnswers({ channel, log }, answer).serve()
      this.#served.set(channel, serving)
      return serving.finally(() => this.#served.delete(channel))
    }
    this.#stopServing = await network.handle(protocol, { streamsMax: limits.callStreamsMax }, handle)
  }

  async call(peer: PeerId, request: Uint8Array, options: Parameters<Calls['call']>[2] = {}): Promise<Uint8Array> {
    if (this.#closed) throw stopped()
    checkPayload(request, 'request')
    return this.#lineTo(peer).call(request, options)
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  #lineTo(peer: PeerId): CallLine {
    const known = this.#lines.get(peer)
    if (known) return known
    const { network, clock } = this.#deps
    const line: CallLine = new CallLine(
      { clock, open: (options) => network.open(peer, [this.#options.protocol], options) },
      {
        peer,
        onEnd: () => {
          if (this.#lines.get(peer) === line) this.#lines.delete(peer)
        },
      },
    )
    this.#lines.set(peer, line)
    return line
  }

  async #close(): Promise<void> {
    for (const line of [...this.#lines.values()]) line.end(stopped())
    await this.#stopServing()
    const serving = [...this.#served]
    for (const [channel] of serving) channel.abort(stopped())
    const limit = new AbortController()
    const givenUp = sleep(this.#deps.clock, times.stopMs / 2, limit.signal).catch(() => {})
    await Promise.race([Promise.allSettled(serving.map(([, done]) => done)), givenUp])
    limit.abort()
  }
}

function stopped(): CoreError {
  return new CoreError('STREAM_BROKEN', 'this peer stops')
}
