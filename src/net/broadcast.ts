// Messages to everybody who listens to a topic, by gossipsub. Every message is signed by its author and passed on by peers
// that listen to the same topic; some may be lost, so whoever needs all of them reconciles by other means. In a private
// network they are sealed for the members: a hub that listens passes on what it cannot read.
import type { GossipSub, GossipsubMessage } from '@libp2p/gossipsub'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Broadcast } from '../core/ports.ts'
import { NetError } from './errors.ts'
import type { Keyring } from './keyring.ts'

/** `from` is the author, proven by signature, not whoever passed the message on. */
export type BroadcastListener = (message: { from: PeerId; bytes: Uint8Array }) => void

export class GossipBroadcast implements Broadcast {
  readonly #gossip: GossipSub
  readonly #log: Log
  readonly #keyring: Pick<Keyring, 'seal' | 'unseal'> | undefined
  readonly #listeners = new Map<string, Set<BroadcastListener>>()

  constructor(deps: { gossip: GossipSub; log: Log; keyring: Pick<Keyring, 'seal' | 'unseal'> | undefined }) {
    this.#gossip = deps.gossip
    this.#log = deps.log
    this.#keyring = deps.keyring
    this.#gossip.addEventListener('gossipsub:message', ({ detail }) => this.#onMessage(detail))
  }

  /** Sends to all who listen now; returns to how many peers it went, which may be none. Throws GOSSIP_TOO_LARGE and NOT_A_MEMBER. */
  async publish(topic: string, bytes: Uint8Array): Promise<number> {
    if (bytes.byteLength > limits.gossipBytesMax)
      throw new NetError(
        'GOSSIP_TOO_LARGE',
        `a message of ${bytes.byteLength} bytes is over the limit of ${limits.gossipBytesMax} for broadcasts`,
      )
    return (await this.#gossip.publish(topic, this.#keyring?.seal(topic, bytes) ?? bytes)).recipients.length
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
    const from = msg.from.toString() as PeerId
    const bytes = this.#keyring ? this.#keyring.unseal(msg.topic, from, msg.data) : msg.data
    if (!bytes) this.#log.debug(`a message of ${from} on '${msg.topic}' was sealed by no member`)
    else this.#hand(msg.topic, { from, bytes })
  }

  #hand(topic: string, message: { from: PeerId; bytes: Uint8Array }): void {
    for (const listener of this.#listeners.get(topic) ?? []) {
      try {
        listener(message)
      } catch (error) {
        this.#log.error(`a listener to '${topic}' failed: ${sentenceOf(error)}`)
      }
    }
  }
}
