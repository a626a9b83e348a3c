// A supplier that changes to a better line while it supplies: what it was asked for and has not brought is asked for again
// on the new stream, and the old one is dropped. A fetch that began through a relay so goes on over the direct connection
// as soon as there is one; whoever uses it sees one supplier all the time. If the new stream fails, the old one stays.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import type { PeerId } from '../core/peer.ts'
import type { Channel, Network } from '../core/ports.ts'
import { BlocksSupplier } from './blocks-client.ts'
import type { Supplier, SupplierEvents } from './supplier.ts'

export interface MovingDeps {
  network: Pick<Network, 'onDirect'>
  /** Opens a stream on the best connection to the peer. */
  reopen: (options: Abortable) => Promise<Channel>
}

export class MovingSupplier implements Supplier {
  readonly peer: PeerId
  readonly #deps: MovingDeps
  readonly #events: SupplierEvents
  readonly #stop = new AbortController()
  readonly #stopListening: () => void
  #current: BlocksSupplier
  /** Asked and not answered, in order. */
  #open: CID[] = []
  #moving = false

  constructor(deps: MovingDeps, channel: Channel, events: SupplierEvents) {
    this.peer = channel.peer
    this.#deps = deps
    this.#events = events
    this.#current = this.#supplierOn(channel)
    this.#stopListening = deps.network.onDirect((peer) => {
      if (peer === this.peer) void this.#move()
    })
  }

  ask(cids: CID[]): void {
    this.#open.push(...cids)
    this.#current.ask(cids)
  }

  close(): void {
    this.#stopListening()
    this.#stop.abort(new Error('the supplier is closed'))
    this.#current.close()
  }

  async #move(): Promise<void> {
    if (this.#moving) return
    this.#moving = true
    try {
      const channel = await this.#deps.reopen({ signal: this.#stop.signal })
      if (this.#stop.signal.aborted) return channel.abort(this.#stop.signal.reason)
      const before = this.#current
      this.#current = this.#supplierOn(channel)
      before.close()
      this.#current.ask(this.#open)
    } catch {
      // The line that there is goes on.
    } finally {
      this.#moving = false
    }
  }

  #supplierOn(channel: Channel): BlocksSupplier {
    const isCurrent = () => supplier === this.#current
    const supplier: BlocksSupplier = new BlocksSupplier(channel, {
      onAnswer: async (cid, bytes) => {
        if (!isCurrent()) return
        this.#open.shift()
        await this.#events.onAnswer(cid, bytes)
      },
      onBytes: (bytes) => isCurrent() && this.#events.onBytes?.(bytes),
      onGone: (reason) => {
        if (!isCurrent()) return
        this.#stopListening()
        this.#stop.abort(reason)
        this.#events.onGone(reason)
      },
    })
    return supplier
  }
}
