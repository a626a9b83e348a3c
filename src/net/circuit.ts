// The way through a relay: a transport of libp2p that dials `/…/p2p/RELAY/p2p-circuit/p2p/PEER` addresses, and takes the
// connections that our relays bring. It holds the reservations that were made and never makes one itself; which relays,
// and when, is decided by Reservations. A relay without one of ours may bring nobody.
import {
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  type Stream,
  serviceCapabilities,
  type Transport,
  transportSymbol,
  type Upgrader,
} from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import * as Digest from 'multiformats/hashes/digest'
import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { libp2pPeerId, relayOfAddress, splitCircuit } from './addresses.ts'
import { circuitConnection } from './circuit-connection.ts'
import {
  type CircuitMessage,
  circuitStatus,
  hopProtocol,
  hopTypes,
  statusName,
  stopProtocol,
  stopTypes,
} from './circuit-messages.ts'
import { circuitStream } from './circuit-stream.ts'
import { early, secureEarly } from './early.ts'
import { NetError } from './errors.ts'

export interface CircuitComponents {
  registrar: Registrar
  connectionManager: ConnectionManager
  upgrader: Upgrader
}

/** A place at a relay, by which others reach this peer. */
export interface Place {
  relay: PeerId
  /** The connection that it came with, and ends with. */
  connection: string
  /** Of the relay, with its `/p2p/` tail. */
  addresses: Multiaddr[]
  /** Monotonic time at which it is renewed, and at which it ends. */
  renewMs: number
  endMs: number
}

export class CircuitTransport implements Transport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = 'potluck-circuit'
  readonly [serviceCapabilities] = ['@libp2p/transport', '@libp2p/circuit-relay-v2-transport']
  readonly places = new Map<PeerId, Place>()
  readonly #components: CircuitComponents
  readonly #clock: Clock
  readonly #log: Log
  readonly #stop = new AbortController()

  constructor(components: CircuitComponents, deps: { clock: Clock; log: Log }) {
    this.#components = components
    this.#clock = deps.clock
    this.#log = deps.log
  }

  /** Addresses at which this peer is reached through its relays, without its own `/p2p/` tail. */
  addresses(): Multiaddr[] {
    return [...this.places.values()].flatMap(({ addresses }) =>
      addresses.map((each) => each.encapsulate('/p2p-circuit')),
    )
  }

  async start(): Promise<void> {
    const options = { maxInboundStreams: limits.circuitsMax, runOnLimitedConnection: true }
    await this.#components.registrar.handle(stopProtocol, (stream, from) => this.#onStop(stream, from), options)
  }

  async stop(): Promise<void> {
    this.#stop.abort(new NetError('CIRCUIT_FAILED', 'this peer stops'))
    this.places.clear()
    await this.#components.registrar.unhandle(stopProtocol)
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => relayOfAddress(address) !== undefined)
  }

  /** Nothing: places at relays are not listened for, they are asked for. */
  listenFilter(): Multiaddr[] {
    return []
  }

  createListener(_options: CreateListenerOptions): Listener {
    throw new NetError('CIRCUIT_FAILED', 'a relay is no address to listen on')
  }

  async dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const { relay, peer } = splitCircuit(address)
    const way = await this.#directTo(relay, options)
    const stream = await way.newStream([hopProtocol], {
      ...early,
      signal: options.signal,
      maxOutboundStreams: limits.circuitsMax,
    })
    try {
      const hop = circuitStream(stream, 'hop')
      await hop.write({ type: hopTypes.connect, peer: libp2pPeerId(peer).toMultihash().bytes }, options)
      const { status, limits: most } = await hop.read(options)
      if (status !== circuitStatus.ok)
        throw new NetError('CIRCUIT_FAILED', `the relay ${way.remotePeer} did not help: ${statusName(status)}`)
      const { upgrader } = this.#components
      const dressed = circuitConnection(hop.take(), { remote: address, clock: this.#clock, most })
      return await upgrader.upgradeOutbound(
        secureEarly(dressed.connection, upgrader),
        withLimits(options, dressed.limits),
      )
    } catch (error) {
      stream.abort(error as Error)
      throw error
    }
  }

  // A relay that is itself reached by a relay would be a chain, which nobody serves.
  async #directTo(relay: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const { connectionManager } = this.#components
    const id = libp2pPeerId(relayOfRelay(relay))
    const isFit = ({ direct, status }: Connection) => direct && status === 'open'
    const open = connectionManager.getConnections(id).find(isFit)
    const way = open ?? (await connectionManager.openConnection(relay, { signal: options.signal }))
    if (!way.direct) throw new NetError('CIRCUIT_FAILED', `the relay ${id} can only be reached by a relay itself`)
    return way
  }

  async #onStop(stream: Stream, way: Connection): Promise<void> {
    const relay = way.remotePeer.toString() as PeerId
    const what = `a connection through the relay ${relay}`
    try {
      const answer = (signal: AbortSignal) => this.#answerStop(stream, way, signal)
      await withDeadline(this.#clock, times.circuitMs, what, answer, { signal: this.#stop.signal })
    } catch (error) {
      this.#log.debug(`${what} failed: ${sentenceOf(error)}`)
      stream.abort(error as Error)
    }
  }

  async #answerStop(stream: Stream, way: Connection, signal: AbortSignal): Promise<void> {
    const stop = circuitStream(stream, 'stop')
    const asked = await stop.read({ signal })
    const remote = asked.type === stopTypes.connect ? callerOf(asked, way) : undefined
    if (!remote) return await stop.refuse(circuitStatus.malformedMessage, { signal })
    if (!this.places.has(way.remotePeer.toString() as PeerId))
      return await stop.refuse(circuitStatus.permissionDenied, { signal })
    await stop.write({ type: stopTypes.status, status: circuitStatus.ok }, { signal })
    const dressed = circuitConnection(stop.take(), { remote, clock: this.#clock, most: asked.limits })
    await this.#components.upgrader.upgradeInbound(dressed.connection, withLimits({ signal }, dressed.limits))
  }
}

type Limits = ReturnType<typeof circuitConnection>['limits']

function withLimits<T extends object>(options: T, limits: Limits): T & { limits?: NonNullable<Limits> } {
  return limits ? { ...options, limits } : options
}

function relayOfRelay(address: Multiaddr): PeerId {
  return address.getComponents().findLast(({ name }) => name === 'p2p')?.value as PeerId
}

function callerOf({ peer }: CircuitMessage, way: Connection): Multiaddr | undefined {
  if (!peer) return undefined
  try {
    const id = peerIdFromMultihash(Digest.decode(peer))
    return multiaddr(`${way.remoteAddr}/p2p-circuit/p2p/${id}`)
  } catch {
    return undefined
  }
}
