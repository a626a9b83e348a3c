// The twin of the network: any number of peers in one process. Streams have bounded buffers and hold writers back as real
// ones do; lines have a pace and a delay, by the clock they are given; and a peer can vanish, stall, garble what it sends, or
// refuse to be dialed. What is promised is the Network port and nothing else: no identify, no addresses that mean anything.
import { type Abortable, abortable } from '../../src/base/abort.ts'
import type { Clock } from '../../src/base/clock.ts'
import { CodedError } from '../../src/base/errors.ts'
import type { PeerId, PeerInfo } from '../../src/core/peer.ts'
import type { Channel, Connected, HandlerOptions, Network } from '../../src/core/ports.ts'

class TwinNetworkError extends CodedError<'DIAL_FAILED' | 'PROTOCOL_UNSUPPORTED' | 'STREAM_BROKEN'> {}

/** How bytes travel from a peer. */
export interface Line {
  delayMs: number
  bytesPerSecond: number
}

const bufferBytes = 256 * 1024
const packetBytes = 8 * 1024

type Handler = (channel: Channel) => Promise<void>
type Listener = (event: { peer: PeerId; connected: boolean }) => void

/** All peers, and the wires between them. */
export class NetworkTwin {
  readonly clock: Clock
  readonly peers = new Map<PeerId, PeerTwin>()

  constructor({ clock }: { clock: Clock }) {
    this.clock = clock
  }

  /** A new peer. Peers that know each other's name can dial each other. */
  join(name: string, line: Partial<Line> = {}): PeerTwin {
    const peer = new PeerTwin(this, name as PeerId, { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, ...line })
    this.peers.set(peer.self, peer)
    return peer
  }
}

export class PeerTwin implements Network {
  readonly self: PeerId
  readonly line: Line
  /** When the line has carried all that it was given. */
  lineFreeMs = 0
  readonly channels = new Set<ChannelTwin>()
  /** The most that was ever on its way to it, or unread, in one stream. */
  peakBytes = 0
  readonly #world: NetworkTwin
  readonly #handlers = new Map<string, { streamsMax: number; handler: Handler }>()
  readonly #connections = new Map<PeerId, 'in' | 'out'>()
  readonly #directListeners = new Set<(peer: PeerId) => void>()
  readonly #listeners = new Set<Listener>()
  /** Nobody can dial it. */
  refuses = false
  /** Nobody gets an answer from dialing it. */
  hangs = false
  /** What it sends from now on stays on the wire, for good. */
  stalled = false
  /** What becomes of the bytes that it sends. */
  garble: ((bytes: Uint8Array) => Uint8Array) | undefined

  constructor(world: NetworkTwin, self: PeerId, line: Line) {
    this.#world = world
    this.self = self
    this.line = line
  }

  get info(): PeerInfo {
    return { peer: this.self, addresses: [`/memory/${this.self}`] }
  }

  addresses(): string[] {
    return [`/memory/${this.self}/p2p/${this.self}`]
  }

