// The answering end of a line between two peers: it runs the handler for each request that comes over one stream, many at a
// time, and writes the answers in the order in which they are ready. A peer that asks for more than is allowed is told so at
// once; one that does not take its answers is not read from until it does.
import { CodedError, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { CoreError } from './block.ts'
import { checkPayload, FrameCutter, FrameWriter, frameKinds, garbled, refusalBytes } from './call-frames.ts'
import { limits } from './limits.ts'
import type { AnswerCall, Channel } from './ports.ts'

export class CallAnswers {
  readonly #channel: Channel
  readonly #log: Log
  readonly #answer: AnswerCall
  readonly #writer: FrameWriter
  readonly #ended = new AbortController()
  readonly #until = { signal: this.#ended.signal }
  #running = 0
  #wake = () => {}

  constructor(deps: { channel: Channel; log: Log }, answer: AnswerCall) {
    this.#channel = deps.channel
    this.#log = deps.log
    this.#answer = answer
    this.#writer = new FrameWriter(deps.channel, {
      room: () => this.#wake(),
      broken: (reason) => this.#end(reason),
    })
  }

  /** Answers until the stream ends and no handler runs any more. Throws what broke the stream. */
  async serve(): Promise<void> {
    try {
      await this.#receive()
      while ((this.#running > 0 || !this.#writer.idle) && !this.#ended.signal.aborted) await this.#change()
      this.#ended.signal.throwIfAborted()
      await this.#channel.close(this.#until)
    } catch (error) {
      this.#end(error)
      // Those that still run hold what the owner of this line is about to close.
      while (this.#running > 0) await this.#change()
      throw error
    }
  }

  async #receive(): Promise<void> {
    const cutter = new FrameCutter()
    for (let pieces = await this.#channel.read(); pieces; pieces = await this.#channel.read()) {
      cutter.push(pieces)
      for (let frame = cutter.next(); frame; frame = cutter.next()) {
        const { id, kind, payload } = frame
        if (kind !== frameKinds.request) throw garbled('an answer instead of a request')
        if (this.#running < limits.callsInFlightMax) void this.#serve(id, payload)
        else this.#refuse(id, tooMany())
      }
      while (this.#writer.waitingBytes > limits.callAnswersBytesMax && !this.#ended.signal.aborted) await this.#change()
      this.#ended.signal.throwIfAborted()
    }
  }

  async #serve(id: number, request: Uint8Array): Promise<void> {
    this.#running++
    try {
      const payload = await this.#answer(request, this.#channel.peer, this.#until)
      checkPayload(payload, 'answer')
      this.#writer.put({ id, kind: frameKinds.answer, payload })
    } catch (error) {
      this.#refuse(id, error)
    }
    this.#running--
    this.#wake()
  }

  #refuse(id: number, error: unknown): void {
    if (!(error instanceof CodedError) && !this.#ended.signal.aborted)
      this.#log.error(`an answer on ${this.#channel.protocol} failed: ${sentenceOf(error)}`)
    this.#writer.put({ id, kind: frameKinds.refusal, payload: refusalBytes(error) })
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #end(reason: unknown): void {
    this.#ended.abort(reason)
    this.#channel.abort(reason instanceof Error ? reason : new Error(String(reason)))
    this.#wake()
  }
}

function tooMany(): CoreError {
  return new CoreError('CALLS_FULL', `${limits.callsInFlightMax} requests of this peer are being answered already`, {
    retryable: true,
  })
}
