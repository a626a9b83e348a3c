// The twin of gossip: a message goes to every listener that the lines between hosts lead to at that moment, each copy with
// its own delay, so that messages overtake each other. Some copies are lost and some come twice; the author is always true.
// Bytes are counted as gossipsub spends them: everybody who gets a message passes it on to the rest of its mesh.
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Broadcast } from '../core/ports.ts'
import { SimError } from './errors.ts'
import type { Fabric, Host } from './fabric.ts'

type Listener = (message: { from: PeerId; bytes: Uint8Array }) => void

/** A message is passed on to this many peers: gossipsub's mesh of 6, less the one that it came from. */
const passedOn = 5
/** Author, signature, topic and frame around a message. */
const envelopeBytes = 180
const twiceShare = 0.05

export class Gossip {
  readonly #fabric: Fabric
  readonly #listeners = new Map<Host, Map<string, Set<Listener>>>()

  constructor(fabric: Fabric) {
    this.#fabric = fabric
  }

  portOf(host: Host): Broadcast {
    const topics = new Map<string, Set<Listener>>()
    this.#listeners.set(host, topics)
    return {
      publish: async (topic, bytes) => {
        if (bytes.byteLength > limits.gossipBytesMax)
          throw new SimError('GOSSIP_TOO_LARGE', `a message of ${bytes.byteLength} bytes is too large for broadcasts`)
        return host.machine.host === host ? this.#publish(host, topic, bytes.slice()) : 0
      },
      subscribe: (topic, listen) => {
        const listeners = topics.get(topic) ?? new Set()
        topics.set(topic, listeners.add(listen))
        return () => {
          listeners.delete(listen)
          if (listeners.size === 0) topics.delete(topic)
        }
      },
    }
  }

  leave(host: Host): void {
    this.#listeners.delete(host)
  }

  #publish(from: Host, topic: string, bytes: Uint8Array): number {
    const { random } = this.#fabric
    let recipients = 0
    from.machine.sentBytes += passedOn * (bytes.byteLength + envelopeBytes)
    for (const [to, delayMs] of this.#reached(from)) {
      if (!this.#listeners.get(to)?.has(topic)) continue
      recipients++
      to.machine.sentBytes += passedOn * (bytes.byteLength + envelopeBytes)
      if (random.unit() < this.#fabric.loss) continue
      this.#deliver(to, topic, { from: from.self, bytes }, delayMs * (1 + random.unit()))
      if (random.unit() < twiceShare)
        this.#deliver(to, topic, { from: from.self, bytes }, delayMs + random.unit() * 2_000)
    }
    return recipients
  }

  #deliver(to: Host, topic: string, message: { from: PeerId; bytes: Uint8Array }, delayMs: number): void {
    this.#fabric.time.schedule(delayMs, () => {
      if (to.clock.asleep || to.machine.host !== to) return
      for (const listen of [...(this.#listeners.get(to)?.get(topic) ?? [])])
        listen({ from: message.from, bytes: message.bytes.slice() })
    })
  }

  /** Hosts that messages get to, over any number of hops, with the delay on the way. */
  #reached(from: Host): Map<Host, number> {
    const delays = new Map([[from, 0]])
    for (const [host, delayMs] of delays) {
      for (const line of this.#fabric.linesOf(host)) {
        const next = line.other(host)
        if (!line.isWhole || delays.has(next) || !this.#fabric.reaches(host.machine, next.machine)) continue
        delays.set(next, delayMs + this.#fabric.delayMs(host.machine, next.machine))
      }
    }
    delays.delete(from)
    return delays
  }
}