  connected(): Connected[] {
    return [...this.#connections].map(([peer, direction]) => ({
      peer,
      addresses: [`/memory/${peer}`],
      direction,
      relayed: false,
      protocols: this.#world.peers.get(peer)?.protocols ?? [],
    }))
  }

  /** What it serves. */
  get protocols(): string[] {
    return [...this.#handlers.keys()]
  }

  async connect(target: string | PeerInfo, { signal }: Abortable = {}): Promise<PeerId> {
    signal?.throwIfAborted()
    const peer = typeof target === 'string' ? (target as PeerId) : target.peer
    if (this.#connections.has(peer)) return peer
    const other = this.#world.peers.get(peer)
    if (other?.hangs) return await abortable(new Promise<never>(() => {}), signal)
    if (!other || other.refuses) throw new TwinNetworkError('DIAL_FAILED', 'nobody answers there', { retryable: true })
    this.#meet(peer, 'out')
    other.#meet(this.self, 'in')
    return peer
  }

  async open(peer: PeerId | PeerInfo, protocols: string[], options: Abortable = {}): Promise<ChannelTwin> {
    const id = await this.connect(typeof peer === 'string' ? { peer, addresses: [] } : peer, options)
    const other = this.#world.peers.get(id)!
    const protocol = protocols.find((name) => other.#handlers.has(name))
    if (!protocol) throw new TwinNetworkError('PROTOCOL_UNSUPPORTED', `${id} does not speak ${protocols.join(' or ')}`)
    const { streamsMax, handler } = other.#handlers.get(protocol)!
    const open = [...other.channels].filter(
      (one) => one.protocol === protocol && one.peer === this.self && one.isInbound,
    )
    if (open.length >= streamsMax) throw new TwinNetworkError('STREAM_BROKEN', 'too many streams', { retryable: true })
    const near = new ChannelTwin(this, other, protocol, false)
    const far = new ChannelTwin(other, this, protocol, true)
    near.pair(far)
    far.pair(near)
    handler(far).catch((error) => far.abort(error))
    return near
  }

  async handle(protocol: string, { streamsMax }: HandlerOptions, handler: Handler): Promise<() => Promise<void>> {
    this.#handlers.set(protocol, { streamsMax, handler })
    return async () => this.forget(protocol)
  }

  /** Serves a protocol no more. */
  forget(protocol: string): void {
    this.#handlers.delete(protocol)
  }

  onDirect(listen: (peer: PeerId) => void): () => void {
    this.#directListeners.add(listen)
    return () => this.#directListeners.delete(listen)
  }

  /** Has the program think that there is a direct connection to a peer now. */
  tellDirect(peer: PeerId): void {
    for (const listen of this.#directListeners) listen(peer)
  }

  onPeer(listen: Listener): () => void {
    this.#listeners.add(listen)
    return () => this.#listeners.delete(listen)
  }

  /** Breaks the connection with a peer, or with all. */
  cut(peer?: PeerId): void {
    for (const id of peer ? [peer] : [...this.#connections.keys()]) {
      const other = this.#world.peers.get(id)
      this.#part(id)
      if (other) other.#part(this.self)
    }
  }

  /** Gone without a word: cut off, and nobody can dial it. */
  vanish(): void {
    this.refuses = true
    this.cut()
  }

  get clock(): Clock {
    return this.#world.clock
  }

  #meet(peer: PeerId, direction: 'in' | 'out'): void {
    this.#connections.set(peer, direction)
    for (const listen of this.#listeners) listen({ peer, connected: true })
  }

  #part(peer: PeerId): void {
    if (!this.#connections.delete(peer)) return
    for (const channel of this.channels) if (channel.peer === peer) channel.break()
    for (const listen of this.#listeners) listen({ peer, connected: false })
  }
}

export class ChannelTwin implements Channel {
  readonly peer: PeerId
  readonly protocol: string
  readonly isInbound: boolean
  readonly #own: PeerTwin
  readonly #other: PeerTwin
  #far: ChannelTwin | undefined
  /** On the wire to us or unread, with the time at which each piece is here. */
  #incoming: { packet: Uint8Array; dueMs: number }[] = []
  #incomingBytes = 0
  #ended = false
  #closed = false
  #broken: Error | undefined
  #wake = Promise.withResolvers<void>()

  constructor(own: PeerTwin, other: PeerTwin, protocol: string, isInbound: boolean) {
    this.#own = own
    this.#other = other
    this.peer = other.self
    this.protocol = protocol
    this.isInbound = isInbound
    own.channels.add(this)
  }

  pair(far: ChannelTwin): void {
    this.#far = far
  }

  async write(pieces: Uint8Array[], { signal }: Abortable = {}): Promise<void> {
    signal?.throwIfAborted()
    if (this.#broken) throw this.#broken
    if (this.#closed) throw new TwinNetworkError('STREAM_BROKEN', 'this side has been closed')
    const far = this.#far!
    far.#accept(pieces.map((piece) => (this.#own.garble ? this.#own.garble(piece) : piece)))
    while (far.#incomingBytes > bufferBytes && !this.#broken) await abortable(far.#wake.promise, signal)
    if (this.#broken) throw this.#broken
  }

  async read({ signal }: Abortable = {}): Promise<Uint8Array[] | undefined> {
    for (;;) {
      signal?.throwIfAborted()
      if (this.#broken) throw this.#broken
      const here = this.#takeArrived()
      if (here.length > 0) return here
      if (this.#incoming.length === 0 && this.#ended) return undefined
      await abortable(this.#wake.promise, signal)
    }
  }

  async close(): Promise<void> {
    if (this.#broken) throw this.#broken
    this.#closed = true
    this.#far!.#ended = true
    this.#far!.#changed()
    this.#tidy()
  }

  abort(reason: Error): void {
    this.break(reason)
    this.#far!.break(new TwinNetworkError('STREAM_BROKEN', 'the other side dropped it', { retryable: true }))
  }

  break(reason: Error = new TwinNetworkError('STREAM_BROKEN', 'the connection was lost', { retryable: true })): void {
    this.#broken ??= reason
    this.#incoming = []
    this.#incomingBytes = 0
    this.#own.channels.delete(this)
    this.#changed()
  }

  #takeArrived(): Uint8Array[] {
    if (this.#other.stalled) return []
    const nowMs = this.#own.clock.monotonicMs()
    const waiting = this.#incoming.findIndex(({ dueMs }) => dueMs > nowMs)
    const packets = this.#incoming.splice(0, waiting < 0 ? this.#incoming.length : waiting).map(({ packet }) => packet)
    if (packets.length === 0) return []
    for (const { byteLength } of packets) this.#incomingBytes -= byteLength
    this.#changed()
    return packets
  }

  #accept(pieces: Uint8Array[]): void {
    for (const piece of pieces)
      for (let at = 0; at < piece.byteLength; at += packetBytes) this.#carry(piece.subarray(at, at + packetBytes))
  }

  #carry(packet: Uint8Array): void {
    const { delayMs, bytesPerSecond } = this.#other.line
    const nowMs = this.#own.clock.monotonicMs()
    // Packets follow each other at the pace of the line, whichever stream they are of.
    this.#other.lineFreeMs = Math.max(nowMs, this.#other.lineFreeMs) + (packet.byteLength / bytesPerSecond) * 1_000
    const dueMs = this.#other.lineFreeMs + delayMs
    this.#incoming.push({ packet, dueMs })
    this.#incomingBytes += packet.byteLength
    this.#own.peakBytes = Math.max(this.#own.peakBytes, this.#incomingBytes)
    if (dueMs <= nowMs) this.#changed()
    else this.#own.clock.timer(dueMs - nowMs, () => this.#changed())
  }

  #tidy(): void {
    if (!this.#closed || !this.#ended) return
    this.#own.channels.delete(this)
    this.#far!.#own.channels.delete(this.#far!)
  }

  // Wakes our reader, and the writer at the other side.
  #changed(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }
}
