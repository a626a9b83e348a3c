// The libp2p node that potluck runs on: which modules, with which settings, and why where the default would not do.
import { type GossipSub, gossipsub } from '@libp2p/gossipsub'
import { type Identify, identify, identifyPush } from '@libp2p/identify'
import type { Connection, Libp2p } from '@libp2p/interface'
import { type KadDHTInit, kadDHT, passthroughMapper, type SingleKadDHT } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { Signer } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { CircuitTransport } from './circuit.ts'
import type { TableDatastore } from './datastore.ts'
import type { DhtNetwork } from './dht.ts'
import { ipnsValidator } from './dht-values.ts'
import { DialOrder } from './dial-order.ts'
import { withEarlyStreams } from './early.ts'
import { peerIdOf, privateKeyOf } from './identity.ts'
import type { Keyring } from './keyring.ts'
import { type KadAnswers, passOverOldMentions } from './mentions.ts'
import type { MeshGossip } from './parting.ts'
import { PortTcp } from './port-tcp.ts'
import { type KadTable, keepTable } from './routing-table.ts'
import { insideOf, type NodeParts, orderedTcp, portServices, tellAddresses } from './ways.ts'

export interface NodeOptions {
  identity: Uint8Array
  listen: string[]
  /** Of a private network; undefined in the open one. */
  keyring: Pick<Keyring, 'keyId' | 'attach' | 'apply'> | undefined
  mdns: boolean
  /** Whether to ask a router to map a port. */
  upnp?: boolean | undefined
  /** Multiaddrs to tell others instead of those that were found; none if empty. */
  announce?: readonly string[] | undefined
  version?: string
}

export interface Node {
  /** Not started yet. */
  node: Libp2p
  gossip: GossipSub & MeshGossip
  /** Asks a peer again what it speaks. */
  identify: (connection: Connection) => Promise<unknown>
  dhts: DhtNetwork[]
  circuit: CircuitTransport
  parts: NodeParts
  tcp: PortTcp
  /** Where others have reached this peer; after a change `announce` tells everybody. */
  confirmed: Multiaddr[]
  announce(): Promise<void>
}

/** kad-dht with what its type does not show. */
type KadInside = SingleKadDHT & { readonly routingTable: KadTable; readonly network: KadAnswers }

export async function createNode(
  deps: { datastore: TableDatastore; signer: Signer; clock: Clock; random: Random; log: Log },
  { identity, listen, keyring, mdns: findByMdns, upnp = false, announce = [], version = 'unreleased' }: NodeOptions,
): Promise<Node> {
  const { datastore } = deps
  const kads = keyring ? privateKads : openKads
  const tcp = new PortTcp(deps)
  const order: DialOrder = new DialOrder({ clock: deps.clock, isConnected: (peer) => inside.isConnected(peer) })
  const inside = insideOf(
    { ...deps, order },
    {
      self: peerIdOf(identity),
      private: keyring !== undefined,
      told: announce.length > 0,
    },
  )
  const node = await createLibp2p({
    start: false,
    privateKey: privateKeyOf(identity),
    nodeInfo: { name: 'potluck', version, userAgent: `potluck/${version}` },
    addresses: { listen, announce: [...announce], announceFilter: inside.announced },
    datastore,
    transports: [orderedTcp(order, tcp), inside.transport],
    connectionEncrypters: [keyring ? (components) => keyring.attach(components) : noise()],
    streamMuxers: [withEarlyStreams(yamux({ streamOptions: windows, enableKeepAlive: false }))],
    connectionManager: {
      maxConnections: limits.connectionsMax,
      inboundConnectionThreshold: limits.connectionsInPerSecond,
      maxIncomingPendingConnections: limits.handshakesMax,
      inboundUpgradeTimeout: times.handshakeMs,
      maxPeerAddrsToDial: limits.addressesPerPeerMax,
      dialTimeout: times.dialMs,
      // Addresses of a peer are dialed one after the other: a dead one must leave time for the rest.
      addressDialTimeout: times.dialAddressMs,
      addressSorter: (a, b) => Math.sign(order.compare(a.multiaddr, b.multiaddr)) as -1 | 0 | 1,
      // The Meeting worker does this, for longer.
      reconnectRetries: 0,
    },
    // Pinging does this, with less.
    connectionMonitor: { enabled: false },
    // An address counts from when it was first seen and is not renewed, so by default a server of the DHT forgets the
    // addresses of a provider after an hour, though it is connected. The datastore bounds what is kept instead.
    peerStore: { maxAddressAge: Number.POSITIVE_INFINITY, maxPeerAge: Number.POSITIVE_INFINITY },
    peerDiscovery: findByMdns ? [mdns(keyring ? { serviceTag: `_potluck-${keyring.keyId}._udp.local` } : {})] : [],
    services: {
      identify: identify(),
      identifyPush: identifyPush(),
      ping: ping(pingOptions),
      gossip: gossipsub(gossipOptions),
      ...Object.fromEntries([
        ...kads.map((init) => [init.protocol, kadDHT(withIpns(init, deps))]),
        ...portServices({ isOpen: keyring === undefined, upnp }),
      ]),
    },
  })
  keyring?.apply()
  const services = node.services as unknown as Record<string, KadInside>
  const { circuit, parts } = inside.made()
  return {
    node: node as unknown as Libp2p,
    gossip: services.gossip as unknown as GossipSub & MeshGossip,
    identify: (connection) => (services.identify as unknown as Identify).identify(connection),
    dhts: tuned(node as unknown as Libp2p, kads, { ...deps, isPrivate: keyring !== undefined }),
    circuit,
    parts,
    tcp,
    confirmed: inside.confirmed,
    announce: () => tellAddresses(node as unknown as Libp2p),
  }
}

