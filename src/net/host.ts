// A host is this peer on the wire: a libp2p node behind the ports that the organs know, and nothing of libp2p shows. It is
// opened with an identity and a network, which are part of every handshake, and closed within seconds whatever others do.
import type { Libp2p } from '@libp2p/interface'
import type { Abortable } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import { WorkerLoop, type WorkerStatus } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Admission, Network, Signer, Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { bareAddress, libp2pPeerId, parseAddress, peerOfAddress } from './addresses.ts'
import { GossipBroadcast } from './broadcast.ts'
import { TableDatastore } from './datastore.ts'
import { Libp2pDht } from './dht.ts'
import { NetError } from './errors.ts'
import { listenFailure } from './failures.ts'
import { keepGossipStreams } from './gossip-streams.ts'
import { peerIdOf } from './identity.ts'
import { Keyring, noAdmission } from './keyring.ts'
import { Meeting } from './meeting.ts'
import { Neighbourhood } from './neighbourhood.ts'
import { Libp2pNetwork } from './network.ts'
import { createNode } from './node.ts'
import { startParting } from './parting.ts'
import { startPunching } from './puncher.ts'
import type { Reach } from './reach.ts'
import { type ReachOptions, startReaching } from './reaching.ts'
import type { Relaying } from './relay-server.ts'
import type { Secrets } from './secrets.ts'
import { Ed25519Signer } from './signer.ts'

export interface HostDeps {
  clock: Clock
  random: Random
  log: Log
  /** Where libp2p keeps what it knows about other peers, and the records that it keeps for the DHT. */
  datastore: Table
}

export interface HostOptions {
  /** As `newIdentity` made it. */
  identity: Uint8Array
  /** Multiaddrs; port 0 takes a free one. */
  listen: string[]
  /** Multiaddrs of peers to stay connected to. */
  bootstrap: string[]
  /** A private network is that of the cluster with these secrets; the open one is that of IPFS. */
  network: { kind: 'private'; secrets: Secrets } | { kind: 'open' }
  /** Whether to look for peers on the local network by multicast DNS. */
  mdns: boolean
  /** Whether to ask a router to map a port to this peer; not if left out. */
  upnp?: boolean
  /** Multiaddrs to tell others instead of those that were found. */
  announce?: readonly string[]
  /** How this peer relays for others; without a limit once it can be reached, if left out. */
  relay?: ReachOptions
  /** Version of this program, as other peers are told; none if left out. */
  version?: string
}

export interface HostStatus {
  listening: string[]
  connections: number
  dhtServers: number
  meeting: WorkerStatus
  relaying: Relaying
  /** Bootstrap addresses that do not answer. */
  unreached: string[]
  clocksAheadMs: number[]
}

export interface KnownPeer extends PeerInfo {
  /** Protocols that identify told; none of a peer that was never met. */
  protocols: string[]
}

export interface Host extends AsyncDisposable {
  readonly network: Network
  readonly dht: Libp2pDht
  readonly broadcast: GossipBroadcast
  readonly signer: Signer
  readonly admission: Admission
  /** What opens the index of a hub: the first is current, all of them do. Undefined in the open network, where none is needed. */
  hubTokens(): string[] | undefined
  /** Where a peer was last reached, or what the DHT says about it; undefined if neither knows. */
  findPeer(peer: PeerId, options?: Abortable): Promise<KnownPeer | undefined>
  /** Undefined in the open network. */
  secrets(): Secrets | undefined
  /** Puts other secrets in force, in a private network. With `only`, connections to all other peers are closed. */
  changeSecrets(secrets: Secrets, options?: { only?: readonly PeerId[] | undefined }): void
  status(): HostStatus
  /** How others reach this peer. */
  reach(): Reach
  /** What keeps it reachable. */
  readonly loops: readonly WorkerLoop[]
}

/**
 * Starts this peer on the wire. Throws ADDRESS_INVALID, IDENTITY_INVALID, SECRET_INVALID, PORT_IN_USE, LISTEN_FAILED.
 * Bootstrap peers are dialed in the background: that none answers yet is no failure.
 */
