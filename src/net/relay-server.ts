// This peer as a relay: it keeps places for peers that nobody can dial, and joins two streams when one of the network asks
// for such a peer. In a private network whoever finished the handshake is of the cluster and gets what it needs, within a
// budget of bytes per second; in the open one strangers get what libp2p's relays give. A place ends with its connection.
import type { Connection, Stream } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import * as Digest from 'multiformats/hashes/digest'
import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { StreamChannel } from './channel.ts'
import {
  type CircuitMessage,
  circuitStatus,
  hopProtocol,
  hopTypes,
  stopProtocol,
  stopTypes,
} from './circuit-messages.ts'
import { type CircuitStream, circuitStream } from './circuit-stream.ts'
import { early } from './early.ts'
import { NetError } from './errors.ts'
import type { RelayBudget } from './relay-budget.ts'

export interface RelayServerDeps {
  registrar: Registrar
  connectionManager: ConnectionManager
  /** Where this peer is reached directly, with `/p2p/` tail. */
  addresses: () => Multiaddr[]
  budget: RelayBudget
  clock: Clock
  log: Log
}

export interface RelayTerms {
  reservationsMax: number
  circuitsMax: number
  circuitsPerPeerMax: number
  /** Of one circuit; undefined: as long and as much as it likes. */
  circuit: { ms: number; bytes: number } | undefined
}

export const memberTerms: RelayTerms = {
  reservationsMax: limits.relayReservationsMax,
  circuitsMax: limits.circuitsMax,
  circuitsPerPeerMax: limits.circuitsPerPeerMax,
  circuit: undefined,
}

export const strangerTerms: RelayTerms = {
  reservationsMax: limits.strangerReservationsMax,
  circuitsMax: limits.strangerReservationsMax * limits.strangerCircuitsPerPeerMax,
  circuitsPerPeerMax: limits.strangerCircuitsPerPeerMax,
  circuit: { ms: times.strangerCircuitMs, bytes: limits.strangerCircuitBytes },
}

interface Asked {
  hop: CircuitStream
  way: Connection
  signal: AbortSignal
}

export interface Relaying {
  /** Whether others may ask for a place now; circuits that stand go on without. */
  serving: boolean
  /** Peers that have a place here. */
  reservations: number
  /** Open now. */
  circuits: number
  /** Of all circuits since the start, both directions. */
  relayedBytes: number
}

export class RelayServer {
  readonly #deps: RelayServerDeps
  readonly #terms: RelayTerms
  readonly #stop = new AbortController()
  /** Monotonic time at which each place ends. */
  readonly #places = new Map<PeerId, number>()
  /** Circuits from and to each peer. */
  readonly #circuits = new Map<PeerId, number>()
  #open = 0
  #serving = false
  #relayedBytes = 0

  constructor(deps: RelayServerDeps, terms: RelayTerms) {
    this.#deps = deps
    this.#terms = terms
  }

