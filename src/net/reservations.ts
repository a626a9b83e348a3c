// Places at relays, for a peer that cannot be dialed: one Worker that keeps a few, renews each before it ends, and finds
// others within a step when a relay has gone, refused or lied, each relay with a back-off of its own. What a relay says of
// its addresses and times is believed within bounds only. A peer that can be dialed holds none.
import type { Connection } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { bareAddress, isLocalAddress, peerOfAddress, relayOfAddress } from './addresses.ts'
import type { Place } from './circuit.ts'
import { circuitStatus, hopProtocol, hopTypes, type Reservation, statusName } from './circuit-messages.ts'
import { circuitStream } from './circuit-stream.ts'
import { NetError } from './errors.ts'

export interface ReservationsDeps {
  /** The places held: those that connections are taken from. */
  places: Map<PeerId, Place>
  /** Open connections. */
  connections: () => Connection[]
  /** Whether a peer said that it relays. */
  relays: (peer: PeerId) => boolean
  /** Whether this peer needs any relay now. */
  wanted: () => boolean
  /** Places have come or gone. */
  onChange: () => void
  /** Asks a relay for a place. Throws why there is none. */
  ask: (way: Connection, signal: AbortSignal) => Promise<Reservation>
  clock: Clock
  random: Random
  log: Log
}

interface Refusal {
  failures: number
  dueMs: number
  why: string
}

export class Reservations implements Worker {
  readonly name = 'keeping places at relays'
  readonly #deps: ReservationsDeps
  readonly #refusals = new Lru<PeerId, Refusal>(limits.relayReservationsMax)
  #lastWhy: string | undefined
  #wake = () => {}

  constructor(deps: ReservationsDeps) {
    this.#deps = deps
  }

  onWork(wake: () => void): void {
    this.#wake = wake
  }

  status(): string {
    const { places, wanted } = this.#deps
    if (!wanted()) return 'no relay is needed'
    const count = `${places.size} of ${limits.relaysWanted} places at relays`
    return places.size === 0 && this.#lastWhy ? `${count}; ${this.#lastWhy}` : count
  }