export async function openHost(deps: HostDeps, options: HostOptions): Promise<Host> {
  const { clock, log } = deps
  for (const address of [...options.listen, ...options.bootstrap, ...(options.announce ?? [])]) parseAddress(address)
  const keyring = keyringOf(deps, options)
  await using scope = new Scope()
  scope.defer(() => keyring?.close())
  const datastore = TableDatastore.open({ table: deps.datastore, clock, log })
  scope.defer(() => datastore.flush())
  const signer = new Ed25519Signer(options.identity)
  const made = await createNode({ ...deps, datastore, signer }, { ...options, keyring })
  const { node, gossip, dhts } = made
  const network = new Libp2pNetwork({ node, clock, log })
  const dht = new Libp2pDht({ node, network, networks: dhts, datastore, clock, log })
  scope.defer(() => stopNode(node, clock, log))
  await startPunching({ ...made, clock, log }, scope)
  try {
    await node.start()
  } catch (error) {
    throw listenFailure(error, options.listen)
  }
  scope.defer(keepGossipStreams({ ...made, clock, log }))
  const broadcast = new GossipBroadcast({ gossip, log, keyring })
  const reaching = await startReaching(
    { ...deps, ...made, network },
    { ...(options.relay ?? { alwaysRelay: false, relayRate: 0 }), private: keyring !== undefined },
    scope,
  )
  const { loop, meeting } = startMeeting({ ...deps, node, network }, options, scope)
  if (keyring) startParting({ ...made, meeting, reaching, clock, log }, scope)
  const self = node.peerId.toMultihash().bytes
  const neighbours = new WorkerLoop({ worker: new Neighbourhood({ dht, self, clock }), clock, log })
  neighbours.start()
  scope.defer(() => neighbours.stop())
  const closing = scope.move()
  return {
    network,
    dht,
    broadcast,
    signer,
    admission: keyring ?? noAdmission,
    hubTokens: () => keyring?.hubTokens(),
    findPeer: (peer, options) => findPeer(node, peer, options),
    secrets: () => keyring?.secrets,
    changeSecrets: (secrets, { only } = {}) => {
      keyring?.change(secrets)
      if (only) closeOthers(node, new Set(only))
    },
    status: () => ({
      listening: network.addresses(),
      connections: network.connected().length,
      dhtServers: dht.size(),
      meeting: loop.status(),
      relaying: reaching.relaying(),
      unreached: meeting.unreached(),
      clocksAheadMs: reaching.clocksAheadMs(),
    }),
    reach: reaching.reach,
    loops: reaching.loops,
    [Symbol.asyncDispose]: () => closing.close(),
  }
}

function keyringOf(deps: HostDeps, { network, identity, bootstrap }: HostOptions): Keyring | undefined {
  if (network.kind === 'open') return undefined
  const known = bootstrap.flatMap((address) => peerOfAddress(parseAddress(address)) ?? [])
  return new Keyring(deps, { self: peerIdOf(identity), secrets: network.secrets, bootstrap: known })
}

async function findPeer(node: Libp2p, peer: PeerId, { signal }: Abortable = {}): Promise<KnownPeer | undefined> {
  const id = libp2pPeerId(peer)
  const stored = await node.peerStore.get(id).catch(() => undefined)
  const known = stored?.addresses.map(({ multiaddr }) => multiaddr) ?? []
  const told = known.length > 0 ? known : await addressesInDht(node, id, { signal })
  if (told.length === 0 && !stored) return undefined
  const addresses = [...new Set(told.slice(0, limits.addressesPerPeerMax).map(bareAddress))]
  return { peer, addresses, protocols: stored?.protocols ?? [] }
}

async function addressesInDht(node: Libp2p, id: ReturnType<typeof libp2pPeerId>, { signal }: Abortable) {
  try {
    return (await node.peerRouting.findPeer(id, signal ? { signal } : {})).multiaddrs
  } catch {
    signal?.throwIfAborted()
    return []
  }
}

function closeOthers(node: Libp2p, kept: ReadonlySet<PeerId>): void {
  for (const connection of node.getConnections())
    if (!kept.has(connection.remotePeer.toString() as PeerId))
      connection.abort(new NetError('OTHER_NETWORK', 'this peer was shut out of the cluster'))
}

function startMeeting(
  deps: HostDeps & { node: Libp2p; network: Network },
  options: HostOptions,
  scope: Scope,
): { loop: WorkerLoop; meeting: Meeting } {
  const { node, network, clock, random, log } = deps
  const isPrivate = options.network.kind === 'private'
  const onOtherNetwork = (peer: PeerId) => void node.peerStore.delete(libp2pPeerId(peer)).catch(() => {})
  const meeting = new Meeting(
    { network, clock, random, log, onOtherNetwork },
    {
      bootstrap: options.bootstrap,
      connectionsWanted: isPrivate ? limits.connectionsWantedPrivate : limits.connectionsWanted,
    },
  )
  const loop = new WorkerLoop({ worker: meeting, clock, log })
  const found = (id: { toString(): string }, addresses: string[]) => {
    if (meeting.found({ peer: id.toString() as PeerId, addresses })) loop.wake()
  }
  node.addEventListener('peer:discovery', ({ detail }) => {
    // A dial that failed makes an entry in the peer store, and libp2p calls that a discovery.
    if (detail.multiaddrs.length > 0) found(detail.id, detail.multiaddrs.map(bareAddress))
  })
  node.addEventListener('peer:disconnect', ({ detail }) => {
    meeting.lost(detail.toString() as PeerId)
    loop.wake()
  })
  void node.peerStore.all({ limit: limits.discoveredMax }).then(
    (peers) => {
      for (const { id } of peers) found(id, [])
    },
    (error) => log.warn(`the peers known from before could not be read: ${sentenceOf(error)}`),
  )
  loop.start()
  scope.defer(() => loop.stop())
  return { loop, meeting }
}

// libp2p says goodbye to everybody and waits for answers; who does not answer in time is dropped.
async function stopNode(node: Libp2p, clock: Clock, log: Log): Promise<void> {
  const limit = new AbortController()
  const stopping = node.stop()
  const givenUp = sleep(clock, times.stopMs * 0.6, limit.signal).catch(() => {})
  await Promise.race([stopping, givenUp]).catch((error) => log.debug(`stopping the network: ${sentenceOf(error)}`))
  limit.abort()
  for (const connection of node.getConnections()) connection.abort(new Error('this peer stops'))
}
