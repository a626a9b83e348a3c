// What time it is for the cluster: the median of what its members' clocks say, heard with their answers. Pins end by wall
// time, and one clock that is a day ahead must not end them a day early. Of two clocks that differ the earlier one counts.
// When the own clock jumps, since it was set or since the machine slept, what was heard before says nothing any more.
import type { Clock } from '../base/clock.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'

export class ClusterTime {
  readonly #clock: Clock
  /** How far others' clocks are ahead of ours, milliseconds. */
  #ahead = new Lru<PeerId, number>(limits.membersMax)
  /** What our wall clock said when the monotonic one was at zero. */
  #zeroMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  heard(from: PeerId, nowMs: number): void {
    this.#noticeJump()
    this.#ahead.set(from, nowMs - this.#clock.nowMs())
  }

  /** True when any other clock has been heard since our own one jumped. */
  get isHeard(): boolean {
    this.#noticeJump()
    return this.#ahead.size > 0
  }

  nowMs(): number {
    return this.atMs(this.#clock.nowMs())
  }

  /** What the cluster calls a moment that this peer's clock calls so. */
  atMs(wallMs: number): number {
    this.#noticeJump()
    const all = [0, ...this.#ahead.values()].sort((a, b) => a - b)
    return wallMs + all[Math.ceil(all.length / 2) - 1]!
  }

  #noticeJump(): void {
    const zeroMs = this.#clock.nowMs() - this.#clock.monotonicMs()
    if (Math.abs(zeroMs - this.#zeroMs) < times.sleptMs) return
    this.#zeroMs = zeroMs
    this.#ahead = new Lru(limits.membersMax)
  }
}
