// The way that one lookup takes through the DHT, drawn from kad-dht's query events: how many peers it asked, how many of
// them failed, and how many steps away from this peer the answer was. A peer of our own routing table is one step away, one
// that it told us of is two. It only listens; a lookup without one goes the same way.
import type { QueryEvent } from '@libp2p/kad-dht'

export class LookupPath {
  readonly #steps = new Map<string, number>()
  #asked = 0
  #failed = 0
  #hops: number | undefined

  /** Peers that were asked, or dialed in order to be asked. */
  get asked(): number {
    return this.#asked
  }

  /** Those of them that did not answer. */
  get failed(): number {
    return this.#failed
  }

  /**
   * Steps to the server nearest to the key, for `closest`, or to the one that first named a provider, for `findProviders`: 0
   * when this peer knew one itself. Undefined when nothing was found.
   */
  get hops(): number | undefined {
    return this.#hops
  }

  note(event: QueryEvent): void {
    switch (event.name) {
      case 'DIAL_PEER':
        this.#asked++
        // Peers of the routing table are all asked before any answer comes; others have been told of.
        this.#place(event.peer, 1)
        return
      case 'PEER_RESPONSE':
        for (const { id } of event.closer) this.#place(id, this.#stepsTo(event.from) + 1)
        return
      case 'QUERY_ERROR':
        this.#failed++
        return
      case 'PROVIDER':
        if (event.providers.length > 0) this.#hops ??= this.#stepsTo(event.from)
        return
      case 'FINAL_PEER':
        // They come nearest first.
        this.#hops ??= this.#stepsTo(event.peer.id)
    }
  }

  #place(peer: { toString(): string }, steps: number): void {
    const key = peer.toString()
    if (!this.#steps.has(key)) this.#steps.set(key, steps)
  }

  #stepsTo(peer: { toString(): string }): number {
    return this.#steps.get(peer.toString()) ?? 0
  }
}
