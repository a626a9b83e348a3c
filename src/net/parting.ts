// Parting from those who are not needed: a Worker that closes connections of a private network which were made for a
// lookup and have been idle since, when there are more of them than a peer should keep. Every lookup meets others, and
// among hundreds of peers all would soon be connected to all, each with its buffers and pings, and news for everybody.
// Only who dialed may close: it had the reason and knows when that is gone, while the other side may have come to rely on
// the connection, and would dial at once.
import type { GossipSub } from '@libp2p/gossipsub'
import type { Connection, Libp2p } from '@libp2p/interface'
import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Scope } from '../base/scope.ts'
import { type StepResult, type Worker, WorkerLoop } from '../base/worker.ts'
import { sha256 } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import { times } from '../core/times.ts'
import type { DhtNetwork } from './dht.ts'
import type { Meeting } from './meeting.ts'
import { neededContacts } from './routing-table.ts'

/** As much of a connection as is looked at here. */
export type Way = Pick<Connection, 'id' | 'status' | 'direction' | 'direct'> & {
  readonly remotePeer: { toString(): string }
  readonly streams: readonly { readonly protocol: string }[]
}

export interface PartingDeps<W extends Way> {
  ways: () => W[]
  /** PeerIds that stay connected though nothing is going on with them. */
  needed: () => ReadonlySet<string>
  close: (way: W, signal: AbortSignal) => Promise<void>
  clock: Clock
}

export class Parting<W extends Way> implements Worker {
  readonly name = 'closing idle connections'
  readonly #deps: PartingDeps<W>
  /** Monotonic time at which each was last seen new or busy, by its id. */
  #usedMs = new Map<string, number>()
  #closed = 0

  constructor(deps: PartingDeps<W>) {
    this.#deps = deps
  }

  status(): string {
    return `${this.#usedMs.size} connections; closed ${this.#closed} that were idle`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { ways, needed, close, clock } = this.#deps
    const nowMs = clock.monotonicMs()
    const open = ways().filter(({ status }) => status === 'open')
    const before = this.#usedMs
    this.#usedMs = new Map(open.map((way) => [way.id, isBusy(way) ? nowMs : (before.get(way.id) ?? nowMs)]))
    const surplus = open.length - limits.connectionsKept
    if (surplus > 0) {
      const kept = needed()
      const idle = open.filter(
        (way) =>
          way.direction === 'outbound' &&
          way.direct &&
          nowMs - this.#usedMs.get(way.id)! >= times.connectionIdleMs &&
          !kept.has(way.remotePeer.toString()),
      )
      idle.sort((a, b) => this.#usedMs.get(a.id)! - this.#usedMs.get(b.id)!)
      const chosen = idle.slice(0, surplus)
      this.#closed += chosen.length
      await Promise.all(chosen.map((way) => close(way, signal)))
    }
    return { next: 'later', delayMs: times.connectionsLookMs }
  }
}

/** Gossip has a stream to everybody, and members one for their calls as long as they keep a line. */
function isBusy({ streams }: Way): boolean {
  return streams.some(({ protocol }) => !protocol.startsWith('/meshsub/'))
}

/** What gossipsub offers without its type saying so. */
export type MeshGossip = Pick<GossipSub, 'getTopics'> & { getMeshPeers(topic: string): string[] }

/**
 * Parts from idle peers until the scope ends, but never from bootstrap peers, gossip's mesh, those that the DHT needs, and
 * relays and those whom this peer relays for: others reach them, or this peer, by a connection on which nothing may go on.
 */
export function startParting(
  deps: {
    node: Libp2p
    gossip: MeshGossip
    dhts: DhtNetwork[]
    meeting: Pick<Meeting, 'lasting'>
    reaching: { placed(): string[] }
    clock: Clock
    log: Log
  },
  scope: Scope,
): void {
  const { node, gossip, dhts, meeting, reaching, clock, log } = deps
  const own = sha256(node.peerId.toMultihash().bytes)
  const needed = () =>
    new Set([
      ...meeting.lasting(),
      ...reaching.placed(),
      ...gossip.getTopics().flatMap((topic) => gossip.getMeshPeers(topic)),
      ...dhts.flatMap(({ kad }) => [...neededContacts(own, [...kad.routingTable.kb.toIterable()])]),
    ])
  const close = async (way: Connection, signal: AbortSignal) => {
    const closing = withDeadline(clock, times.stopMs, 'closing a connection', (limit) => way.close({ signal: limit }), {
      signal,
    })
    await closing.catch((error) => way.abort(error))
  }
  const worker = new Parting<Connection>({ ways: () => node.getConnections(), needed, close, clock })
  const loop = new WorkerLoop({ worker, clock, log })
  loop.start()
  scope.defer(() => loop.stop())
}
