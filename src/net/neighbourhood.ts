// Getting to know the neighbourhood: a Worker that looks up this peer's own place in the DHT, so that it knows the servers
// near it and they know it. It does so as soon as it knows any server, and again a while later, when those who came at the
// same time have settled; kad-dht repeats it every five minutes. By itself kad-dht would look once, a second after the
// start, and whoever met nobody by then (bootstrap peers came up later, or the cable was out) would stay unknown until then.
import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { Dht } from '../core/ports.ts'
import { times } from '../core/times.ts'

export class Neighbourhood implements Worker {
  readonly name = 'getting to know the neighbourhood'
  readonly #dht: Pick<Dht, 'size' | 'closest'>
  readonly #self: Uint8Array
  readonly #clock: Clock
  #lookups = 0

  /** `self` is the key whose place in the DHT is this peer's. */
  constructor({ dht, self, clock }: { dht: Pick<Dht, 'size' | 'closest'>; self: Uint8Array; clock: Clock }) {
    this.#dht = dht
    this.#self = self
    this.#clock = clock
  }

  status(): string {
    return `knows ${this.#dht.size()} servers of the DHT`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    if (this.#dht.size() === 0) {
      this.#lookups = 0
      return { next: 'later', delayMs: times.neighboursFirstMs }
    }
    if (this.#lookups < limits.neighbourLookups) {
      const lookUp = (limited: AbortSignal) => this.#dht.closest(this.#self, { signal: limited })
      await withDeadline(this.#clock, times.lookUpMs, 'looking for neighbours', lookUp, { signal })
      this.#lookups++
    }
    return { next: 'later', delayMs: times.neighboursAgainMs }
  }
}
