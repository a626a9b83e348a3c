// The ways in and out of a node: transports, what asks a router for a port, and which addresses are told. libp2p makes its
// transports by itself and shows its inside to them alone; what else needs a part of that gets it from here.
import { autoNAT } from '@libp2p/autonat'
import { type Libp2p, serviceCapabilities, type Transport, type Upgrader } from '@libp2p/interface'
import type { AddressManager, ConnectionManager, Registrar, TransportManager } from '@libp2p/interface-internal'
import { uPnPNAT } from '@libp2p/upnp-nat'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { PeerId } from '../core/peer.ts'
import { bareAddress, libp2pPeerId } from './addresses.ts'
import { announcedAddresses } from './announced.ts'
import { CircuitTransport } from './circuit.ts'
import type { DialOrder } from './dial-order.ts'
import type { PortTcp } from './port-tcp.ts'

/** Parts of libp2p's inside that it hands to its own services alone. */
export interface NodeParts {
  registrar: Registrar
  connectionManager: ConnectionManager
  transportManager: TransportManager
  addressManager: AddressManager
  upgrader: Upgrader
}

// A router is asked for a port, and who verifies that it works: in the open network peers of any kind, in a private one our
// own dial back, which libp2p must know of before it asks.
export function portServices({ isOpen, upnp }: { isOpen: boolean; upnp: boolean }) {
  const dialBack = () => ({ [serviceCapabilities]: ['@libp2p/autonat'] })
  return [
    ['autonat', isOpen ? autoNAT() : dialBack],
    ...(upnp ? [['upnp', uPnPNAT({ portMappingDescription: 'potluck' })]] : []),
  ]
}

// What libp2p gives only to those that it makes itself: the transport through relays is made by it, and sees the rest.
export function insideOf(
  deps: { order: DialOrder; clock: Clock; log: Log },
  options: { self: PeerId; private: boolean; told: boolean },
) {
  const { self, told } = options
  let made: { circuit: CircuitTransport; parts: NodeParts } | undefined
  const confirmed: Multiaddr[] = []
  return {
    confirmed,
    made: () => made!,
    isConnected: (peer: PeerId) => (made?.parts.connectionManager.getConnections(libp2pPeerId(peer)).length ?? 0) > 0,
    transport: (parts: NodeParts) => {
      const circuit = remembering(deps.order, new CircuitTransport(parts, deps))
      made = { circuit, parts }
      return circuit
    },
    announced: (believed: Multiaddr[]) => {
      // Public addresses count for libp2p only once a stranger has verified them, and a cluster may have none.
      const listening = options.private && !told ? (made?.parts.transportManager.getAddrs() ?? []) : []
      return announcedAddresses(
        { believed, confirmed: told ? [] : confirmed, listening, relayed: made?.circuit.addresses() ?? [] },
        self,
      )
    },
  }
}

/** TCP that remembers which addresses have failed. */
export function orderedTcp(
  order: DialOrder,
  tcp: PortTcp,
): (components: Parameters<PortTcp['attach']>[0]) => Transport {
  return (components) => remembering(order, tcp.attach(components))
}

function remembering<T extends Transport>(order: DialOrder, transport: T): T {
  const dial = transport.dial.bind(transport)
  transport.dial = async (address, options) => {
    try {
      const connection = await dial(address, options)
      order.worked(address)
      return connection
    } catch (error) {
      order.failed(address)
      throw error
    }
  }
  return transport
}

// Identify tells others when libp2p's own entry of this peer changes.
export async function tellAddresses(node: Libp2p): Promise<void> {
  const multiaddrs = node.getMultiaddrs().map((address) => multiaddr(bareAddress(address)))
  await node.peerStore.patch(node.peerId, { multiaddrs })
}
