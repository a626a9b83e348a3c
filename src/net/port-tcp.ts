// libp2p's TCP transport, dialing from local ports that are known and may be used again: a NAT that has mapped a port for
// one connection lets an answer from elsewhere through to the same port, which is what punching a hole needs. Binding a
// socket to a port before it connects makes the system allow more sockets there, as long as nobody listens on it.
//
// Each dial takes a port of its own by chance. One port for all would be simpler, and could not dial a peer again for a
// minute after a connection to it has closed.
import { createServer, isIP, type Socket } from 'node:net'
import type { Connection, MultiaddrConnection, Transport, Upgrader, UpgraderOptions } from '@libp2p/interface'
import { type TCPComponents, type TCPDialOptions, tcp } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import { abortable, linkedController } from '../base/abort.ts'
import { codeOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import { secureEarly } from './early.ts'
import { NetError } from './errors.ts'
import { gatherWrites } from './gathered-writes.ts'
import { tcpEndpoint } from './punch-addresses.ts'

type Components = TCPComponents & { upgrader: Upgrader }

// Of the ports that IANA leaves to programs for the moment, those that Linux, too, gives to nobody else but connections.
const ports = { first: 49_152, count: 11_848 }

export class PortTcp {
  readonly #random: Random
  readonly #ports = new WeakMap<Connection, number>()
  #components: Components | undefined
  #tcp: Transport | undefined

  constructor(deps: { random: Random }) {
    this.#random = deps.random
  }

  /** What libp2p is given as a transport. */
  attach(components: Components): Transport {
    const plain = tcp()(components)
    this.#components = components
    this.#tcp = plain
    // The original, with other dials: libp2p knows transports by their symbols.
    const transport: Transport = Object.create(plain)
    transport.createListener = (options) => plain.createListener({ ...options, upgrader: sparing(options.upgrader) })
    transport.dial = (to, options) => this.#dial(to, options)
    return transport
  }

  /** The local port of a connection that was dialed here; undefined if it is not known. */
  portOf(connection: Connection): number | undefined {
    return this.#ports.get(connection)
  }

  /**
   * Dials an address with `/p2p/` tail from this local port. As `server` this side waits for the other to speak first in
   * everything above TCP: two that dialed each other at once must agree about that, at the latest when they connect.
   */
  async dialFrom(
    localPort: number,
    to: Multiaddr,
    { roleNow, signal }: { roleNow: () => 'client' | 'server'; signal: AbortSignal },
  ): Promise<Connection> {
    if (!this.#components) throw new NetError('DIAL_FAILED', 'this peer is not on the network yet')
    const { upgrader } = this.#components
    // Node.js destroys a socket when its signal aborts, however long it has been connected.
    const { controller, detach } = linkedController(signal)
    const how = { signal: controller.signal, upgrader: serving(sparing(upgrader), roleNow) }
    try {
      return await this.#dialAs(to, how, localPort)
    } finally {
      detach()
    }
  }

  /**
   * Waits at this local port until the host of the address comes, instead of dialing it, and is the server then. Rejects
   * with the signal's reason, or with why it cannot listen there.
   */
  async acceptAt(localPort: number, from: Multiaddr, signal: AbortSignal): Promise<Connection> {
    if (!this.#components) throw new NetError('DIAL_FAILED', 'this peer is not on the network yet')
    const socket = await accepted(localPort, tcpEndpoint(from)?.host, signal)
    // The transport makes a connection of any socket that its dial would have made.
    const dialed: Transport = Object.create(this.#tcp!, { _connect: { value: async () => socket } })
    return await dialed.dial(from, { signal, upgrader: serving(sparing(this.#components.upgrader), () => 'server') })
  }

  async #dial(to: Multiaddr, options: TCPDialOptions): Promise<Connection> {
    const more = { ...options, upgrader: sparing(options.upgrader) }
    for (let tries = 0; tries < limits.dialPortsTried; tries++) {
      const localPort = ports.first + Math.floor(this.#random.unit() * ports.count)
      try {
        return await this.#dialAs(to, more, localPort)
      } catch (error) {
        if (!isTaken(error)) throw error
      }
    }
    return await this.#tcp!.dial(to, more)
  }

  async #dialAs(to: Multiaddr, options: TCPDialOptions, localPort: number): Promise<Connection> {
    // Whatever it does not know itself, the transport gives to net.connect.
    const more: TCPDialOptions & { localPort: number } = { ...options, localPort }
    const connection = await this.#tcp!.dial(to, more)
    this.#ports.set(connection, localPort)
    return connection
  }
}

/** An upgrader of connections over TCP that asks and writes no more often than it must. */
function sparing(upgrader: Upgrader): Upgrader {
  const upgradeInbound = (socket: MultiaddrConnection, options: UpgraderOptions) =>
    upgrader.upgradeInbound(gatherWrites(socket), options)
  const upgradeOutbound = (socket: MultiaddrConnection, options: UpgraderOptions) => {
    gatherWrites(socket)
    return upgrader.upgradeOutbound(options.initiator === false ? socket : secureEarly(socket, upgrader), options)
  }
  return Object.create(upgrader, {
    upgradeInbound: { value: upgradeInbound },
    upgradeOutbound: { value: upgradeOutbound },
  })
}

/** An upgrader for a socket that connected, whose other end takes it for one that it has connected itself. */
function serving(upgrader: Upgrader, roleNow: () => 'client' | 'server'): Upgrader {
  const upgradeOutbound = (socket: MultiaddrConnection, options: UpgraderOptions) => {
    if (roleNow() === 'client') return upgrader.upgradeOutbound(socket, options)
    // The multiplexer numbers its streams by this.
    socket.direction = 'inbound'
    return upgrader.upgradeOutbound(socket, { ...options, initiator: false })
  }
  return Object.create(upgrader, { upgradeOutbound: { value: upgradeOutbound } })
}

/** The first socket from this host. Others are closed. */
async function accepted(localPort: number, host: string | undefined, signal: AbortSignal): Promise<Socket> {
  const server = createServer({ noDelay: true, keepAlive: true })
  const coming = Promise.withResolvers<Socket>()
  server.on('error', coming.reject)
  server.on('connection', (socket) => {
    if (socket.remoteAddress === host) coming.resolve(socket)
    else socket.destroy()
  })
  try {
    server.listen({ host: isIP(host ?? '') === 6 ? '::' : '0.0.0.0', port: localPort, exclusive: true })
    return await abortable(coming.promise, signal)
  } finally {
    server.close()
  }
}

// Somebody listens there, or has it for one connection alone, or has just had a connection to the same place from there.
export function isTaken(error: unknown): boolean {
  return ['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES'].includes(codeOf(error) ?? '')
}
