// The order in which members are probed: a shuffled list that is walked from end to end and shuffled again, so that each is
// reached within two walks at most, and no two peers walk alike. Newcomers are put at a random place of it.
import type { Random } from '../base/random.ts'
import type { PeerId } from '../core/peer.ts'

export class Rounds {
  readonly #random: Random
  readonly #order: PeerId[] = []
  #at = 0

  constructor(random: Random) {
    this.#random = random
  }

  add(peer: PeerId): void {
    this.#order.splice(this.#below(this.#order.length + 1), 0, peer)
  }

  remove(peer: PeerId): void {
    const index = this.#order.indexOf(peer)
    if (index < 0) return
    this.#order.splice(index, 1)
    if (index < this.#at) this.#at--
  }

  /** The next few, of those that are fit, each once. */
  next(count: number, isFit: (peer: PeerId) => boolean): PeerId[] {
    const chosen: PeerId[] = []
    for (let seen = 0; seen < this.#order.length && chosen.length < count; seen++) {
      if (this.#at >= this.#order.length) this.#shuffle()
      const peer = this.#order[this.#at++]!
      if (isFit(peer) && !chosen.includes(peer)) chosen.push(peer)
    }
    return chosen
  }

  /** Any of those that are fit. */
  sample(count: number, isFit: (peer: PeerId) => boolean): PeerId[] {
    const chosen: PeerId[] = []
    const start = this.#below(this.#order.length)
    for (let step = 0; step < this.#order.length && chosen.length < count; step++) {
      const peer = this.#order[(start + step) % this.#order.length]!
      if (isFit(peer)) chosen.push(peer)
    }
    return chosen
  }

  // Fisher and Yates.
  #shuffle(): void {
    for (let last = this.#order.length - 1; last > 0; last--) {
      const other = this.#below(last + 1)
      const peer = this.#order[last]!
      this.#order[last] = this.#order[other]!
      this.#order[other] = peer
    }
    this.#at = 0
  }

  #below(end: number): number {
    return Math.floor(this.#random.unit() * end)
  }
}
