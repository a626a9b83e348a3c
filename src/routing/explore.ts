// Exploring asks the DHT until all servers of one region are known: the smallest subtree around a key that has enough
// servers for every key in it. That takes some two to four lookups, whatever the number of keys. A region with a single key
// to announce takes one: the answer for the key itself is all that is needed.
//
// Answers come from strangers. One that makes up servers can cost a bounded number of lookups and make this peer announce
// to the wrong ones, as with any Kademlia lookup; it cannot make it ask or compute for ever.
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Dht } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { type Prefix, positionOf, positionOfPeer, prefixOf, preimageOf, siblingOf } from './keyspace.ts'
import { countWithin, restOf, type Server, toldBy } from './sweep.ts'

export interface Region {
  /** The keys that `servers` is right for. */
  prefix: Prefix
  /** The subtree whose slot in the cycle these keys take. */
  slot: Prefix
  servers: Map<PeerId, Server>
}

export interface ExploreDeps {
  dht: Dht
  self: PeerId
  clock: Clock
  random: Random
}

/** The region around a key. `isAlone` says whether no other key of a subtree is to be announced. Throws what a lookup throws. */
export async function explore(
  deps: ExploreDeps,
  key: Uint8Array,
  isAlone: (prefix: Prefix) => boolean,
  options: Abortable = {},
): Promise<Region> {
  const exploration = new Exploration(deps)
  const { servers } = exploration
  let prefix = await exploration.lookUp(key, options)
  while (prefix !== '' && countWithin(servers.values(), prefix) < limits.dhtReplicas) {
    const wider = prefix.slice(0, -1)
    if (prefix.length > limits.exploreBitsMax || isAlone(wider))
      return { prefix: prefixOf(positionOf(key)), slot: wider, servers }
    await exploration.cover(siblingOf(prefix), options)
    prefix = wider
  }
  return { prefix, slot: prefix, servers }
}

class Exploration {
  readonly servers = new Map<PeerId, Server>()
  readonly #deps: ExploreDeps
  #lookups = 0

  constructor(deps: ExploreDeps) {
    this.#deps = deps
  }

  /** Notes the servers nearest to a key; returns the subtree around it whose servers are now all known. */
  async lookUp(key: Uint8Array, options: Abortable): Promise<Prefix> {
    const { dht, self, clock } = this.#deps
    this.#lookups++
    const lookUp = (signal: AbortSignal) => dht.closest(key, { signal })
    const found = await withDeadline(clock, times.lookUpMs, 'asking the DHT for its servers', lookUp, options)
    const servers = found
      .filter(({ peer }) => peer !== self)
      .map((info) => ({ ...info, position: positionOfPeer(info.peer) }))
    for (const server of servers) this.servers.set(server.peer, server)
    // An answer may be short because some servers did not reply; only a routing table that is small too makes it the whole.
    const whole = found.length < limits.dhtReplicas && dht.size() < limits.dhtReplicas
    return toldBy(positionOf(key), servers, whole)
  }

  /** Looks up keys of a subtree until all its servers are known, or it has cost enough. */
  async cover(subtree: Prefix, options: Abortable): Promise<void> {
    const waiting = [subtree]
    for (let prefix = waiting.pop(); prefix !== undefined; prefix = waiting.pop()) {
      if (this.#lookups >= limits.exploreLookupsMax) return
      if (prefix.length > limits.exploreBitsMax) continue
      const told = await this.lookUp(preimageOf(prefix, this.#deps.random), options)
      waiting.push(...restOf(prefix, told))
    }
  }
}
