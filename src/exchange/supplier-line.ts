// How much to ask of one supplier ahead: a window of bytes that opens while it delivers, shared out so that all suppliers
// together stay within what the fetch may hold in memory. Sizes are not known before blocks come, so they are guessed
// from those that came.
import type { CID } from 'multiformats/cid'
import { limits } from '../core/limits.ts'
import type { Supplier } from './supplier.ts'

const firstWindowBytes = 2 * 1024 * 1024
const firstGuessBytes = 256 * 1024

export class SupplierLine {
  readonly supplier: Supplier
  /** Monotonic time of the last answer or good part of one, or of the first question after a pause. */
  lastAnswerMs: number
  #partBytes = 0
  #windowBytes = firstWindowBytes
  #guessBytes = firstGuessBytes
  #receivedBytes = 0
  #unanswered = 0
  #askedBytes = 0

  constructor(supplier: Supplier, nowMs: number) {
    this.supplier = supplier
    this.lastAnswerMs = nowMs
  }

  /** How many more blocks to ask for when `out` are on their way; 0 until a good part of the window is free. */
  room(out: number, suppliers: number): number {
    const windowBytes = Math.min(this.#windowBytes, limits.fetchBytesMax / suppliers)
    const most = Math.max(1, Math.min(limits.fetchWindowBlocks, Math.floor(windowBytes / this.#guessBytes)))
    const free = most - out
    // Questions are asked by the handful, not one for each answer.
    return free >= Math.ceil(most / 4) ? free : 0
  }

  get guessBytes(): number {
    return this.#guessBytes
  }

  /** What has been asked for and not answered, by the guesses of then. */
  get askedBytes(): number {
    return this.#askedBytes
  }

  /** Asks for blocks; gives how many bytes that may be. */
  ask(cids: CID[]): number {
    const guessedBytes = cids.length * this.#guessBytes
    this.#unanswered += cids.length
    this.#askedBytes += guessedBytes
    this.supplier.ask(cids)
    return guessedBytes
  }

  /** One answer has come; gives the bytes that it was guessed to have. */
  answered(): number {
    const guessedBytes = this.#askedBytes / Math.max(1, this.#unanswered)
    this.#unanswered--
    this.#askedBytes -= guessedBytes
    return guessedBytes
  }

  /** True when enough more bytes have come that it cannot be said to stall: a slow line is not a dead one. */
  progressed(bytes: number): boolean {
    this.#partBytes += bytes
    if (this.#partBytes < limits.stallBytes) return false
    this.#partBytes = 0
    return true
  }

  received(sizeBytes: number): void {
    this.#guessBytes += (Math.max(sizeBytes, 512) - this.#guessBytes) / 8
    this.#receivedBytes += sizeBytes
    if (this.#receivedBytes < this.#windowBytes) return
    this.#receivedBytes = 0
    this.#windowBytes = Math.min(this.#windowBytes * 2, limits.fetchWindowBytes)
  }
}
