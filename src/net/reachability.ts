// Whether this peer can be dialed: one Worker that has some of the connected peers try, again when its addresses or its
// network change, and now and then. What worked from outside is announced, so that a port that somebody forwarded by hand
// is of use. It keeps the latest answer of each peer that is connected, and judges by those.
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { multiaddr } from '@multiformats/multiaddr'
import { withDeadline } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { ipOfAddress, isLocalAddress } from './addresses.ts'
import { askDialBack } from './dial-back.ts'
import { type Trial, type Verdict, verdictOf } from './reach.ts'

export interface ReachabilityDeps {
  /** Addresses that this peer believes in, mapped ones included, without tail; none if it listens nowhere. */
  candidates: () => string[]
  connections: () => Connection[]
  /** Whether a peer said that it tries for others. */
  triesFor: (peer: PeerId) => boolean
  /** What others, outside of this protocol, have shown already. */
  shown: () => Trial[]
  /** Filled with the addresses that others have found. */
  confirmed: Multiaddr[]
  onChange: (change: { verdict: boolean; addresses: boolean }) => void
  clock: Clock
  log: Log
}

interface Answer extends Trial {
  /** How far the other's clock is ahead of ours. */
  aheadMs: number
  dueMs: number
}

export class Reachability implements Worker {
  readonly name = 'finding out who can reach this peer'
  readonly #deps: ReachabilityDeps
  readonly #answers = new Map<PeerId, Answer>()
  /** Peers that could not try, mostly because all of a cluster asked them at once: asked again soon. */
  readonly #deaf = new Map<PeerId, number>()
  #lookedMs = Number.NEGATIVE_INFINITY
  #asked = ''
  #verdict: Verdict = 'unknown'
  #wake = () => {}

  constructor(deps: ReachabilityDeps) {
    this.#deps = deps
  }

  onWork(wake: () => void): void {
    this.#wake = wake
  }

  get verdict(): Verdict {
    return this.#verdict
  }

  get trials(): Trial[] {
    return [...this.#answers.values(), ...this.#deps.shown()]
  }

  get clocksAheadMs(): number[] {
    return [...this.#answers.values()].map(({ aheadMs }) => aheadMs)
  }

  status(): string {
    const count = this.trials.length
    const says = { direct: 'it can be dialed', hidden: 'it cannot be dialed', unknown: 'not known yet' }[this.#verdict]
    return count === 0 ? says : `${count} ${count === 1 ? 'peer' : 'peers'} tried: ${says}`
  }

  wake(): void {
    this.#wake()
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { clock, candidates, connections } = this.#deps
    // Every peer that comes or goes wakes this: those of a moment are looked at together.
    const everyMs = this.#answers.size < limits.dialBackAskedMax ? times.reachLookMs : times.reachLookAgainMs
    const waitMs = this.#lookedMs + everyMs - clock.monotonicMs()
    if (waitMs > 0) await sleep(clock, waitMs, signal)
    this.#lookedMs = clock.monotonicMs()
    const addresses = candidates()
    if (addresses.join() !== this.#asked) {
      this.#asked = addresses.join()
      for (const answer of this.#answers.values()) answer.dueMs = 0
    }
    const ways = new Map<PeerId, Connection>()
    for (const way of connections())
      if (way.direct && way.status === 'open') ways.set(way.remotePeer.toString() as PeerId, way)
    for (const peer of [...this.#answers.keys()]) if (!ways.has(peer)) this.#answers.delete(peer)
    for (const [peer, dueMs] of this.#deaf) if (!ways.has(peer) || dueMs <= clock.monotonicMs()) this.#deaf.delete(peer)
    if (addresses.length > 0) await Promise.all(this.#toAsk(ways).map((way) => this.#ask(way, addresses, signal)))
    else this.#answers.clear()
    this.#judge(addresses.length > 0)
    return { next: 'later', delayMs: times.relaysPollMs }
  }

  // One of each network first, those of the internet before others: three neighbours know no more than one. They come before
  // anybody from further away, so that they must not take all the room.
  #toAsk(ways: ReadonlyMap<PeerId, Connection>): Connection[] {
    const { clock, triesFor } = this.#deps
    const answered = this.#answers.size
    const due = [...ways].filter(([peer]) => (this.#answers.get(peer)?.dueMs ?? Infinity) <= clock.monotonicMs())
    const fresh = [...ways].filter(([peer]) => !this.#answers.has(peer) && !this.#deaf.has(peer) && triesFor(peer))
    const seen = new Set([...this.#answers.keys()].map((peer) => networkOf(ways.get(peer))))
    const isNew = ([, way]: [PeerId, Connection]) => {
      const network = networkOf(way)
      return !seen.has(network) && seen.add(network) !== undefined
    }
    const first = fresh.sort(([, a], [, b]) => nearness(a) - nearness(b)).filter(isNew)
    const rest = fresh.filter((entry) => !first.includes(entry))
    const room = (most: number) => Math.max(0, most - answered)
    const chosen = [
      ...first.slice(0, room(limits.dialBackAskedMax + limits.dialBackNetworksMax)),
      ...rest.slice(0, Math.max(0, room(limits.dialBackAskedMax) - first.length)),
    ]
    return [...due, ...chosen].map(([, way]) => way)
  }

  async #ask(way: Connection, addresses: string[], signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps
    const peer = way.remotePeer.toString() as PeerId
    try {
      const ask = (each: AbortSignal) => askDialBack(way, addresses, { signal: each })
      const { observed, worked, nowMs } = await withDeadline(clock, times.dialBackMs, `asking ${peer}`, ask, { signal })
      const waitMs = worked.length > 0 ? times.reachEveryMs : times.reachAgainMs
      this.#answers.set(peer, { observed, worked, aheadMs: nowMs - clock.nowMs(), dueMs: clock.monotonicMs() + waitMs })
    } catch (error) {
      if (signal.aborted) return
      log.debug(`${peer} did not try to dial this peer: ${sentenceOf(error)}`)
      const answer = this.#answers.get(peer)
      if (answer) answer.dueMs = clock.monotonicMs() + times.reachAgainMs
      else this.#deaf.set(peer, clock.monotonicMs() + times.dialBackBusyMs)
    }
  }

  #judge(listens: boolean): void {
    const { confirmed, onChange } = this.#deps
    const { trials } = this
    // Who has lost everybody is where it was, for all that it knows, and needs a relay as soon as one is back.
    const verdict = trials.length === 0 && listens ? this.#verdict : verdictOf(trials, { listens })
    const answers = [...this.#answers.values()]
    const worked = [...new Set(answers.flatMap((trial) => trial.worked))].sort().slice(0, limits.confirmedAddressesMax)
    const change = { verdict: verdict !== this.#verdict, addresses: worked.join() !== confirmed.join() }
    if (change.addresses) confirmed.splice(0, confirmed.length, ...worked.map((address) => multiaddr(address)))
    this.#verdict = verdict
    if (change.verdict || change.addresses) onChange(change)
  }
}

function nearness({ remoteAddr }: Connection): number {
  return isLocalAddress(remoteAddr) ? 1 : 0
}

/** The first half of an IPv4 address, or of the network part of an IPv6 one. */
function networkOf(way: Connection | undefined): string {
  const ip = way && ipOfAddress(way.remoteAddr)
  if (!ip) return ''
  return ip.includes(':') ? ip.split(':').slice(0, 2).join(':') : ip.split('.').slice(0, 2).join('.')
}
