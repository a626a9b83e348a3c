// Meeting members: whoever is connected shows that it holds the cluster's secret, both ways, once per connection; then the
// two compare what they know. Members near to this one that are not connected are dialed, each with a back-off of its own. A
// peer that proves nothing is no member and is asked again ever less often; one that was forgotten is told so.
import { type Abortable, withDeadline } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Admission, Calls, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { MembersError } from './errors.ts'
import { decodeHello, encodeHello, encodeRequest, protocol } from './messages.ts'
import type { Roll } from './roll.ts'

export interface GreetingDeps {
  calls: () => Calls
  network: Network
  admission: Admission
  roll: Roll
  clock: Clock
  random: Random
  log: Log
  /** Members to keep a line to. */
  near: () => ReadonlySet<PeerId>
  /** A peer has proven itself just now. */
  onProven: (peer: PeerId) => void
  /** Brings both books in line. */
  reconcile: (peer: PeerId, options: Abortable) => Promise<void>
}

export class Greeting implements Worker {
  readonly name = 'meeting members'
  readonly #deps: GreetingDeps
  readonly #proven = new Set<PeerId>()
  readonly #running = new Map<PeerId, Promise<void>>()
  /** Peers that were tried in vain, or are to be tried again because they are new. */
  readonly #tries = new Map<PeerId, { failures: number; dueMs: number }>()
  #wake = () => {}

  constructor(deps: GreetingDeps) {
    this.#deps = deps
  }

  proven(peer: PeerId): boolean {
    return this.#proven.has(peer)
  }