function tuned(
  node: Libp2p,
  kads: KadInit[],
  { clock, isPrivate }: { clock: Clock; isPrivate: boolean },
): DhtNetwork[] {
  const services = node.services as unknown as Record<string, KadInside>
  const dhts = kads.map(({ protocol, datastorePrefix: prefix }) => ({ protocol, prefix, kad: services[protocol]! }))
  for (const { kad } of dhts) {
    passOverOldMentions(kad.network, clock)
    if (isPrivate) keepTable({ node, clock }, kad)
  }
  return dhts
}

// A window larger than the buffer lets a fast sender overrun a reader that has paused, and the stream is reset.
const windows = { maxStreamWindowSize: limits.streamWindowBytes, maxReadBufferLength: 2 * limits.streamWindowBytes }

// Both libp2p's watch over connections and its DHT ping, each on its own. By default one that comes while another waits for
// an answer fails at once, and the watch closes the connection for it: so it did on any machine slow for ten seconds.
const pingOptions = { maxInboundStreams: limits.pingStreamsMax, maxOutboundStreams: limits.pingStreamsMax }

type KadInit = KadDHTInit & { protocol: string; datastorePrefix: string }

function withIpns(init: KadInit, deps: Parameters<typeof ipnsValidator>[0]): KadInit {
  return { ...init, validators: { ipns: ipnsValidator(deps, init.datastorePrefix) } }
}

// A query with an empty routing table ends at once: by default it hangs until a server comes. The Neighbourhood worker looks
// this peer's own place up when it starts.
const anyKad = { allowQueryWithZeroPeers: true, initialQuerySelfInterval: times.neighboursRefreshMs }

// A server from the start, for peers with any address.
const localKad = { ...anyKad, clientMode: false, peerInfoMapper: passthroughMapper }

// By default a lookup takes ten ways at once that share no peer, ten questions each, so that strangers who lie cannot lead it
// astray: it asks everybody whom it knows near the key, and each answer is work for both sides. Members do not lie, and one
// way that asks the nearest few first has mostly found a provider after these.
const privateKads: KadInit[] = [
  {
    ...localKad,
    protocol: '/potluck/kad/1.0.0',
    datastorePrefix: '/dht',
    disjointPaths: 1,
    alpha: limits.dhtQuestionsMax,
  },
]

const openKads: KadInit[] = [
  {
    ...localKad,
    protocol: '/ipfs/lan/kad/1.0.0',
    datastorePrefix: '/lan-dht',
    logPrefix: 'libp2p:lan-dht',
    metricsPrefix: 'libp2p_lan_dht',
  },
  // Serves once it knows a public address of its own.
  { ...anyKad, protocol: '/ipfs/kad/1.0.0', datastorePrefix: '/dht' },
]

const gossipOptions = {
  allowPublishToZeroTopicPeers: true,
  fallbackToFloodsub: false,
  maxInboundDataLength: limits.gossipPacketBytesMax,
  maxOutboundBufferSize: limits.gossipQueueBytesMax,
  // Many peers on one machine, or behind one NAT, are normal here and no attack.
  scoreParams: { IPColocationFactorWeight: 0 },
}
