// The twin of the system clock: time that stands still until a test moves it. Timers fire in the order of their due
// times, ties in the order in which they were made, and promises settle between two of them, so that a run is the same
// every time. It can wait for code that only awaits promises and timers of this clock, not for sockets or disks.
import type { Clock } from '../../src/base/clock.ts'

interface Timer {
  dueMs: number
  fire: () => void
}

export class VirtualClock implements Clock {
  #monotonicMs = 0
  #wallOffsetMs: number
  readonly #timers = new Set<Timer>()

  constructor({ nowMs = Date.UTC(2030, 0, 1) }: { nowMs?: number } = {}) {
    this.#wallOffsetMs = nowMs
  }

  nowMs(): number {
    return this.#wallOffsetMs + this.#monotonicMs
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  timer(delayMs: number, fire: () => void): () => void {
    const timer = { dueMs: this.#monotonicMs + Math.max(0, delayMs), fire }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Timers that have not fired: zero at the end of a test that leaks none. */
  get pendingTimers(): number {
    return this.#timers.size
  }

  /** Lets promises settle without time passing. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  /** Moves time forward; timers fire on the way, each at its own time, those that they start included. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#monotonicMs + byMs
    await this.settle()
    while (this.#fireNext(untilMs)) await this.settle()
    this.#monotonicMs = untilMs
  }

  /**
   * Moves time forward until the promise settles, and gives what it gives. Throws when `withinMs` have passed, or when
   * nothing is left that could settle it.
   */
  async until<T>(promise: Promise<T>, withinMs = 30 * 24 * 3_600_000): Promise<T> {
    const untilMs = this.#monotonicMs + withinMs
    let settled = false
    const done = () => {
      settled = true
    }
    promise.then(done, done)
    await this.settle()
    while (!settled) {
      if (!this.#fireNext(untilMs)) {
        // Real I/O may still be on its way: give it a few turns before this is called stuck.
        for (let turn = 0; turn < 200 && !settled; turn++) await this.settle()
        if (!settled && !this.#fireNext(untilMs))
          throw new Error('the promise is stuck: no timer can settle it in time')
      }
      await this.settle()
    }
    return await promise
  }

  /** Moves the wall clock alone, as setting it by hand does; timers and the monotonic clock do not notice. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  #fireNext(untilMs: number): boolean {
    let next: Timer | undefined
    for (const timer of this.#timers) if (!next || timer.dueMs < next.dueMs) next = timer
    if (!next || next.dueMs > untilMs) return false
    this.#timers.delete(next)
    this.#monotonicMs = Math.max(this.#monotonicMs, next.dueMs)
    next.fire()
    return true
  }
}
