// Records on their way to owners. Those that become ready in the same turn, as a group commit makes them, go to a peer in one
// message and are answered together; each caller gets the answer to its own. Nothing waits for anything else to happen.
import { codeOf } from '../base/errors.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Answer, Carried } from './messages.ts'
import type { Peers } from './peers.ts'
import { expect } from './sync.ts'

interface Waiting {
  readonly record: Carried
  readonly answered: PromiseWithResolvers<Answer>
}

export class Puts {
  readonly #peers: Peers
  readonly #waiting = new Map<PeerId, Waiting[]>()

  constructor(peers: Peers) {
    this.#peers = peers
  }

  /** Has an owner keep a record; the answer is of kind `kept`. Throws like `Peers.ask`. */
  put(peer: PeerId, key: string, set: Uint8Array): Promise<Answer> {
    const answered = Promise.withResolvers<Answer>()
    const waiting = this.#waiting.get(peer)
    if (waiting) waiting.push({ record: [key, set], answered })
    else {
      this.#waiting.set(peer, [{ record: [key, set], answered }])
      void Promise.resolve().then(() => this.#flush(peer))
    }
    return answered.promise
  }

  #flush(peer: PeerId): void {
    const waiting = this.#waiting.get(peer) ?? []
    this.#waiting.delete(peer)
    let batch: Waiting[] = []
    let sizeBytes = 0
    for (const item of waiting) {
      const { byteLength } = item.record[1]
      const isFull = batch.length === limits.recordsCarried || sizeBytes + byteLength > limits.recordsCarriedBytes
      if (batch.length > 0 && isFull) {
        void this.#send(peer, batch)
        batch = []
        sizeBytes = 0
      }
      batch.push(item)
      sizeBytes += byteLength
    }
    void this.#send(peer, batch)
  }

  async #send(peer: PeerId, batch: readonly Waiting[]): Promise<void> {
    const records = batch.map(({ record }) => record)
    try {
      const asked = this.#peers.ask(peer, { type: 'put', records, missing: [], tells: true, known: false })
      const { news, isOwner } = expect(await asked, 'kept')
      for (const [index, { answered }] of batch.entries())
        answered.resolve({ type: 'kept', news: [news[index] ?? null], isOwner })
    } catch (error) {
      // One bad record must not take the others with it.
      if (codeOf(error) === 'RECORD_INVALID' && batch.length > 1)
        for (const item of batch) void this.#send(peer, [item])
      else for (const { answered } of batch) answered.reject(error)
    }
  }
}
