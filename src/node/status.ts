// The part of `status` that only a running peer has: where it is reached, whom it knows, what it has moved, and what its
// background work is doing.
import type { Status } from './api.ts'
import type { Online } from './online.ts'

export function statusOf(
  { host, organs, loops }: Online,
  uptimeMs: number,
): Omit<Status, 'version' | 'home' | 'store'> {
  const { bytesSent, bytesReceived } = organs.exchange.status()
  const { keys, hints, partitionsToHandOver } = organs.records.status()
  const members = organs.members.members().filter(({ state }) => state !== 'left')
  return {
    running: true,
    peerId: host.network.self,
    addresses: host.network.addresses(),
    connections: host.network.connected().length,
    dhtServers: host.dht.size(),
    membership: organs.members.status(),
    members: members.length,
    membersAlive: members.filter(({ liveness }) => liveness === 'alive').length,
    records: keys,
    hints,
    partitionsToHandOver,
    ...(organs.members.standing === 'member' && {
      replicas: { ...organs.replicas.summary(), bytesToHandOver: organs.replicas.bytesToHandOver() },
    }),
    bytesSent,
    bytesReceived,
    workers: loops.map((loop) => loop.status()),
    uptimeSeconds: Math.round(uptimeMs / 1000),
  }
}
