// What keeps this peer reachable: finding out who can dial it, the relay that it is for others once they can, and the
// places that it has at relays itself while they cannot. It wires these to the events of libp2p and starts their work;
// what each decides is theirs.
import type { Connection, Libp2p, PeerId as Libp2pPeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Scope } from '../base/scope.ts'
import { WorkerLoop } from '../base/worker.ts'
import type { PeerId } from '../core/peer.ts'
import {
  bareAddress,
  ipOfAddress,
  isLocalAddress,
  isLoopbackAddress,
  portOfAddress,
  relayOfAddress,
} from './addresses.ts'
import { hopProtocol } from './circuit-messages.ts'
import { dialBackProtocol, serveDialBack } from './dial-back.ts'
import { machineInterfaces } from './dial-order.ts'
import type { Libp2pNetwork } from './network.ts'
import type { Node } from './node.ts'
import { Pinging, pingOver } from './pinging.ts'
import { kindOf, type Reach, type ReachFacts, type Trial, whyOf } from './reach.ts'
import { Reachability } from './reachability.ts'
import { RelayBudget } from './relay-budget.ts'
import { memberTerms, type Relaying, RelayServer, strangerTerms } from './relay-server.ts'
import { askForPlace, Reservations } from './reservations.ts'

export interface ReachOptions {
  /** Relay even if nobody has shown that this peer can be dialed: for a hub. */
  alwaysRelay: boolean
  /** Bytes per second that this peer relays at most; 0 is no limit. */
  relayRate: number
}

export interface Reaching {
  reach(): Reach
  /** What this peer does for others as their relay. */
  relaying(): Relaying
  /** Peers with a place here or one of ours there, which ends with the connection to them. */
  placed(): PeerId[]
  /** How far the clocks of peers that were asked are ahead of ours. */
  clocksAheadMs(): number[]
  loops: WorkerLoop[]
}

export interface ReachingDeps extends Pick<Node, 'node' | 'circuit' | 'parts' | 'confirmed' | 'announce'> {
  network: Libp2pNetwork
  clock: Clock
  random: Random
  log: Log
}

type Options = ReachOptions & { private: boolean }

export async function startReaching(deps: ReachingDeps, options: Options, scope: Scope): Promise<Reaching> {
  const { node, circuit, parts, network, clock, log } = deps
  const { registrar, transportManager, upgrader } = parts
  const dialBack = { registrar, transportManager, upgrader, interfaces: machineInterfaces, clock, log }
  // Strangers could tell us anything: in the open network AutoNAT asks many of them.
  if (options.private) scope.defer(await serveDialBack(dialBack))
  const relay = relayServerOf(deps, options)
  scope.defer(() => relay.close())
  if (options.alwaysRelay) await relay.serve(true)
  const tell = () => void deps.announce().catch((error) => log.warn(`addresses were not told: ${sentenceOf(error)}`))
  const reachability: Reachability = new Reachability({
    candidates: () => candidatesOf(deps),
    connections: () => node.getConnections(),
    triesFor: (peer) => options.private && network.speaks(peer, dialBackProtocol),
    shown: () => (options.private ? [] : shownBy(node)),
    confirmed: deps.confirmed,
    onChange: (change) => {
      if (change.addresses) tell()
      const serving = relay.serve(options.alwaysRelay || reachability.verdict === 'direct')
      void serving.catch((error) => log.warn(`relaying: ${sentenceOf(error)}`))
      reservations.wake()
    },
    clock,
    log,
  })
  const reservations = new Reservations({
    places: circuit.places,
    connections: () => node.getConnections(),
    relays: (peer) => network.speaks(peer, hopProtocol),
    wanted: () => reachability.verdict === 'hidden',
    onChange: tell,
    ask: askForPlace,
    clock,
    random: deps.random,
    log,
  })
  listen(node, scope, { reservations, reachability, relay })
  const pinging = new Pinging<Connection>({
    lines: () => node.getConnections(),
    isVital: ({ id }) => [...circuit.places.values()].some(({ connection }) => connection === id),
    ping: (line, signal) => pingOver(deps, line, signal),
    clock,
    log,
  })
  const loops = [reachability, reservations, pinging].map((worker) => new WorkerLoop({ worker, clock, log }))
  for (const loop of loops) {
    loop.start()
    scope.defer(() => loop.stop())
  }
  const reach = () => reachOf(deps, { verdict: reachability.verdict, trials: reachability.trials }, options)
  const placed = () => [...circuit.places.keys(), ...relay.holders()]
  return { reach, relaying: () => relay.status(), placed, clocksAheadMs: () => reachability.clocksAheadMs, loops }
}

