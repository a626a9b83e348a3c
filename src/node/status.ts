// The part of `status` that only a running peer has: where it is reached, whom it knows, what it has moved, and what its
// background work is doing.
import type { Abortable } from '../base/abort.ts'
import { diskSpace } from '../store/disk-space.ts'
import type { CheckResult, PeerConnection, Status } from './api.ts'
import type { Config } from './config.ts'
import { diagnose, type OnlineFacts } from './doctor.ts'
import type { Online, OnlineDeps } from './online.ts'

export function statusOf(
  { host, organs, loops }: Online,
  uptimeMs: number,
): Omit<Status, 'version' | 'home' | 'store'> {
  const { bytesSent, bytesReceived } = organs.exchange.status()
  const { keys, hints, partitionsToHandOver } = organs.records.status()
  const members = organs.members.members().filter(({ state }) => state !== 'left')
  const connected = host.network.connected()
  return {
    running: true,
    peerId: host.network.self,
    addresses: host.network.addresses(),
    reachability: host.reach(),
    connections: connected.length,
    connectionsRelayed: connected.filter(({ relayed }) => relayed).length,
    relaying: host.status().relaying,
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

/** What `doctor` says. */
export async function* checkup(
  { home, store }: Pick<OnlineDeps, 'home' | 'store'>,
  { capacity }: Config,
  online: Online | undefined,
  options: Abortable,
): AsyncGenerator<CheckResult> {
  const disk = await diskSpace(home.path)
  const storeBytes = store.stats().inlineBytes + store.stats().fileBytes
  yield* diagnose({ home: home.path, disk, storeBytes, capacity, online: online && (await factsOf(online, options)) })
}

async function factsOf({ host, organs, loops, rotten, hubs }: Online, options: Abortable): Promise<OnlineFacts> {
  const { unreached, clocksAheadMs, connections } = host.status()
  const { members, replicas } = organs
  return {
    reach: host.reach(),
    clocksAheadMs,
    members: members.members(),
    self: host.network.self,
    membership: members.status(),
    connections,
    unreached,
    replicas: members.standing === 'member' ? replicas.summary() : undefined,
    workers: loops.map((loop) => loop.status()),
    rotten: rotten(),
    hubs: await hubs.check(options),
  }
}

/** Who is connected, and how. */
export async function* connectionsOf({ host }: Online): AsyncGenerator<PeerConnection> {
  for (const { peer, addresses, direction, relayed, latencyMs } of host.network.connected())
    yield { peerId: peer, addresses, direction, relayed, latencyMs }
}
