// What keeps this peer reachable: the relay that it is for others, and the places that it has at relays itself. It wires
// these to the events of libp2p and starts their work; what each decides is theirs.
import type { Libp2p, PeerId as Libp2pPeerId } from '@libp2p/interface'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Scope } from '../base/scope.ts'
import { WorkerLoop } from '../base/worker.ts'
import type { PeerId } from '../core/peer.ts'
import { relayOfAddress } from './addresses.ts'
import { hopProtocol } from './circuit-messages.ts'
import type { Libp2pNetwork } from './network.ts'
import type { Node } from './node.ts'
import type { Reach } from './reach.ts'
import { RelayBudget } from './relay-budget.ts'
import { memberTerms, RelayServer, strangerTerms } from './relay-server.ts'
import { Reservations } from './reservations.ts'

export interface ReachOptions {
  /** Relay even if nobody has shown that this peer can be dialed: for a hub. */
  alwaysRelay: boolean
  /** Bytes per second that this peer relays at most; 0 is no limit. */
  relayRate: number
}

export interface Reaching {
  reach(): Reach
  relay: RelayServer
  loops: WorkerLoop[]
}

export interface ReachingDeps extends Pick<Node, 'node' | 'circuit' | 'parts' | 'confirmed' | 'announce'> {
  network: Libp2pNetwork
  clock: Clock
  random: Random
  log: Log
}

export async function startReaching(
  deps: ReachingDeps,
  options: ReachOptions & { private: boolean },
  scope: Scope,
): Promise<Reaching> {
  const { node, circuit, clock, log } = deps
  const listens = node.getMultiaddrs().some((address) => relayOfAddress(address) === undefined)
  const wanted = () => !listens
  const relay = relayServerOf(deps, options)
  scope.defer(() => relay.close())
  if (options.alwaysRelay || listens) await relay.serve(true)
  const reservations = new Reservations({
    places: circuit.places,
    connections: () => node.getConnections(),
    relays: (peer) => deps.network.speaks(peer, hopProtocol),
    wanted,
    onChange: () => void deps.announce().catch((error) => log.warn(`new addresses could not be told: ${error}`)),
    clock,
    random: deps.random,
    log,
  })
  listen(node, scope, { reservations, relay })
  const loops = [reservations].map((worker) => new WorkerLoop({ worker, clock, log }))
  for (const loop of loops) {
    loop.start()
    scope.defer(() => loop.stop())
  }
  const reach = (): Reach => ({
    kind: 'unknown',
    addresses: deps.network.addresses(),
    relays: [...circuit.places.keys()],
    mapped: false,
    why: reservations.status(),
  })
  return { reach, relay, loops }
}

function relayServerOf(
  { parts, node, clock, log }: ReachingDeps,
  options: ReachOptions & { private: boolean },
): RelayServer {
  const budget = new RelayBudget({ clock }, { bytesPerSecond: options.relayRate })
  const addresses = () => node.getMultiaddrs().filter((address) => relayOfAddress(address) === undefined)
  const { registrar, connectionManager } = parts
  return new RelayServer(
    { registrar, connectionManager, addresses, budget, clock, log },
    options.private ? memberTerms : strangerTerms,
  )
}

function listen(node: Libp2p, scope: Scope, to: { reservations: Reservations; relay: RelayServer }): void {
  const { reservations, relay } = to
  const onClose = ({ detail }: CustomEvent) => reservations.lost(detail)
  const onNews = () => reservations.wake()
  const onGone = ({ detail }: CustomEvent<Libp2pPeerId>) => relay.lost(detail.toString() as PeerId)
  node.addEventListener('connection:close', onClose)
  node.addEventListener('peer:identify', onNews)
  node.addEventListener('peer:update', onNews)
  node.addEventListener('peer:disconnect', onGone)
  scope.defer(() => {
    node.removeEventListener('connection:close', onClose)
    node.removeEventListener('peer:identify', onNews)
    node.removeEventListener('peer:update', onNews)
    node.removeEventListener('peer:disconnect', onGone)
  })
}
