// How fast this peer relays: one bucket for all circuits together, so that relaying never takes more of a line than its
// owner gives. Whoever takes bytes waits his turn, in the order in which they came; a figure of 0 is no limit at all.
import type { Abortable } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'

/** What may go at once after a pause: a tenth of a second's worth keeps small messages quick and the line even. */
const burstMs = 100

export class RelayBudget {
  readonly #clock: Clock
  readonly #bytesPerSecond: number
  /** Monotonic time up to which everything taken so far has been paid for. */
  #paidMs = Number.NEGATIVE_INFINITY

  constructor(deps: { clock: Clock }, options: { bytesPerSecond: number }) {
    this.#clock = deps.clock
    this.#bytesPerSecond = options.bytesPerSecond
  }

  /** Resolves when these bytes may go. */
  async take(bytes: number, { signal }: Abortable = {}): Promise<void> {
    if (this.#bytesPerSecond === 0) return
    const nowMs = this.#clock.monotonicMs()
    this.#paidMs = Math.max(this.#paidMs, nowMs - burstMs) + (bytes * 1000) / this.#bytesPerSecond
    if (this.#paidMs > nowMs) await sleep(this.#clock, this.#paidMs - nowMs, signal)
  }
}
