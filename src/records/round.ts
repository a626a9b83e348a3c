// One call to the members that a plan names: asks them, takes their answers in, and ends as soon as the tally says so. What
// is still on its way then goes on in the background, because a write should reach all owners; who never answered is told at
// the very end. One timer serves all rounds.
import { abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { RecordsError } from './errors.ts'
import type { Answer } from './messages.ts'
import { decide, type Plan } from './quorum.ts'

/** Calls back now and then while anything waits. */
export class Ticker {
  readonly #clock: Clock
  readonly #waiting = new Set<() => void>()
  #cancel: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls `tick` every `times.recordTickMs`; the returned function stops that. */
  add(tick: () => void): () => void {
    this.#waiting.add(tick)
    this.#cancel ??= this.#clock.timer(times.recordTickMs, () => this.#tick())
    return () => this.#waiting.delete(tick)
  }

  #tick(): void {
    this.#cancel = this.#waiting.size === 0 ? undefined : this.#clock.timer(times.recordTickMs, () => this.#tick())
    for (const tick of [...this.#waiting]) tick()
  }
}

export interface RoundDeps {
  clock: Clock
  ticker: Ticker
  ask: (peer: PeerId) => Promise<Answer>
}

export interface RoundOptions {
  plan: Plan
  /** Answers that are in already. */
  known?: ReadonlyMap<PeerId, Answer>
  /** When to stop waiting for those who are silent, if anything at all has come. */
  settleForMs: number
  /** When to stop altogether. */
  limitMs: number
  signal?: AbortSignal | undefined
}

export class Round {
  readonly answers: Map<PeerId, Answer>
  readonly #deps: RoundDeps
  readonly #options: RoundOptions
  readonly #asked: Set<PeerId>
  readonly #failed = new Set<PeerId>()
  readonly #begunMs: number
  readonly #end = Promise.withResolvers<boolean>()
  readonly #drained = Promise.withResolvers<void>()
  #hasEnded = false
  #inFlight = 0

  constructor(deps: RoundDeps, options: RoundOptions) {
    this.#deps = deps
    this.#options = options
    this.answers = new Map(options.known)
    this.#asked = new Set(this.answers.keys())
    this.#begunMs = deps.clock.monotonicMs()
  }

  /** True when every group has what it needs. Throws RING_CHANGED and TOO_MANY_SIBLINGS as they come, and the signal's reason. */
  async run(): Promise<boolean> {
    const stop = this.#deps.ticker.add(() => this.#step())
    try {
      this.#step()
      return await abortable(this.#end.promise, this.#options.signal)
    } finally {
      this.#hasEnded = true
      stop()
    }
  }

  /** Resolves when everybody who was asked has answered or failed. */
  async drained(): Promise<void> {
    if (this.#inFlight > 0) await this.#drained.promise
  }

  #step(): void {
    if (this.#hasEnded) return
    const { plan, settleForMs, limitMs } = this.#options
    const elapsedMs = this.#deps.clock.monotonicMs() - this.#begunMs
    const isLate = elapsedMs >= times.recordHedgeMs
    const answered = new Set(this.answers.keys())
    const { state, ask } = decide(plan, { asked: this.#asked, answered, failed: this.#failed, isLate })
    for (const peer of ask) void this.#ask(peer)
    if (state === 'done') this.#finish(true)
    else if (state === 'exhausted' || elapsedMs >= limitMs) this.#finish(false)
    else if (elapsedMs >= settleForMs && answered.size > 0) this.#finish(false)
  }

  #finish(isDone: boolean): void {
    this.#hasEnded = true
    this.#end.resolve(isDone)
  }

  async #ask(peer: PeerId): Promise<void> {
    this.#asked.add(peer)
    this.#inFlight++
    try {
      this.answers.set(peer, await this.#deps.ask(peer))
    } catch (error) {
      this.#failed.add(peer)
      if (error instanceof RecordsError && error.code === 'RING_CHANGED' && !this.#hasEnded) this.#end.reject(error)
    }
    this.#inFlight--
    this.#step()
    if (this.#inFlight === 0) this.#drained.resolve()
  }
}
