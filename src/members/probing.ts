// Carries out what the detector decides: pings members, asks helpers, passes news on, and tells the detector what came of
// it. It decides nothing about who is alive. Probes run beside each other; how many there are the detector limits.
import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { Claim, Liveness } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Broadcast, Calls } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { Entry } from './claim.ts'
import { Detector } from './detector.ts'
import type { DetectorAction, DetectorEvent } from './detector-events.ts'
import type { Greeting } from './greeting.ts'
import {
  decodeReached,
  decodeRumours,
  encodeReached,
  encodeRequest,
  encodeRumours,
  opinionOf,
  topic,
} from './messages.ts'
import type { Roll } from './roll.ts'
import { type Rumour, Rumours, rumourOf } from './rumours.ts'

export interface ProbingDeps {
  calls: () => Calls
  broadcast: Broadcast
  roll: Roll
  greeting: Greeting
  clock: Clock
  random: Random
  log: Log
  onLiveness: () => void
  onLatency: () => void
}

export class Probing implements Worker {
  readonly name = 'probing members'
  readonly #deps: ProbingDeps
  readonly #self: PeerId
  readonly #detector: Detector
  readonly #rumours = new Rumours()
  readonly #latencies = new Map<PeerId, number>()
  readonly #stop = new AbortController()
  readonly #until = { signal: this.#stop.signal }
  #forOthers = 0
  #wake = () => {}

  constructor(deps: ProbingDeps, { self }: { self: PeerId }) {
    this.#deps = deps
    this.#self = self
    this.#detector = new Detector(deps, { self, nowMs: deps.clock.monotonicMs() })
  }

  onWork(wake: () => void): void {
    this.#wake = wake
  }