  /** A connection has closed, and with it the place that came with it. */
  lost(connection: Connection): void {
    const relay = textOf(connection)
    if (this.#deps.places.get(relay)?.connection === connection.id) this.#drop(relay)
    this.#wake()
  }

  /** Something is new: a peer that may relay, or that a relay is needed. */
  wake(): void {
    this.#wake()
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { places, wanted, relays, clock } = this.#deps
    const nowMs = clock.monotonicMs()
    if (!wanted()) for (const relay of places.keys()) this.#drop(relay)
    // A relay that says that it no longer relays has let its places go.
    for (const [relay, { endMs }] of places) if (endMs <= nowMs || !relays(relay)) this.#drop(relay)
    if (!wanted()) return { next: 'later', delayMs: times.relaysPollMs }
    const due = [...places].filter(([, { renewMs }]) => renewMs <= nowMs).map(([relay]) => relay)
    const fresh = this.#wantedNow(nowMs)
    await Promise.all([...due, ...fresh].map((relay) => this.#reserve(relay, { signal })))
    for (const relay of this.#near().slice(0, Math.max(0, places.size - limits.relaysWanted))) this.#drop(relay)
    // Some said no: others are asked at once.
    if (fresh.some((relay) => !places.has(relay)) && this.#wantedNow(nowMs).length > 0) return { next: 'now' }
    const renewals = [...places.values()].map(({ renewMs }) => renewMs - clock.monotonicMs())
    return { next: 'later', delayMs: Math.max(100, Math.min(times.relaysPollMs, ...renewals)) }
  }

  /**
   * Relays to ask for a place: those further away first, which others elsewhere may reach too. They are asked even if places
   * at near ones are all that is wanted, and take their stead.
   */
  #wantedNow(nowMs: number): PeerId[] {
    const missing = limits.relaysWanted - this.#deps.places.size
    const candidates = this.#candidates(nowMs)
    const far = candidates.filter(({ isNear }) => !isNear).slice(0, Math.max(0, missing) + this.#near().length)
    const near = candidates.filter(({ isNear }) => isNear).slice(0, Math.max(0, missing - far.length))
    return [...far, ...near].map(({ peer }) => peer)
  }

  /** Connected relays without a place of ours, in an order by chance, so that they share the load. */
  #candidates(nowMs: number): { peer: PeerId; isNear: boolean }[] {
    const { places, relays, random } = this.#deps
    const direct = new Map(this.#direct().map((way) => [textOf(way), isLocalAddress(way.remoteAddr)]))
    const fit = [...direct].filter(
      ([peer]) => relays(peer) && !places.has(peer) && (this.#refusals.get(peer)?.dueMs ?? 0) <= nowMs,
    )
    const keyed = fit.map(([peer, isNear]) => ({ peer, isNear, key: random.unit() }))
    return keyed.sort((a, b) => a.key - b.key)
  }

  /** Places that are of use in this network only. */
  #near(): PeerId[] {
    const near = [...this.#deps.places].filter(([, { addresses }]) => addresses.every(isLocalAddress))
    return near.map(([relay]) => relay)
  }

  #direct(): Connection[] {
    return this.#deps.connections().filter(({ direct, status }) => direct && status === 'open')
  }

  async #reserve(relay: PeerId, options: Abortable): Promise<void> {
    const { places, clock, log } = this.#deps
    const way = this.#direct().find((connection) => textOf(connection) === relay)
    try {
      if (!way) throw new NetError('CIRCUIT_FAILED', 'it is not connected any more', { retryable: true })
      const ask = (signal: AbortSignal) => this.#deps.ask(way, signal)
      const reservation = await withDeadline(clock, times.circuitMs, `asking the relay ${relay}`, ask, options)
      const place = placeOf(reservation, { relay, way, clock })
      // The connection may have closed while the answer was being read.
      if (way.status !== 'open') throw new NetError('CIRCUIT_FAILED', 'it has gone', { retryable: true })
      const before = places.get(relay)
      places.set(relay, place)
      this.#refusals.delete(relay)
      this.#lastWhy = undefined
      if (before?.addresses.join() !== place.addresses.join()) this.#deps.onChange()
    } catch (error) {
      options.signal?.throwIfAborted()
      const why = `the relay ${relay}: ${sentenceOf(error)}`
      log.debug(why)
      this.#refused(relay, why)
    }
  }

  // A place whose renewal failed is used until it ends, and asked for again meanwhile.
  #refused(relay: PeerId, why: string): void {
    const { clock, random, places } = this.#deps
    const failures = (this.#refusals.get(relay)?.failures ?? 0) + 1
    const wholeMs = Math.min(times.relayRetryFirstMs * 2 ** (failures - 1), times.relayRetryMostMs)
    const dueMs = clock.monotonicMs() + wholeMs * (0.75 + 0.25 * random.unit())
    this.#refusals.set(relay, { failures, dueMs, why })
    this.#lastWhy = why
    const place = places.get(relay)
    if (place) place.renewMs = dueMs
  }

  #drop(relay: PeerId): void {
    this.#deps.places.delete(relay)
    this.#deps.onChange()
  }
}

/** Asks for a place on a direct connection. Throws CIRCUIT_FAILED and what libp2p throws. */
export async function askForPlace(way: Connection, signal: AbortSignal): Promise<Reservation> {
  const stream = await way.newStream([hopProtocol], { signal, maxOutboundStreams: limits.circuitsMax })
  try {
    const hop = circuitStream(stream, 'hop')
    await hop.write({ type: hopTypes.reserve }, { signal })
    const { status, reservation } = await hop.read({ signal })
    if (status !== circuitStatus.ok) throw new NetError('CIRCUIT_FAILED', statusName(status), { retryable: true })
    if (!reservation) throw new NetError('CIRCUIT_FAILED', 'it gave a place and did not say which')
    await stream.close({ signal })
    return reservation
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}

/** What to believe of a reservation. Throws CIRCUIT_FAILED for one that ends too soon or leads nowhere. */
export function placeOf(
  { expires, addresses }: Reservation,
  { relay, way, clock }: { relay: PeerId; way: Pick<Connection, 'id' | 'remoteAddr' | 'direction'>; clock: Clock },
): Place {
  const lifeMs = Math.min(expires * 1000 - clock.nowMs(), times.reservationMostMs)
  if (lifeMs <= 0) throw new NetError('CIRCUIT_FAILED', 'it gave a place that has ended already; is its clock right?')
  if (lifeMs < times.reservationLeastMs)
    throw new NetError('CIRCUIT_FAILED', 'the place that it gave is for too short a time')
  const believed = relayAddresses(addresses, { relay, way })
  if (believed.length === 0) throw new NetError('CIRCUIT_FAILED', 'it named no address at which it could be reached')
  const nowMs = clock.monotonicMs()
  // Halfway, so that a relay that is away for a while does not end it.
  const renewMs = nowMs + lifeMs / 2
  return { relay, connection: way.id, addresses: believed, renewMs, endMs: nowMs + lifeMs }
}

/**
 * The addresses of a relay that are worth telling others: the one at which this peer dialed it, and those it claims which
 * are of it, lead through no other relay, and are no private ones unless it was met on one. Longer ones than an address may
 * be would fill what this peer says of itself, which others then refuse to read.
 */
function relayAddresses(
  claimed: Uint8Array[],
  { relay, way }: { relay: PeerId; way: Pick<Connection, 'remoteAddr' | 'direction'> },
): Multiaddr[] {
  const own = multiaddr(`${bareAddress(way.remoteAddr)}/p2p/${relay}`)
  const isLocal = isLocalAddress(own)
  const found = new Map<string, Multiaddr>()
  if (way.direction === 'outbound') found.set(own.toString(), own)
  for (const bytes of claimed) {
    try {
      const address = multiaddr(bytes)
      const named = peerOfAddress(address)
      if (relayOfAddress(address) !== undefined || (named !== undefined && named !== relay)) continue
      if (!address.getComponents().some(({ name }) => name === 'tcp') || (isLocalAddress(address) && !isLocal)) continue
      const whole = multiaddr(`${bareAddress(address)}/p2p/${relay}`)
      if (whole.toString().length <= limits.addressCharactersMax) found.set(whole.toString(), whole)
    } catch {
      // The relay's mistake.
    }
  }
  // The one that has worked, then those that work from anywhere.
  const rank = (address: Multiaddr) => (address.equals(own) ? 0 : isLocalAddress(address) ? 2 : 1)
  return [...found.values()].sort((a, b) => rank(a) - rank(b)).slice(0, limits.relayAddressesMax)
}

function textOf({ remotePeer }: Connection): PeerId {
  return remotePeer.toString() as PeerId
}
