// Gossip over several connections to one peer. gossipsub keeps one stream to a peer and opens it when a connection is made;
// when that connection goes and another stays (a relayed one and a direct one, one that dialed back), nothing opens it
// again, and what is published does not arrive. Identifying the peer once more on a connection that stays does.
import type { Connection, Libp2p } from '@libp2p/interface'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { times } from '../core/times.ts'

export interface GossipStreamsDeps {
  node: Libp2p
  identify: (connection: Connection) => Promise<unknown>
  clock: Clock
  log: Log
}

/** Opens the stream of gossip to a peer again after its connection went; the returned function ends that. */
export function keepGossipStreams({ node, identify, clock, log }: GossipStreamsDeps): () => void {
  const waiting = new Map<string, () => void>()
  const mend = (peer: Connection['remotePeer']) => {
    waiting.delete(peer.toString())
    const open = node.getConnections(peer).filter(({ status, limits }) => status === 'open' && !limits)
    const [best] = open.sort((a, b) => Number(b.direct) - Number(a.direct))
    if (!best) return
    identify(best).catch((error: unknown) => log.debug(`no gossip with ${peer}: ${sentenceOf(error)}`))
  }
  const onClose = ({ detail: { remotePeer } }: CustomEvent<Connection>) => {
    const key = remotePeer.toString()
    if (waiting.has(key) || node.getConnections(remotePeer).length === 0) return
    // Streams of the connection close a little after it.
    waiting.set(
      key,
      clock.timer(times.gossipMendMs, () => mend(remotePeer)),
    )
  }
  node.addEventListener('connection:close', onClose)
  return () => {
    node.removeEventListener('connection:close', onClose)
    for (const cancel of waiting.values()) cancel()
  }
}
