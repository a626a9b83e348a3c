// The Network port over a libp2p node: who is connected, dialing, and streams as Channels. It keeps no queue of its own:
// libp2p's dial queue joins dials to one peer, and its limits hold for connections and streams.
import type { Connection, Libp2p, PeerId as Libp2pPeerId, Peer } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { type Abortable, abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Channel, Connected, HandlerOptions, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import {
  bareAddress,
  dialableAddresses,
  libp2pPeerId,
  parseAddress,
  peerOfAddress,
  relayOfAddress,
} from './addresses.ts'
import { StreamChannel } from './channel.ts'
import { early } from './early.ts'
import { NetError } from './errors.ts'
import { dialFailure } from './failures.ts'

type PeerListener = (event: { peer: PeerId; connected: boolean }) => void

export class Libp2pNetwork implements Network {
  readonly self: PeerId
  readonly #node: Libp2p
  readonly #clock: Clock
  readonly #log: Log
  readonly #listeners = new Set<PeerListener>()
  readonly #directListeners = new Set<(peer: PeerId) => void>()
  /** Peers that identify has told about, with their protocols: exactly those that listeners think connected. */
  readonly #identified = new Map<PeerId, string[]>()

  constructor(deps: { node: Libp2p; clock: Clock; log: Log }) {
    this.#node = deps.node
    this.#clock = deps.clock
    this.#log = deps.log
    this.self = deps.node.peerId.toString() as PeerId
    this.#node.addEventListener('peer:identify', ({ detail }) => this.#onIdentify(detail.peerId, detail.protocols))
    this.#node.addEventListener('connection:open', ({ detail }) => this.#onConnection(detail))
    this.#node.addEventListener('peer:update', ({ detail }) => this.#onUpdate(detail.peer))
    this.#node.addEventListener('peer:disconnect', ({ detail }) => this.#onDisconnect(textOf(detail)))
  }

  addresses(): string[] {
    return this.#node.getMultiaddrs().map((address) => address.toString())
  }

  connected(): Connected[] {
    const first = new Map<PeerId, Connection>()
    for (const connection of this.#node.getConnections()) {
      const peer = textOf(connection.remotePeer)
      const known = first.get(peer)
      if (connection.status === 'open' && (!known || (!known.direct && connection.direct))) first.set(peer, connection)
    }
    return [...first].map(([peer, { remoteAddr, direction, direct, rtt }]) => ({
      peer,
      addresses: [bareAddress(remoteAddr)],
      direction: direction === 'inbound' ? 'in' : 'out',
      relayed: !direct,
      latencyMs: rtt,
      protocols: this.#identified.get(peer) ?? [],
    }))
  }

  /** Whether a connected peer said that it speaks this protocol. */
  speaks(peer: PeerId, protocol: string): boolean {
    return this.#identified.get(peer)?.includes(protocol) ?? false
  }

  /** Also throws ADDRESS_INVALID, and OTHER_NETWORK if the peer refuses us for our network. */
  async connect(target: string | PeerInfo, options: Abortable = {}): Promise<PeerId> {
    if (typeof target !== 'string') return await this.#identify(await this.#dial(target, options), options)
    const address = parseAddress(target)
    const peer = peerOfAddress(address)
    if (peer === this.self) throw new NetError('DIAL_FAILED', `${target} is the address of this peer itself`)
    return await this.#identify(await this.#dialAddresses([address], target, options), options)
  }

  async open(peer: PeerId | PeerInfo, protocols: string[], options: Abortable = {}): Promise<Channel> {
    const info = typeof peer === 'string' ? { peer, addresses: [] } : peer
    const before = this.#best(libp2pPeerId(info.peer))
    const connection = await this.#dial(info, options)
    try {
      const isNew = connection !== before && !connection.direct
      return await this.#openOn(connection, isNew ? await this.#agreed(info.peer, protocols) : protocols, options)
    } catch (error) {
      // A connection may have died without anybody noticing until now; one that is gone is worth a second dial.
      if (options.signal?.aborted || connection.status === 'open') throw error
      return await this.#openOn(await this.#dial(info, options), protocols, options)
    }
  }

  async handle(
    protocol: string,
    { streamsMax }: HandlerOptions,
    handler: (channel: Channel) => Promise<void>,
  ): Promise<() => Promise<void>> {
    await this.#node.handle(
      protocol,
      (stream, connection) => {
        const channel = new StreamChannel(stream, textOf(connection.remotePeer))
        void this.#serve(channel, handler)
      },
      { maxInboundStreams: streamsMax, maxOutboundStreams: limits.streamsOutMax },
    )
    return () => this.#node.unhandle(protocol)
  }

  onPeer(listen: PeerListener): () => void {
    this.#listeners.add(listen)
    return () => this.#listeners.delete(listen)
  }

  onDirect(listen: (peer: PeerId) => void): () => void {
    this.#directListeners.add(listen)
    return () => this.#directListeners.delete(listen)
  }

  // A peer that does not admit us can only say so by hanging up after the handshake, when the dial has already succeeded.
  async #identify(connection: Connection, { signal }: Abortable): Promise<PeerId> {
    const peer = textOf(connection.remotePeer)
    const done = Promise.withResolvers<void>()
    const onClose = () => done.reject(hungUp(peer))
    const stop = this.onPeer((event) => {
      if (event.peer === peer && event.connected) done.resolve()
    })
    // What says nothing about itself is connected all the same.
    const cancel = this.#clock.timer(times.handshakeMs, done.resolve)
    connection.addEventListener('close', onClose)
    try {
      if (connection.status !== 'open') throw hungUp(peer)
      if (!this.#identified.has(peer)) await abortable(done.promise, signal)
      return peer
    } finally {
      stop()
      cancel()
      connection.removeEventListener('close', onClose)
    }
  }

  async #serve(channel: StreamChannel, handler: (channel: Channel) => Promise<void>): Promise<void> {
    try {
      await handler(channel)
    } catch (error) {
      this.#log.debug(`${channel.protocol} from ${channel.peer}: ${sentenceOf(error)}`)
      channel.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  // A connection that was just made is alive, and a round trip through a relay is long: what a peer spoke the last time is
  // taken for agreed.
  async #agreed(peer: PeerId, protocols: string[]): Promise<string[] | { early: string }> {
    const stored = await this.#node.peerStore.get(libp2pPeerId(peer)).catch(() => undefined)
    const known = protocols.find((protocol) => stored?.protocols.includes(protocol))
    return known === undefined ? protocols : { early: known }
  }

  async #openOn(
    connection: Connection,
    asked: string[] | { early: string },
    options: Abortable,
  ): Promise<StreamChannel> {
    const protocols = Array.isArray(asked) ? asked : [asked.early]
    const how = Array.isArray(asked) ? {} : early
    const peer = textOf(connection.remotePeer)
    try {
      const stream = await withDeadline(
        this.#clock,
        times.dialMs,
        `opening a stream to ${peer}`,
        (signal) => connection.newStream(protocols, { ...how, signal, maxOutboundStreams: limits.streamsOutMax }),
        options,
      )
      return new StreamChannel(stream, peer)
    } catch (error) {
      options.signal?.throwIfAborted()
      if ((error as Error).name === 'UnsupportedProtocolError')
        throw new NetError('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${protocols.join(' or ')}`, { cause: error })
      throw dialFailure(error, peer)
    }
  }

  async #dial({ peer, addresses }: PeerInfo, options: Abortable): Promise<Connection> {
    const id = libp2pPeerId(peer)
    const open = this.#best(id)
    if (open && !open.limits) return open
    const stored = await this.#node.peerStore.get(id).catch(() => undefined)
    const known = stored?.addresses.map(({ multiaddr }) => multiaddr.toString()) ?? []
    const dialable = dialableAddresses(peer, [...addresses, ...known])
    if (!open) return await this.#dialAddresses(dialable, peer, options)
    // What a relay of strangers lets through is too little for us: better a connection of our own, if that is possible.
    const direct = dialable.filter((address) => relayOfAddress(address) === undefined)
    if (direct.length === 0) return open
    return await this.#dialAddresses(direct, peer, options).catch(() => {
      options.signal?.throwIfAborted()
      return open
    })
  }

  // Of several connections a direct one, and rather any than one on which a relay lets only little through.
  #best(id: ReturnType<typeof libp2pPeerId>): Connection | undefined {
    const open = this.#node.getConnections(id).filter(({ status }) => status === 'open')
    const rank = ({ direct, limits: most }: Connection) => (direct ? 0 : most ? 2 : 1)
    return open.sort((a, b) => rank(a) - rank(b))[0]
  }

  async #dialAddresses(addresses: Multiaddr[], target: string, options: Abortable): Promise<Connection> {
    try {
      return await withDeadline(
        this.#clock,
        times.dialMs,
        `connecting to ${target}`,
        // Without an address the DHT is asked for one.
        (signal) => this.#node.dial(addresses.length > 0 ? addresses : libp2pPeerId(target as PeerId), { signal }),
        options,
      )
    } catch (error) {
      options.signal?.throwIfAborted()
      throw dialFailure(error, target)
    }
  }

  #onIdentify(id: Libp2pPeerId, protocols: string[]): void {
    // Identify may end after the connection did.
    if (this.#node.getConnections(id).length === 0) return
    const peer = textOf(id)
    const known = this.#identified.has(peer)
    this.#identified.set(peer, protocols)
    if (!known) this.#tell({ peer, connected: true })
  }

  #onConnection(connection: Connection): void {
    const others = this.#node.getConnections(connection.remotePeer).filter((other) => other !== connection)
    if (!connection.direct || others.length === 0 || others.some(({ direct }) => direct)) return
    for (const listen of this.#directListeners) listen(textOf(connection.remotePeer))
  }

  #onUpdate({ id, protocols }: Peer): void {
    const peer = textOf(id)
    if (this.#identified.has(peer)) this.#identified.set(peer, protocols)
  }

  #onDisconnect(peer: PeerId): void {
    if (this.#identified.delete(peer)) this.#tell({ peer, connected: false })
  }

  #tell(event: { peer: PeerId; connected: boolean }): void {
    for (const listen of this.#listeners) {
      try {
        listen(event)
      } catch (error) {
        this.#log.error(`a listener to peers failed: ${sentenceOf(error)}`)
      }
    }
  }
}

function hungUp(peer: PeerId): NetError {
  const why = 'it may be of a cluster whose secret was replaced, and a new invite line is needed then'
  return new NetError('DIAL_FAILED', `${peer} hung up right after the handshake: ${why}`, { retryable: true })
}

function textOf(id: { toString(): string }): PeerId {
  return id.toString() as PeerId
}
