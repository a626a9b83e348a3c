// How fast background fetches may ask. All of one exchange share a token bucket: each block is paid for when it is asked
// for, by a guess of its size that is put right when it comes, and the bucket may go into debt by what was asked last, so
// that any rate carries blocks of any size. Whoever finds it empty waits in line and does not ask; nobody sits on answers,
// and no supplier is thought slow because we are. While fetches of people make progress, the background gets a small
// part of what they get. Foreground fetches are never held; they only tell what came.
import type { Clock } from '../base/clock.ts'
import { limits } from '../core/limits.ts'
import { times } from '../core/times.ts'

/** Blocks are asked for by the handful: the bucket fills for at least so long between two of them. */
const paceEveryMs = 50
/** What an idle bucket saves up. */
const saveMs = 1_000
/** How often a wait is looked at anew while it depends on what the foreground does. */
const reviewMs = 250
/** The memory of the foreground's speed. */
const meterMs = 1_000

/** Bytes that may be asked for; less than zero is a debt. */
export interface Bucket {
  bytes: number
  atMs: number
}

/** The bucket at a later time. With no bound on the rate there is nothing to save and no debt. Pure. */
export function filled({ bytes, atMs }: Bucket, nowMs: number, bytesPerSecond: number): Bucket {
  if (bytesPerSecond === Number.POSITIVE_INFINITY) return { bytes: 0, atMs: nowMs }
  const gained = (bytesPerSecond * (nowMs - atMs)) / 1_000
  return { bytes: Math.min(bytes + gained, (bytesPerSecond * saveMs) / 1_000), atMs: nowMs }
}

/** What all sessions of one exchange have in common. */
export class Pacing {
  readonly #clock: Clock
  readonly #budget: number
  #bucket: Bucket
  /** Bytes that came to foreground sessions, older ones counting less and less. */
  #foreground: Bucket
  readonly #waiting = new Set<BackgroundPace>()
  /** The one whose turn it is, while others wait. */
  #turn: BackgroundPace | undefined
  #timer: { dueMs: number; cancel: () => void } | undefined

  constructor({ clock }: { clock: Clock }, { bytesPerSecond }: { bytesPerSecond: number | undefined }) {
    this.#clock = clock
    this.#budget = bytesPerSecond ?? Number.POSITIVE_INFINITY
    this.#bucket = { bytes: 0, atMs: clock.monotonicMs() }
    this.#foreground = { bytes: 0, atMs: Number.NEGATIVE_INFINITY }
  }

  /** `wake` is called when a session that was held may ask again. */
  pace({ background, wake }: { background: boolean; wake: () => void }): Pace {
    return background ? new BackgroundPace(this, wake) : new ForegroundPace(this)
  }

  foregroundCame(bytes: number): void {
    const atMs = this.#clock.monotonicMs()
    this.#foreground = { bytes: this.#recentBytes(atMs) + bytes, atMs }
  }

  /** How many of these blocks it may ask for now; if none, it is in line. */
  most(pace: BackgroundPace, blocks: number, guessBytes: number): number {
    const bytesPerSecond = this.#fill()
    if (bytesPerSecond === Number.POSITIVE_INFINITY) return blocks
    const isTurn = this.#waiting.size === 0 || this.#turn === pace
    if (isTurn && this.#bucket.bytes > 0) return Math.min(blocks, Math.ceil(this.#bucket.bytes / guessBytes))
    this.#waiting.add(pace)
    this.#wait(bytesPerSecond)
    return 0
  }

  isWaiting(pace: BackgroundPace): boolean {
    return this.#waiting.has(pace)
  }

  /** Takes from the bucket; less than nothing gives back. */
  spend(bytes: number): void {
    const bytesPerSecond = this.#fill()
    if (bytesPerSecond === Number.POSITIVE_INFINITY) return
    this.#bucket.bytes -= bytes
    if (bytes < 0 && this.#waiting.size > 0) this.#wait(bytesPerSecond)
  }

  leave(pace: BackgroundPace): void {
    this.#waiting.delete(pace)
    if (this.#waiting.size === 0) this.#stopTimer()
  }

  #fill(): number {
    const nowMs = this.#clock.monotonicMs()
    const bytesPerSecond = Math.min(this.#budget, this.#share(nowMs))
    this.#bucket = filled(this.#bucket, nowMs, bytesPerSecond)
    return bytesPerSecond
  }

  #share(nowMs: number): number {
    if (nowMs - this.#foreground.atMs > times.foregroundQuietMs) return Number.POSITIVE_INFINITY
    const foregroundBytesPerSecond = (this.#recentBytes(nowMs) * 1_000) / meterMs
    return Math.max(limits.backgroundBytesPerSecond, foregroundBytesPerSecond / limits.backgroundPart)
  }

  #recentBytes(nowMs: number): number {
    const { bytes, atMs } = this.#foreground
    return bytes * Math.exp((atMs - nowMs) / meterMs)
  }

  #wait(bytesPerSecond: number): void {
    const nowMs = this.#clock.monotonicMs()
    const untilPaidMs = Math.max(0, (-this.#bucket.bytes / bytesPerSecond) * 1_000) + paceEveryMs
    // With a foreground the rate may change at any moment; a budget alone does not.
    const dueMs = nowMs + (bytesPerSecond === this.#budget ? untilPaidMs : Math.min(untilPaidMs, reviewMs))
    if (this.#timer && this.#timer.dueMs <= dueMs) return
    this.#stopTimer()
    const cancel = this.#clock.timer(dueMs - nowMs, () => {
      this.#timer = undefined
      this.#giveTurns()
    })
    this.#timer = { dueMs, cancel }
  }

  // First come, first served; who has had its turn and wants more goes to the end of the line.
  #giveTurns(): void {
    for (const pace of [...this.#waiting]) {
      const bytesPerSecond = this.#fill()
      if (bytesPerSecond !== Number.POSITIVE_INFINITY && this.#bucket.bytes <= 0) break
      this.#waiting.delete(pace)
      this.#turn = pace
      pace.wake()
      this.#turn = undefined
    }
    if (this.#waiting.size > 0) this.#wait(this.#fill())
  }

  #stopTimer(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}

/** The pace of one session. */
export interface Pace {
  /** How many of these blocks may be asked for now. */
  most(blocks: number, guessBytes: number): number
  /** These bytes, more or less, have been asked for; less than zero: they are not coming, or fewer came. */
  spend(bytes: number): void
  /** Bytes have come. */
  came(bytes: number): void
  /** True while it may not ask. */
  readonly isHeld: boolean
  /** Leaves the line. */
  close(): void
}

class ForegroundPace implements Pace {
  readonly #pacing: Pacing
  readonly isHeld = false

  constructor(pacing: Pacing) {
    this.#pacing = pacing
  }

  most(blocks: number): number {
    return blocks
  }

  spend(): void {}

  came(bytes: number): void {
    this.#pacing.foregroundCame(bytes)
  }

  close(): void {}
}

class BackgroundPace implements Pace {
  readonly #pacing: Pacing
  readonly wake: () => void

  constructor(pacing: Pacing, wake: () => void) {
    this.#pacing = pacing
    this.wake = wake
  }

  get isHeld(): boolean {
    return this.#pacing.isWaiting(this)
  }

  most(blocks: number, guessBytes: number): number {
    return this.#pacing.most(this, blocks, guessBytes)
  }

  spend(bytes: number): void {
    this.#pacing.spend(bytes)
  }

  came(): void {}

  close(): void {
    this.#pacing.leave(this)
  }
}