  status(): string {
    const { roll } = this.#deps
    if (!roll.own || roll.own.state === 'left') return 'is no member, and probes nobody'
    const peers = roll.claims().filter(({ peer, claim }) => claim !== roll.own && this.#detector.livenessOf(peer))
    const alive = peers.filter(({ peer }) => this.#detector.livenessOf(peer) === 'alive').length
    return `${alive} of ${peers.length} other members are alive; passes ${this.untold} news on`
  }

  async step(): Promise<StepResult> {
    const { clock } = this.#deps
    this.#feed({ kind: 'tick', wallMs: clock.nowMs() })
    // The detector's time is a difference of clock readings, and may be a rounding error short of what is due: a wait of that
    // little, or of none, ends before the clock has moved, for ever under a virtual one.
    return { next: 'later', delayMs: Math.max(1, this.#detector.dueMs - clock.monotonicMs()) }
  }

  /** News that are still passed on. */
  get untold(): number {
    return this.#rumours.size
  }

  get near(): ReadonlySet<PeerId> {
    return this.#detector.near
  }

  livenessOf(peer: PeerId): Liveness | undefined {
    return this.#detector.livenessOf(peer)
  }

  latencyOf(peer: PeerId): number | undefined {
    return this.#latencies.get(peer)
  }

  /** Watches those that the roll has, and passes on those of its news that others may not have been told. */
  rollChanged(news: Entry[], { isTold }: { isTold: (entry: Entry) => boolean }): void {
    const { roll } = this.#deps
    for (const entry of news) if (isTold(entry)) this.#rumours.addEntry(entry)
    if (news.some(({ peer }) => peer === this.#self)) this.#feedRoster()
    else if (isOn(roll.own)) for (const { peer } of news) this.#feedMember(peer)
  }

  /** Sends entries to all at once. */
  publish(entries: Entry[]): void {
    this.#publish(entries.map(({ bytes }) => bytes))
  }

  heard(peer: PeerId): void {
    this.#feed({ kind: 'heard', peer })
  }

  lost(peer: PeerId): void {
    this.#feed({ kind: 'lost', peer })
  }

  /** Takes the news of a member in. */
  hear(rumours: Rumour[]): void {
    const { roll } = this.#deps
    roll.learn(rumours.filter((rumour) => rumour instanceof Uint8Array))
    for (const rumour of rumours) {
      const opinion = opinionOf(rumour)
      if (opinion && !roll.isForgotten(opinion.from)) this.#feed({ kind: 'opinion', opinion })
    }
  }

  answerPing(rumours: Rumour[], from: PeerId): Uint8Array {
    // Before it is heard alive: it shall know what we thought.
    const told = this.#newsFor(from)
    this.heard(from)
    this.hear(rumours)
    return encodeRumours(told)
  }

  async answerAsk({ peer, withinMs }: { peer: PeerId; withinMs: number }): Promise<Uint8Array> {
    const { clock } = this.#deps
    if (this.#detector.livenessOf(peer) === undefined || this.#forOthers >= limits.probesForOthersMax)
      return encodeReached(false)
    this.#forOthers++
    try {
      // Whoever asks waits for our answer, not only for the member's.
      const limitMs = Math.min(withinMs, times.callMs) * 0.8
      await withDeadline(clock, limitMs, 'a ping for another', () => this.#ping(peer, { limitMs }), this.#until)
      return encodeReached(true)
    } catch (error) {
      return encodeReached(isAnswer(error))
    } finally {
      this.#forOthers--
    }
  }

  close(): void {
    this.#stop.abort(new Error('this peer stops'))
  }

  #feed(event: DetectorEvent): void {
    const dueMs = this.#detector.dueMs
    for (const action of this.#detector.on(event, this.#deps.clock.monotonicMs())) this.#do(action)
    // In a step the loop asks for the due time anyway.
    if (event.kind !== 'tick' && this.#detector.dueMs < dueMs) this.#wake()
  }

  /** Whom to watch, now that this peer itself is in or out. */
  #feedRoster(): void {
    const { roll } = this.#deps
    const { own } = roll
    const watched = isOn(own) ? roll.claims().filter(({ peer, claim }) => peer !== this.#self && isOn(claim)) : []
    const peers = new Map(watched.map(({ peer, claim }) => [peer, claim.incarnation]))
    if (peers.size === 0) this.#latencies.clear()
    this.#feed({ kind: 'roster', peers, incarnation: own?.incarnation ?? 0 })
  }

  #feedMember(peer: PeerId): void {
    const claim = this.#deps.roll.claimOf(peer)
    const incarnation = isOn(claim) ? claim.incarnation : undefined
    if (incarnation === undefined) this.#latencies.delete(peer)
    this.#feed({ kind: 'member', peer, incarnation })
  }

  #do(action: DetectorAction): void {
    const { roll, log, onLiveness } = this.#deps
    if (action.kind === 'ping') void this.#probe(action)
    else if (action.kind === 'ask') for (const helper of action.helpers) void this.#ask(helper, action)
    else if (action.kind === 'refute') roll.refute(action.incarnation)
    else if (action.kind === 'redial') void this.#redial()
    else if (action.kind === 'spread') {
      this.#rumours.addOpinion(action.opinion)
      if (action.urgent) this.#publish([rumourOf(action.opinion)])
    } else {
      if (action.liveness === 'dead') log.info(`member ${action.peer} does not answer any more`)
      onLiveness()
    }
  }

  async #probe({ probe, peer, withinMs }: DetectorAction & { kind: 'ping' }): Promise<void> {
    try {
      // How long the probe lasts the detector knows; a later answer still tells that the member lives.
      const limitMs = Math.max(2 * withinMs, times.callMs)
      await this.#ping(peer, { limitMs, onDial: () => this.#feed({ kind: 'dialing', probe }) })
      this.#feed({ kind: 'answered', probe })
    } catch (error) {
      if (this.#stop.signal.aborted || codeOf(error) === 'TIMED_OUT') return
      if (isAnswer(error)) {
        // It lives, and does not know us any more: it shall, before the next probe.
        this.#feed({ kind: 'answered', probe })
        this.#deps.greeting.doubt(peer)
      } else this.#feed({ kind: 'unreachable', probe })
    }
  }

  async #ping(peer: PeerId, { limitMs, onDial }: { limitMs: number; onDial?: () => void }): Promise<void> {
    const { greeting, clock, calls } = this.#deps
    if (!greeting.proven(peer)) {
      onDial?.()
      await this.#greet(peer, times.probeDialMs)
    }
    const startMs = clock.monotonicMs()
    const request = encodeRequest({ kind: 'ping', rumours: this.#newsFor(peer) })
    const answer = await calls().call(peer, request, { ...this.#until, timeoutMs: limitMs })
    this.#latencies.set(peer, clock.monotonicMs() - startMs)
    this.#deps.onLatency()
    this.heard(peer)
    this.hear(decodeRumours(answer))
  }

  async #ask(helper: PeerId, { probe, peer, withinMs }: DetectorAction & { kind: 'ask' }): Promise<void> {
    const { greeting, calls } = this.#deps
    let reached: boolean | undefined
    try {
      if (!greeting.proven(helper)) await this.#greet(helper, withinMs)
      const request = encodeRequest({ kind: 'ask', peer, withinMs: Math.round(withinMs) })
      reached = decodeReached(await calls().call(helper, request, { ...this.#until, timeoutMs: withinMs }))
      this.heard(helper)
    } catch {
      if (this.#stop.signal.aborted) return
    }
    this.#feed({ kind: 'helped', probe, reached })
  }

  async #greet(peer: PeerId, limitMs: number): Promise<void> {
    const { greeting, clock } = this.#deps
    const greet = (signal: AbortSignal) => greeting.greet(peer, { signal })
    await withDeadline(clock, limitMs, `meeting ${peer}`, greet, this.#until)
  }

  async #redial(): Promise<void> {
    this.#deps.log.info('this machine was asleep: meeting members again')
    await this.#deps.greeting.greetAll(this.#until)
    if (!this.#stop.signal.aborted) this.#feed({ kind: 'redialed' })
  }

  #newsFor(peer: PeerId): Rumour[] {
    const doubt = this.#detector.doubtAbout(peer)
    const news = this.#rumours.pick(this.#detector.living)
    return doubt ? [rumourOf(doubt), ...news] : news
  }

  #publish(rumours: Rumour[]): void {
    const { broadcast, log } = this.#deps
    broadcast
      .publish(topic, encodeRumours(rumours))
      .catch((error: unknown) => log.debug(`news of members were not sent: ${sentenceOf(error)}`))
  }
}

/** True for a member that takes part. */
function isOn(claim: Claim | undefined): claim is Claim {
  return claim !== undefined && claim.state !== 'left'
}

/** A refusal is an answer too: whoever gave it is alive. */
function isAnswer(error: unknown): boolean {
  return codeOf(error) === 'CALL_REFUSED'
}
