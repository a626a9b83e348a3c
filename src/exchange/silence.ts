// How long a fetch has gone without a block, and without any good part of one. It only measures; what silence means, and
// whom it is held against, is for the fetch to say.
import type { Clock } from '../base/clock.ts'
import { limits } from '../core/limits.ts'

export class Silence {
  readonly #clock: Clock
  #lastBlockMs: number
  #lastProgressMs: number
  #bytesSinceBlock = 0

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock
    this.#lastBlockMs = clock.monotonicMs()
    this.#lastProgressMs = this.#lastBlockMs
  }

  /** A block has come, or none is waited for. */
  end(): void {
    this.#lastBlockMs = this.#clock.monotonicMs()
    this.#lastProgressMs = this.#lastBlockMs
    this.#bytesSinceBlock = 0
  }

  /** Counts bytes. False if more have come than can be on their way, and still no block: that is noise. */
  hear(bytes: number): boolean {
    this.#bytesSinceBlock += bytes
    return this.#bytesSinceBlock <= limits.fetchBytesMax
  }

  /** A good part of a block has come. */
  endForNow(): void {
    this.#lastProgressMs = this.#clock.monotonicMs()
  }

  get withoutBlockMs(): number {
    return this.#clock.monotonicMs() - this.#lastBlockMs
  }

  get withoutProgressMs(): number {
    return this.#clock.monotonicMs() - this.#lastProgressMs
  }
}