function reachOf(
  { node, network, circuit, parts }: ReachingDeps,
  known: Pick<ReachFacts, 'verdict' | 'trials'>,
  options: Options,
): Reach {
  const listening = listeningOf(parts)
  const mappings = new Set(mappedOf(parts).map(bareAddress))
  const facts: ReachFacts = {
    ...known,
    listens: listening.length > 0,
    port: listening.map(portOfAddress).find((port) => port !== undefined),
    places: circuit.places.size,
    mapped: mappings.size > 0,
    private: options.private,
    connections: node.getConnections().length,
  }
  return {
    kind: kindOf(facts),
    addresses: network.addresses(),
    relays: [...circuit.places.keys()],
    mapped: facts.mapped,
    why: whyOf(facts),
  }
}

/** What others may try: where this peer listens, and what a router maps to that; what works from afar first. */
function candidatesOf({ parts }: ReachingDeps): string[] {
  const listening = listeningOf(parts)
  const far = listening.filter((address) => !isLocalAddress(address))
  const here = listening.filter(isLoopbackAddress)
  const near = listening.filter((address) => !far.includes(address) && !here.includes(address))
  return [...new Set([...mappedOf(parts), ...far, ...near, ...here].map(bareAddress))]
}

function listeningOf(parts: ReachingDeps['parts']): Multiaddr[] {
  return parts.transportManager.getAddrs().filter((address) => relayOfAddress(address) === undefined)
}

function mappedOf(parts: ReachingDeps['parts']): Multiaddr[] {
  const all = parts.addressManager.getAddressesWithMetadata()
  return all.filter(({ type }) => type === 'ip-mapping').map(({ multiaddr }) => multiaddr)
}

// Public addresses that AutoNAT has verified are the only public ones that libp2p tells of in the open network. While there
// is none, though peers of the internet are connected, this peer is taken for one that cannot be dialed.
function shownBy(node: Libp2p): Trial[] {
  const isFar = (address: Multiaddr) => ipOfAddress(address) !== undefined && !isLocalAddress(address)
  const verified = node.getMultiaddrs().filter((address) => relayOfAddress(address) === undefined && isFar(address))
  if (verified.length > 0)
    return verified.map((address) => ({ observed: ipOfAddress(address) ?? '', worked: [bareAddress(address)] }))
  const meetsFar = node.getConnections().some(({ direct, remoteAddr }) => direct && isFar(remoteAddr))
  return meetsFar ? [{ observed: '', worked: [] }] : []
}

function relayServerOf({ parts, node, clock, log }: ReachingDeps, options: Options): RelayServer {
  const { registrar, connectionManager } = parts
  const budget = new RelayBudget({ clock }, { bytesPerSecond: options.relayRate })
  const addresses = () => node.getMultiaddrs().filter((address) => relayOfAddress(address) === undefined)
  const terms = options.private ? memberTerms : strangerTerms
  return new RelayServer({ registrar, connectionManager, addresses, budget, clock, log }, terms)
}

interface Parts {
  reservations: Reservations
  reachability: Reachability
  relay: RelayServer
}

function listen(node: Libp2p, scope: Scope, { reservations, reachability, relay }: Parts): void {
  const onNews = () => {
    reservations.wake()
    reachability.wake()
  }
  const onClose = ({ detail }: CustomEvent) => {
    reservations.lost(detail)
    reachability.wake()
  }
  const onGone = ({ detail }: CustomEvent<Libp2pPeerId>) => relay.lost(detail.toString() as PeerId)
  node.addEventListener('peer:identify', onNews)
  node.addEventListener('peer:update', onNews)
  node.addEventListener('connection:close', onClose)
  node.addEventListener('peer:disconnect', onGone)
  scope.defer(() => {
    node.removeEventListener('peer:identify', onNews)
    node.removeEventListener('peer:update', onNews)
    node.removeEventListener('connection:close', onClose)
    node.removeEventListener('peer:disconnect', onGone)
  })
}
