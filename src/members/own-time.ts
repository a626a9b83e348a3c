// Time as a busy or sleeping process has to see it: the monotonic clock, less the time in which its timers stood still. A
// pause of this process then shortens nobody's time to answer. It tells a late timer from a punctual one, and sleep from
// both; the wall clock is asked because some monotonic clocks stop while a machine sleeps. It reads no clock itself.
import { times } from '../core/times.ts'

/**
 * How a tick came. `behind` is late for the first time: what came meanwhile lies unread behind this timer, so let it be read
 * before anything is concluded; never twice in a row, or a busy peer would conclude nothing.
 */
export type Punctuality = 'punctual' | 'late' | 'behind' | 'slept'

export class OwnTime {
  #nowMs: number
  #missedMs = 0
  #dueMs: number
  #isBehind = false
  #last: { ms: number; wallMs: number } | undefined

  /** `clockMs` is of the monotonic clock, here and below; all other times are on this axis. */
  constructor(clockMs: number) {
    this.#nowMs = clockMs
    this.#dueMs = clockMs
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** When the next tick is due, on the monotonic clock. */
  get dueMs(): number {
    return this.#dueMs
  }

  advance(clockMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, clockMs - this.#missedMs)
  }

  /** The timer for `dueMs` has fired, or an earlier one. */
  tick(clockMs: number, wallMs: number): Punctuality {
    const lateMs = clockMs - this.#dueMs
    const jumpedMs = this.#last ? wallMs - this.#last.wallMs - (clockMs - this.#last.ms) : 0
    this.#last = { ms: clockMs, wallMs }
    const isLate = lateMs > times.timerLateMs
    const slept = Math.max(lateMs, jumpedMs) >= times.sleptMs
    const isBehind = isLate && !this.#isBehind && !slept
    this.#isBehind = isBehind
    if (isLate && (slept || isBehind)) {
      this.#missedMs += lateMs
      this.#nowMs -= lateMs
    }
    if (isBehind) this.#dueMs = clockMs + times.timerLateMs
    if (slept) return 'slept'
    return isBehind ? 'behind' : isLate ? 'late' : 'punctual'
  }

  /** Says when the next tick shall come, on this axis. */
  schedule(dueMs: number): void {
    if (!this.#isBehind) this.#dueMs = dueMs + this.#missedMs
  }
}
