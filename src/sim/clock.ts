// Time in a simulation. Nothing passes but what is scheduled: events fire in the order of their due times, ties in the order
// in which they were made, and every promise settles between two of them, so that one seed gives one run. The event loop
// gets one real turn an event, in which Node drains all microtasks and reports rejections that nobody handles; code that
// waits for sockets, files or threads is not simulated and must not run here.
//
// A peer sees this time through a clock of its own: its wall clock may be off and may jump, its timers stand still while
// its machine sleeps, and nothing fires any more once it has crashed.
import type { Clock } from '../base/clock.ts'

interface Event {
  dueMs: number
  order: number
  /** Undefined once it has fired or was cancelled. */
  fire: (() => void) | undefined
}

/** Wall time at the start of every simulation. */
const startWallMs = Date.UTC(2030, 0, 1)

/** Node's shortest timer. Without it, rounding would let a worker wait for a moment that never comes. */
const leastTimerMs = 1

/** Events without time passing, after which something runs in circles. */
const sameTimeMost = 100_000

/** Cancelled events may stay queued up to this share; then they are swept out. */
const sweepFrom = 1_024

const bits = new DataView(new ArrayBuffer(8))

export class SimulatedTime {
  #nowMs = 0
  #made = 0
  #fired = 0
  #cancelled = 0
  #digest = 0x811c9dc5
  /** A binary heap by due time, then order. */
  #queue: Event[] = []

  /** Milliseconds since the start of the simulation. */
  get nowMs(): number {
    return this.#nowMs
  }

  get fired(): number {
    return this.#fired
  }

  /** A digest of every event so far, and of what was noted: equal for two runs of one seed. */
  get digest(): string {
    return (this.#digest >>> 0).toString(16).padStart(8, '0')
  }

  /** Adds to the digest what is not an event. */
  note(word: string): void {
    for (let at = 0; at < word.length; at++) this.#mix(word.charCodeAt(at))
  }

  /** Calls `fire` once after `delayMs` of simulated time; the returned function cancels. */
  schedule(delayMs: number, fire: () => void): () => void {
    const event: Event = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#made++, fire }
    this.#push(event)
    return () => {
      if (!event.fire) return
      event.fire = undefined
      this.#cancelled++
      if (this.#cancelled > sweepFrom && this.#cancelled * 2 > this.#queue.length) this.#sweep()
    }
  }

  /** Runs until `isDone` holds or `limitMs` have passed; true if it was done. What an event throws is thrown here. */
  async run(limitMs: number, isDone: () => boolean = () => false): Promise<boolean> {
    const untilMs = this.#nowMs + limitMs
    let sameTime = 0
    await turn()
    for (;;) {
      if (isDone()) return true
      const next = this.#queue[0]
      if (!next || next.dueMs > untilMs) break
      this.#pop()
      const { fire } = next
      if (!fire) {
        this.#cancelled--
        continue
      }
      next.fire = undefined
      sameTime = next.dueMs > this.#nowMs ? 0 : sameTime + 1
      if (sameTime > sameTimeMost)
        throw new Error(`${sameTimeMost} events, and time does not pass: something runs in circles`)
      this.#nowMs = next.dueMs
      this.#fired++
      this.#count(next)
      fire()
      await turn()
    }
    this.#nowMs = untilMs
    return isDone()
  }

  /** Runs until the promise settles, and gives what it gives. Throws if it does not within `limitMs`. */
  async until<T>(promise: Promise<T>, limitMs: number): Promise<T> {
    let isSettled = false
    const settle = () => {
      isSettled = true
    }
    promise.then(settle, settle)
    if (!(await this.run(limitMs, () => isSettled))) throw new Error(`nothing happened within ${limitMs} simulated ms`)
    return await promise
  }

  #count({ dueMs, order }: Event): void {
    bits.setFloat64(0, dueMs)
    this.#mix(bits.getInt32(0))
    this.#mix(bits.getInt32(4))
    this.#mix(order)
  }

  #mix(word: number): void {
    this.#digest = Math.imul(this.#digest ^ word, 0x01000193)
    this.#digest ^= this.#digest >>> 15
  }

  #sweep(): void {
    const live = this.#queue.filter(({ fire }) => fire)
    this.#queue = []
    this.#cancelled = 0
    for (const event of live) this.#push(event)
  }

  #push(event: Event): void {
    const queue = this.#queue
    let at = queue.length
    queue.push(event)
    while (at > 0) {
      const above = (at - 1) >>> 1
      if (!isBefore(event, queue[above]!)) break
      queue[at] = queue[above]!
      at = above
    }
    queue[at] = event
  }

  #pop(): void {
    const queue = this.#queue
    const last = queue.pop()!
    const size = queue.length
    if (size === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= size) break
      if (below + 1 < size && isBefore(queue[below + 1]!, queue[below]!)) below++
      if (!isBefore(queue[below]!, last)) break
      queue[at] = queue[below]!
      at = below
    }
    queue[at] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order)
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

interface PeerTimer {
  /** In the peer's own monotonic time. */
  dueMs: number
  fire: () => void
  /** Undefined while the machine sleeps. */
  cancel: (() => void) | undefined
}

/** The clock of one machine. */
export class PeerClock implements Clock {
  readonly #time: SimulatedTime
  readonly #timers = new Set<PeerTimer>()
  #skewMs: number
  /** Simulated time that went by while the machine slept, up to its last waking. */
  #sleptMs = 0
  #asleepSinceMs: number | undefined
  #isStopped = false

  constructor(time: SimulatedTime, { skewMs = 0 }: { skewMs?: number } = {}) {
    this.#time = time
    this.#skewMs = skewMs
  }

  get asleep(): boolean {
    return this.#asleepSinceMs !== undefined
  }

  nowMs(): number {
    return startWallMs + this.#time.nowMs + this.#skewMs
  }

  monotonicMs(): number {
    return (this.#asleepSinceMs ?? this.#time.nowMs) - this.#sleptMs
  }

  timer(delayMs: number, fire: () => void): () => void {
    if (this.#isStopped) return () => {}
    const timer: PeerTimer = { dueMs: this.monotonicMs() + Math.max(leastTimerMs, delayMs), fire, cancel: undefined }
    this.#timers.add(timer)
    if (!this.asleep) this.#arm(timer)
    return () => {
      timer.cancel?.()
      this.#timers.delete(timer)
    }
  }

  /** Sets the wall clock forward or back, as a person or NTP does. */
  jump(byMs: number): void {
    this.#skewMs += byMs
  }

  /** Sends the machine to sleep: its timers stand still, as a laptop's do, and the wall clock goes on. */
  sleep(): void {
    if (this.asleep) return
    this.#asleepSinceMs = this.#time.nowMs
    for (const timer of this.#timers) timer.cancel?.()
  }

  wake(): void {
    if (this.#asleepSinceMs === undefined) return
    this.#sleptMs += this.#time.nowMs - this.#asleepSinceMs
    this.#asleepSinceMs = undefined
    for (const timer of this.#timers) this.#arm(timer)
  }

  /** The machine is gone: nothing fires any more, and what asks for a timer waits for ever. */
  stop(): void {
    this.#isStopped = true
    for (const timer of this.#timers) timer.cancel?.()
    this.#timers.clear()
  }

  #arm(timer: PeerTimer): void {
    timer.cancel = this.#time.schedule(timer.dueMs - this.monotonicMs(), () => {
      this.#timers.delete(timer)
      timer.fire()
    })
  }
}