  /** Whom this peer relays for now, and how much is going on. */
  status(): Relaying {
    const places = { serving: this.#serving, reservations: this.holders().length }
    return { ...places, circuits: this.#open, relayedBytes: this.#relayedBytes }
  }

  /** Peers that have a place here. */
  holders(): PeerId[] {
    this.#dropEnded()
    return [...this.#places.keys()]
  }

  /** Begins to relay, or ends that; circuits that stand go on. Others hear of it by identify. */
  async serve(serving: boolean): Promise<void> {
    if (serving === this.#serving) return
    this.#serving = serving
    const { registrar } = this.#deps
    if (!serving) {
      this.#places.clear()
      return await registrar.unhandle(hopProtocol)
    }
    const options = { maxInboundStreams: this.#terms.circuitsPerPeerMax, runOnLimitedConnection: true }
    await registrar.handle(hopProtocol, (stream, way) => this.#onHop(stream, way), options)
  }

  /** Ends everything. */
  async close(): Promise<void> {
    this.#stop.abort(new NetError('CIRCUIT_FAILED', 'the relay stops'))
    await this.serve(false)
  }

  /** The last connection to a peer has closed. */
  lost(peer: PeerId): void {
    this.#places.delete(peer)
  }

  async #onHop(stream: Stream, way: Connection): Promise<void> {
    const { clock, log } = this.#deps
    try {
      const answer = (signal: AbortSignal) => this.#answer({ hop: circuitStream(stream, 'hop'), way, signal })
      await withDeadline(clock, times.circuitMs, 'relaying', answer, { signal: this.#stop.signal })
    } catch (error) {
      log.debug(`relaying for ${way.remotePeer}: ${sentenceOf(error)}`)
      stream.abort(error as Error)
    }
  }

  async #answer(asked: Asked): Promise<void> {
    const { hop, way, signal } = asked
    const message = await hop.read({ signal })
    // Chains of relays are not served.
    if (!way.direct) return await hop.refuse(circuitStatus.permissionDenied, { signal })
    if (message.type === hopTypes.reserve) return await this.#reserve(asked)
    if (message.type === hopTypes.connect) return await this.#connect(asked, message)
    await hop.refuse(circuitStatus.unexpectedMessage, { signal })
  }

  async #reserve({ hop, way, signal }: Asked): Promise<void> {
    const { clock, addresses } = this.#deps
    const peer = textOf(way)
    this.#dropEnded()
    if (!this.#places.has(peer) && this.#places.size >= this.#terms.reservationsMax)
      return await hop.refuse(circuitStatus.reservationRefused, { signal })
    this.#places.set(peer, clock.monotonicMs() + times.reservationMs)
    const expires = Math.floor((clock.nowMs() + times.reservationMs) / 1000)
    const own = addresses().slice(0, limits.addressesPerPeerMax)
    await hop.write(
      {
        type: hopTypes.status,
        status: circuitStatus.ok,
        reservation: { expires, addresses: own.map(({ bytes }) => bytes) },
        limits: this.#shownLimits(),
      },
      { signal },
    )
    await hop.take().close({ signal })
  }

  async #connect({ hop, way, signal }: Asked, { peer: wanted }: CircuitMessage): Promise<void> {
    const from = textOf(way)
    const to = wanted && peerOf(wanted)
    if (!to) return await hop.refuse(circuitStatus.malformedMessage, { signal })
    this.#dropEnded()
    const target = this.#wayTo(to)
    if (!this.#places.has(to) || !target) return await hop.refuse(circuitStatus.noReservation, { signal })
    if (!this.#hasRoom(from) || !this.#hasRoom(to) || this.#open >= this.#terms.circuitsMax)
      return await hop.refuse(circuitStatus.resourceLimitExceeded, { signal })
    this.#count([from, to], 1)
    let joined = false
    try {
      const far = await this.#callTo(target, way, signal)
      if (!far) return await hop.refuse(circuitStatus.connectionFailed, { signal })
      await hop.write({ type: hopTypes.status, status: circuitStatus.ok, limits: this.#shownLimits() }, { signal })
      joined = true
      void this.#join(new StreamChannel(hop.take(), from), new StreamChannel(far, to)).finally(() =>
        this.#count([from, to], -1),
      )
    } finally {
      if (!joined) this.#count([from, to], -1)
    }
  }

  /** The stream at whose other end the wanted peer is; undefined if it does not want this. */
  async #callTo(target: Connection, way: Connection, signal: AbortSignal): Promise<Stream | undefined> {
    const stream = await target
      .newStream([stopProtocol], {
        ...early,
        signal,
        maxOutboundStreams: limits.circuitsMax,
        runOnLimitedConnection: true,
      })
      .catch((error: unknown) => this.#deps.log.debug(`no stream to ${target.remotePeer}: ${sentenceOf(error)}`))
    if (!stream) return undefined
    try {
      const stop = circuitStream(stream, 'stop')
      const caller = way.remotePeer.toMultihash().bytes
      await stop.write({ type: stopTypes.connect, peer: caller, limits: this.#shownLimits() }, { signal })
      const { status } = await stop.read({ signal })
      if (status === circuitStatus.ok) return stop.take()
      stream.abort(new NetError('CIRCUIT_FAILED', 'not wanted there'))
    } catch (error) {
      stream.abort(error as Error)
    }
    return undefined
  }

  // Each side is read only as fast as the other takes it: what waits is bounded by the windows of the two streams.
  async #join(near: StreamChannel, far: StreamChannel): Promise<void> {
    const { clock, log } = this.#deps
    const { circuit } = this.#terms
    const end = new AbortController()
    const onStop = () => end.abort(this.#stop.signal.reason)
    this.#stop.signal.addEventListener('abort', onStop)
    if (this.#stop.signal.aborted) onStop()
    const cancel = circuit ? clock.timer(circuit.ms, () => end.abort(overLimit())) : () => {}
    const left = { bytes: circuit?.bytes ?? Number.POSITIVE_INFINITY }
    try {
      await Promise.all([this.#pump(near, far, left, end.signal), this.#pump(far, near, left, end.signal)])
    } catch (error) {
      log.debug(`a circuit between ${near.peer} and ${far.peer} ended: ${sentenceOf(error)}`)
      for (const channel of [near, far]) channel.abort(error as Error)
      end.abort(error)
    } finally {
      cancel()
      this.#stop.signal.removeEventListener('abort', onStop)
    }
  }

  async #pump(from: StreamChannel, to: StreamChannel, left: { bytes: number }, signal: AbortSignal): Promise<void> {
    for (;;) {
      const pieces = await from.read({ signal })
      if (!pieces) return await to.close({ signal })
      const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
      left.bytes -= bytes
      if (left.bytes < 0) throw overLimit()
      await this.#deps.budget.take(bytes, { signal })
      await to.write(pieces, { signal })
      this.#relayedBytes += bytes
    }
  }

  #wayTo(peer: PeerId): Connection | undefined {
    const all = this.#deps.connectionManager.getConnections()
    return all.find((way) => textOf(way) === peer && way.direct && way.status === 'open')
  }

  #hasRoom(peer: PeerId): boolean {
    return (this.#circuits.get(peer) ?? 0) < this.#terms.circuitsPerPeerMax
  }

  #count(peers: PeerId[], change: 1 | -1): void {
    this.#open += change
    for (const peer of peers) {
      const count = (this.#circuits.get(peer) ?? 0) + change
      if (count === 0) this.#circuits.delete(peer)
      else this.#circuits.set(peer, count)
    }
  }

  #dropEnded(): void {
    const nowMs = this.#deps.clock.monotonicMs()
    for (const [peer, endMs] of this.#places) if (endMs <= nowMs) this.#places.delete(peer)
  }

  #shownLimits(): CircuitMessage['limits'] {
    const { circuit } = this.#terms
    return circuit && { seconds: circuit.ms / 1000, bytes: circuit.bytes }
  }
}

function overLimit(): NetError {
  return new NetError('CIRCUIT_FAILED', 'a circuit of strangers has reached its limit')
}

function textOf(way: Connection): PeerId {
  return way.remotePeer.toString() as PeerId
}

function peerOf(multihash: Uint8Array): PeerId | undefined {
  try {
    return peerIdFromMultihash(Digest.decode(multihash)).toString() as PeerId
  } catch {
    return undefined
  }
}
