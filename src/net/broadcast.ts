// Messages to everybody who listens to a topic, by gossipsub. Every message is signed by its author and passed on by peers
// that listen to the same topic; some may be lost, so whoever needs all of them reconciles by other means.
import type { GossipSub, GossipsubMessage } from '@libp2p/gossipsub'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { NetError } from './errors.ts'

/** `from` is the author, proven by signature, not whoever passed the message on. */
export type BroadcastListener = (message: { from: PeerId; bytes: Uint8Array }) => void

export class Broadcast {
  readonly #gossip: GossipSub
  readonly #log: Log
  readonly #listeners = new Map<string, Set<BroadcastListener>>()

  constructor(deps: { gossip: GossipSub; log: Log }) {
    this.#gossip = deps.gossip
    this.#log = deps.log
    this.#gossip.addEventListener('gossipsub:message', ({ detail }) => this.#onMessage(detail))
  }

  /** Sends to all who listen now; returns to how many peers it went, which may be none. Throws GOSSIP_TOO_LARGE. */
  async publish(topic: string, bytes: Uint8Array): Promise<number> {
    if (bytes.byteLength > limits.gossipBytesMax)
      throw new NetError(
        'GOSSIP_TOO_LARGE',
        `a message of ${bytes.byteLength} bytes is over the limit of ${limits.gossipBytesMax} for broadcasts`,
      )
    return (await this.#gossip.publish(topic, bytes)).recipients.length
  }

  /** Calls back for every message of others; the returned function stops that. */
  subscribe(topic: string, listener: BroadcastListener): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set()
    if (listeners.size === 0) this.#gossip.subscribe(topic)
    this.#listeners.set(topic, listeners.add(listener))
    return () => {
      if (!listeners.delete(listener) || listeners.size > 0) return
      this.#listeners.delete(topic)
      this.#gossip.unsubscribe(topic)
    }
  }

  /** Peers known to listen to a topic. */
  listenersTo(topic: string): PeerId[] {
    return this.#gossip.getSubscribers(topic).map((id) => id.toString() as PeerId)
  }

  #onMessage({ msg }: GossipsubMessage): void {
    if (msg.type !== 'signed') return
    for (const listener of this.#listeners.get(msg.topic) ?? []) {
      try {
        listener({ from: msg.from.toString() as PeerId, bytes: msg.data })
      } catch (error) {
        this.#log.error(`a listener to '${msg.topic}' failed: ${sentenceOf(error)}`)
      }
    }
  }
}