  /** Sorted, so that a choice among them does not depend on who came first. */
  provenPeers(): PeerId[] {
    return [...this.#proven].sort()
  }

  onWork(wake: () => void): void {
    this.#wake = wake
  }

  status(): string {
    const missing = this.#missing(new Set(this.#deps.network.connected().map(({ peer }) => peer))).length
    const met = `has met ${this.#proven.size} members on open connections`
    return missing === 0 ? met : `${met}; ${missing} are not connected`
  }

  connected(peer: PeerId): void {
    this.#tries.delete(peer)
    this.#wake()
  }

  disconnected(peer: PeerId): void {
    this.#proven.delete(peer)
    this.#wake()
  }

  /** The peer is to prove itself anew: it does not know us, or is forgotten. */
  doubt(peer: PeerId): void {
    this.#proven.delete(peer)
    this.#wake()
  }

  // Nothing here is waited for: one peer that does not answer must not keep others from being met.
  async step(signal: AbortSignal): Promise<StepResult> {
    const { network, clock, roll } = this.#deps
    if (!roll.own || roll.own.state === 'left') return { next: 'later', delayMs: times.redialMostMs }
    const lines = network.connected()
    const connected = new Set(lines.map(({ peer }) => peer))
    const strangers = lines.filter(({ peer, protocols }) => {
      if (this.#proven.has(peer) || roll.isForgotten(peer)) return false
      return protocols.length === 0 || protocols.includes(protocol)
    })
    const wanted = [...strangers.map(({ peer }) => peer), ...this.#missing(connected)]
    for (const peer of this.#tries.keys()) if (!wanted.includes(peer)) this.#tries.delete(peer)
    const nowMs = clock.monotonicMs()
    let soonestMs = nowMs + times.redialMostMs
    for (const peer of wanted) {
      const dueMs = this.#tries.get(peer)?.dueMs ?? nowMs
      if (this.#running.has(peer)) continue
      if (dueMs > nowMs) soonestMs = Math.min(soonestMs, dueMs)
      else if (connected.has(peer) || this.#running.size < limits.dialsInBackgroundMax) void this.#try(peer, signal)
    }
    return { next: 'later', delayMs: soonestMs - nowMs }
  }

  /** Connects if need be, and proves both to each other. Throws what kept them from it. */
  greet(peer: PeerId, options: Abortable = {}): Promise<void> {
    let running = this.#running.get(peer)
    if (!running) {
      running = this.#greet(peer, options).finally(() => this.#running.delete(peer))
      this.#running.set(peer, running)
    }
    return running
  }

  /** Tries all that are near until they were met or the time is up: after a sleep, connections that look open may not be. */
  async greetAll(options: Abortable): Promise<void> {
    const { clock } = this.#deps
    const all = async (signal: AbortSignal) => {
      let missed = this.#missing(new Set())
      while (missed.length > 0) {
        missed = await this.#greetEach(missed, signal)
        if (missed.length > 0) await sleep(clock, times.redialFirstMs, signal)
      }
    }
    await withDeadline(clock, times.wakeMs, 'meeting members again', all, options).catch(() => {})
  }

  /** Some at a time; returns those that did not answer. */
  async #greetEach(peers: PeerId[], signal: AbortSignal): Promise<PeerId[]> {
    const { clock } = this.#deps
    const missed: PeerId[] = []
    const next = peers.values()
    const lane = async () => {
      for (const peer of next) {
        const greet = (limit: AbortSignal) => this.greet(peer, { signal: limit })
        await withDeadline(clock, times.callMs, 'meeting a member', greet, { signal }).catch(() => missed.push(peer))
      }
    }
    await Promise.all(Array.from({ length: limits.dialsInBackgroundMax }, lane))
    return missed
  }

  /** Answers a greeting; whoever greets compares books, if need be. Throws NOT_PROVEN or NOT_JOINED. */
  answer(proof: Uint8Array, from: PeerId): Uint8Array {
    const { admission, roll } = this.#deps
    const own = admission.proof()
    if (!own || !roll.own) throw notJoined()
    if (!admission.proves(from, proof)) throw notProven(from)
    const entry = roll.book.get(from)
    const notice = entry?.kind === 'forgotten' ? entry.bytes : undefined
    if (!notice) this.#prove(from)
    return encodeHello({ proof: own, digest: roll.digest, notice })
  }

  async #greet(peer: PeerId, options: Abortable): Promise<void> {
    const { admission, network, roll, calls, reconcile } = this.#deps
    const proof = admission.proof()
    if (!proof || !roll.own) throw notJoined()
    if (!network.connected().some((line) => line.peer === peer))
      await network.connect({ peer, addresses: roll.claimOf(peer)?.addresses ?? [] }, options)
    const request = encodeRequest({ kind: 'hello', proof })
    const hello = decodeHello(await calls().call(peer, request, options))
    if (!admission.proves(peer, hello.proof)) throw notProven(peer)
    if (hello.notice) roll.learn([hello.notice], peer)
    if (!roll.own || roll.isForgotten(peer)) return
    this.#prove(peer)
    if (Buffer.compare(hello.digest, roll.digest) !== 0) await reconcile(peer, options)
  }

  #prove(peer: PeerId): void {
    // The line may have closed behind the last word.
    if (!this.#deps.network.connected().some((line) => line.peer === peer)) return
    this.#proven.add(peer)
    this.#tries.delete(peer)
    this.#deps.onProven(peer)
  }

  async #try(peer: PeerId, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps
    try {
      await this.greet(peer, { signal })
    } catch (error) {
      const failures = (this.#tries.get(peer)?.failures ?? 0) + 1
      const wholeMs = Math.min(times.redialFirstMs * 2 ** (failures - 1), times.redialMostMs)
      this.#tries.set(peer, { failures, dueMs: clock.monotonicMs() + wholeMs * (0.75 + 0.25 * random.unit()) })
      if (!signal.aborted) log.debug(`${peer} was not met: ${sentenceOf(error)}`)
    }
    // There may be others that wait for their turn.
    this.#wake()
  }

  /** Members that should be here and are not among these, by PeerId. */
  #missing(connected: ReadonlySet<PeerId>): PeerId[] {
    return [...this.#deps.near()].filter((peer) => !connected.has(peer)).sort()
  }
}

function notJoined(): MembersError {
  return new MembersError('NOT_JOINED', 'this peer is no member of a cluster')
}

function notProven(peer: PeerId): MembersError {
  return new MembersError('NOT_PROVEN', `${peer} does not hold the secret of this cluster; join it with an invite line`)
}
