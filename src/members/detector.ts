// Who is alive: a state machine that is told what happened and says what to do. It reads no clock, sends nothing and waits
// for nothing, so that a test can take it through any hour. SWIM (Das, Gupta, Motivala 2002): each period a few members are
// probed, in a shuffled order that reaches everyone; a silent one is tried through others, then suspected, and dead when it
// does not object in time. Lifeguard's corrections: a peer that finds itself ill (late timers, failed probes, no word even
// from its helpers) probes more slowly, doubts last longer the fewer share them, and a suspect is told so first.
//
// Only members near to this one are probed, which is all in a small cluster (see mesh.ts). As many probe each as it probes,
// so nobody is forgotten; of the others it hears from those near to them.
//
// What it concludes is this peer's own opinion. A peer's own ears count more than hearsay: whoever was heard is alive.
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { Liveness } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import type { DetectorAction, DetectorEvent } from './detector-events.ts'
import { nearOf } from './mesh.ts'
import { OwnTime } from './own-time.ts'
import { Rounds } from './rounds.ts'
import type { Opinion } from './rumours.ts'
import { confirmationsWanted, type Suspicion, suspicionMs } from './suspicion.ts'

interface Watched {
  incarnation: number
  liveness: Liveness
  /** The highest incarnation that somebody doubted; below `incarnation` when that was refuted. */
  doubted: number
  accusers: Set<PeerId>
  suspicion: Suspicion | undefined
  heardMs: number
}

interface Probe {
  peer: PeerId
  phase: 'direct' | 'indirect'
  deadlineMs: number
  isDialing: boolean
  isUnreachable: boolean
  helpers: number
  /** Helpers that said that they could not reach it either, and those that said nothing. */
  nacks: number
  silences: number
}

export class Detector {
  readonly #self: PeerId
  readonly #rounds: Rounds
  readonly #time: OwnTime
  readonly #watched = new Map<PeerId, Watched>()
  readonly #suspects = new Set<PeerId>()
  readonly #dead = new Set<PeerId>()
  /** Undefined when it may have changed. */
  #near: ReadonlySet<PeerId> | undefined
  readonly #probes = new Map<number, Probe>()
  #incarnation = 0
  /** Of our own, the highest that was doubted. */
  #doubted = -1
  #nextProbe = 1
  /** Lifeguard's local health multiplier: 0 is well. */
  #health = 0
  #nextRoundMs: number
  #restUntilMs = Number.NEGATIVE_INFINITY
  #actions: DetectorAction[] = []

  /** `nowMs` is of the monotonic clock, here and everywhere below. */
  constructor(deps: { random: Random }, { self, nowMs }: { self: PeerId; nowMs: number }) {
    this.#self = self
    this.#rounds = new Rounds(deps.random)
    this.#time = new OwnTime(nowMs)
    // Members that start together shall not probe in step.
    this.#nextRoundMs = nowMs + deps.random.unit() * times.probeEveryMs
    this.#time.schedule(this.#nextRoundMs)
  }

  /** When the next tick is due. */
  get dueMs(): number {
    return this.#time.dueMs
  }

  get #nowMs(): number {
    return this.#time.nowMs
  }

  /** Members that this peer does not think dead, itself included. */
  get living(): number {
    return this.#watched.size - this.#dead.size + 1
  }

  livenessOf(peer: PeerId): Liveness | undefined {
    return this.#watched.get(peer)?.liveness
  }

  /** Whom to probe and keep a line to. */
  get near(): ReadonlySet<PeerId> {
    this.#near ??= nearOf(this.#self, [...this.#watched.keys()], this.#dead)
    return this.#near
  }

  /** What a member should be told of itself: that it was doubted, until it has objected. */
  doubtAbout(peer: PeerId): Opinion | undefined {
    const watched = this.#watched.get(peer)
    if (!watched || watched.doubted < watched.incarnation) return undefined
    return { peer, incarnation: watched.doubted, liveness: 'suspect', from: this.#self }
  }

  /** Takes an event in and gives what is to be done about it. */
  on(event: DetectorEvent, nowMs: number): DetectorAction[] {
    this.#time.advance(nowMs)
    if (event.kind === 'tick') this.#onTick(nowMs, event.wallMs)
    else this.#take(event)
    this.#time.schedule(this.#soonestMs())
    const actions = this.#actions
    this.#actions = []
    return actions
  }

  #take(event: Exclude<DetectorEvent, { kind: 'tick' }>): void {
    if ('probe' in event) {
      const probe = this.#probes.get(event.probe)
      if (probe) this.#takeResult(event, probe)
    } else if (event.kind === 'roster') this.#onRoster(event.peers, event.incarnation)
    else if (event.kind === 'member') this.#onMember(event.peer, event.incarnation)
    else if (event.kind === 'opinion') this.#onOpinion(event.opinion)
    else if (event.kind === 'heard') this.#onHeard(event.peer)
    else if (event.kind === 'lost') this.#onLost(event.peer)
    else this.#rested()
  }

  #takeResult(event: Extract<DetectorEvent, { probe: number }>, probe: Probe): void {
    if (event.kind === 'dialing') {
      if (!probe.isDialing) probe.deadlineMs += times.probeDialMs
      probe.isDialing = true
    } else if (event.kind === 'answered' || (event.kind === 'helped' && event.reached)) {
      this.#succeed(event.probe, probe)
    } else if (event.kind === 'unreachable') {
      probe.isUnreachable = true
      if (probe.phase === 'direct') this.#askHelpers(event.probe, probe)
      else this.#concludeIfHelped(event.probe, probe)
    } else {
      if (event.reached === false) probe.nacks++
      else probe.silences++
      this.#concludeIfHelped(event.probe, probe)
    }
  }

  // --- Time.

  #onTick(clockMs: number, wallMs: number): void {
    const punctuality = this.#time.tick(clockMs, wallMs)
    if (punctuality === 'slept') {
      this.#wake()
      return
    }
    if (punctuality !== 'punctual') this.#worsen(1)
    if (punctuality === 'behind' || this.#isResting) return
    if (this.#restUntilMs > Number.NEGATIVE_INFINITY) this.#rested()
    this.#expire()
    if (this.#nowMs >= this.#nextRoundMs) this.#round()
  }

  #soonestMs(): number {
    if (this.#isResting) return this.#restUntilMs
    let soonestMs = this.#nextRoundMs
    for (const { deadlineMs } of this.#probes.values()) soonestMs = Math.min(soonestMs, deadlineMs)
    for (const peer of this.#suspects) soonestMs = Math.min(soonestMs, this.#endOfSuspicion(this.#watched.get(peer)))
    return soonestMs
  }

  get #isResting(): boolean {
    return this.#nowMs < this.#restUntilMs
  }

  #wake(): void {
    this.#probes.clear()
    this.#restUntilMs = this.#nowMs + times.wakeMs
    this.#actions.push({ kind: 'redial' })
  }

  /** Doubts from before the sleep begin anew. */
  #rested(): void {
    this.#restUntilMs = Number.NEGATIVE_INFINITY
    this.#nextRoundMs = Math.max(this.#nextRoundMs, this.#nowMs)
    for (const { suspicion } of this.#watched.values()) if (suspicion) suspicion.startMs = this.#nowMs
  }

  #worsen(by: number): void {
    this.#health = Math.min(Math.max(this.#health + by, 0), limits.healthWorst)
  }

  // --- Probes.

  #round(): void {
    this.#nextRoundMs = this.#nowMs + times.probeEveryMs * (this.#health + 1)
    const busy = new Set([...this.#probes.values()].map(({ peer }) => peer))
    const isDue = (peer: PeerId) => this.near.has(peer) && !busy.has(peer) && !this.#dead.has(peer)
    for (const peer of this.#rounds.next(limits.probesPerPeriod, isDue)) this.#probe(peer)
  }

  #probe(peer: PeerId): void {
    if (this.#probes.size >= limits.probesInFlightMax) return
    const number = this.#nextProbe++
    const withinMs = times.probeDirectMs * (this.#health + 1)
    this.#probes.set(number, {
      peer,
      phase: 'direct',
      deadlineMs: this.#nowMs + withinMs,
      isDialing: false,
      isUnreachable: false,
      helpers: 0,
      nacks: 0,
      silences: 0,
    })
    this.#actions.push({ kind: 'ping', probe: number, peer, withinMs })
  }

  #askHelpers(number: number, probe: Probe): void {
    const isFit = (peer: PeerId) =>
      peer !== probe.peer && this.near.has(peer) && this.#watched.get(peer)?.liveness === 'alive'
    const helpers = this.#rounds.sample(limits.probeHelpers, isFit)
    const withinMs = times.probeIndirectMs * (this.#health + 1)
    Object.assign(probe, { phase: 'indirect', helpers: helpers.length, deadlineMs: this.#nowMs + withinMs })
    if (helpers.length > 0) this.#actions.push({ kind: 'ask', probe: number, peer: probe.peer, helpers, withinMs })
    else this.#concludeIfHelped(number, probe)
  }

  #concludeIfHelped(number: number, probe: Probe): void {
    const isSilent = probe.nacks + probe.silences >= probe.helpers
    if (probe.phase === 'indirect' && probe.isUnreachable && isSilent) this.#fail(number, probe)
  }

  #succeed(number: number, { peer }: Probe): void {
    this.#probes.delete(number)
    this.#worsen(-1)
    this.#onHeard(peer)
  }

  #fail(number: number, { peer, helpers, nacks }: Probe): void {
    this.#probes.delete(number)
    // Helpers that do not even say no: it is rather we who hear nothing.
    this.#worsen(helpers === 0 ? 1 : helpers - nacks)
    this.#suspect({
      peer,
      incarnation: this.#watched.get(peer)?.incarnation ?? 0,
      liveness: 'suspect',
      from: this.#self,
    })
  }

  #expire(): void {
    for (const [number, probe] of this.#probes) {
      if (probe.deadlineMs > this.#nowMs) continue
      if (probe.phase === 'direct') this.#askHelpers(number, probe)
      else this.#fail(number, probe)
    }
    for (const peer of [...this.#suspects]) {
      const watched = this.#watched.get(peer)!
      if (this.#endOfSuspicion(watched) > this.#nowMs) continue
      const urgent = watched.accusers.has(this.#self)
      this.#set(peer, watched, 'dead')
      const opinion: Opinion = { peer, incarnation: watched.doubted, liveness: 'dead', from: this.#self }
      this.#actions.push({ kind: 'spread', opinion, urgent })
    }
  }

  #endOfSuspicion(watched: Watched | undefined): number {
    const { suspicion } = watched ?? {}
    return suspicion ? suspicion.startMs + suspicionMs(suspicion, this.living) : Number.POSITIVE_INFINITY
  }

  // --- What is said and heard.

  #onRoster(peers: ReadonlyMap<PeerId, number>, incarnation: number): void {
    this.#incarnation = incarnation
    for (const peer of this.#watched.keys()) if (!peers.has(peer)) this.#onMember(peer, undefined)
    for (const [peer, known] of peers) this.#onMember(peer, known)
  }

  #onMember(peer: PeerId, incarnation: number | undefined): void {
    const watched = this.#watched.get(peer)
    if (incarnation === undefined) this.#unwatch(peer)
    else if (!watched) this.#watch(peer, incarnation)
    else if (incarnation > watched.incarnation) this.#renew(peer, watched, incarnation)
  }

  #unwatch(peer: PeerId): void {
    if (!this.#watched.delete(peer)) return
    this.#near = undefined
    this.#suspects.delete(peer)
    this.#dead.delete(peer)
    this.#rounds.remove(peer)
    for (const [number, probe] of this.#probes) if (probe.peer === peer) this.#probes.delete(number)
  }

  #watch(peer: PeerId, incarnation: number): void {
    this.#rounds.add(peer)
    this.#near = undefined
    const heardMs = Number.NEGATIVE_INFINITY
    const accusers = new Set<PeerId>()
    this.#watched.set(peer, { incarnation, liveness: 'alive', doubted: -1, accusers, suspicion: undefined, heardMs })
  }

  /** A new claim answers all doubts of older ones. */
  #renew(peer: PeerId, watched: Watched, incarnation: number): void {
    watched.incarnation = incarnation
    if (incarnation <= watched.doubted) return
    watched.accusers.clear()
    this.#set(peer, watched, 'alive')
  }

  #onHeard(peer: PeerId): void {
    const watched = this.#watched.get(peer)
    if (!watched) return
    watched.heardMs = this.#nowMs
    this.#set(peer, watched, 'alive')
  }

  #onLost(peer: PeerId): void {
    if (!this.near.has(peer) || this.#dead.has(peer) || this.#isResting) return
    for (const probe of this.#probes.values()) if (probe.peer === peer) return
    this.#probe(peer)
  }

  #onOpinion(opinion: Opinion): void {
    const { peer, incarnation, liveness, from } = opinion
    if (peer === this.#self) {
      // Nobody can have met an incarnation that we never claimed; of one from before our disk was lost, our signed claim tells.
      if (incarnation !== this.#incarnation) return
      // A doubt about us may be right: but many voices are one doubt.
      if (incarnation > this.#doubted) this.#worsen(1)
      this.#doubted = Math.max(this.#doubted, incarnation)
      this.#actions.push({ kind: 'refute', incarnation })
      return
    }
    const watched = this.#watched.get(peer)
    // Doubts carry no signature: one of an incarnation that nobody claimed could never be answered.
    if (!watched || incarnation !== watched.incarnation || watched.liveness === 'dead') return
    if (from === this.#self || this.#isResting) return
    const wasHeard = this.#nowMs - watched.heardMs < 2 * times.probeEveryMs
    if (liveness === 'suspect' || wasHeard) {
      this.#suspect({ ...opinion, liveness: 'suspect' })
      return
    }
    this.#doubt(watched, incarnation, from)
    this.#set(peer, watched, 'dead')
    this.#actions.push({ kind: 'spread', opinion, urgent: false })
  }

  #suspect(opinion: Opinion): void {
    const { peer, incarnation, from } = opinion
    const watched = this.#watched.get(peer)
    if (!watched || watched.liveness === 'dead') return
    const isNew = this.#doubt(watched, incarnation, from)
    if (watched.liveness === 'alive') {
      // Hearsay that was answered by hearing the suspect does not count again; our own probe does.
      if (!isNew && from !== this.#self) return
      const accusers = new Set([from])
      watched.suspicion = { startMs: this.#nowMs, accusers, wanted: confirmationsWanted(this.living) }
      this.#set(peer, watched, 'suspect')
    } else {
      const { accusers, wanted } = watched.suspicion!
      if (accusers.has(from) || accusers.size > wanted) return
      watched.suspicion!.accusers = new Set([...accusers, from])
    }
    this.#actions.push({ kind: 'spread', opinion, urgent: from === this.#self })
  }

  /** True if nobody had said so, or not this one. */
  #doubt(watched: Watched, incarnation: number, from: PeerId): boolean {
    if (incarnation > watched.doubted) {
      watched.doubted = incarnation
      watched.accusers.clear()
    }
    const isNew = !watched.accusers.has(from)
    if (watched.accusers.size < limits.membersMax) watched.accusers.add(from)
    return isNew
  }

  #set(peer: PeerId, watched: Watched, liveness: Liveness): void {
    this.#suspects.delete(peer)
    if (this.#dead.delete(peer) !== (liveness === 'dead')) this.#near = undefined
    if (liveness === 'suspect') this.#suspects.add(peer)
    else watched.suspicion = undefined
    if (liveness === 'dead') this.#dead.add(peer)
    if (watched.liveness === liveness) return
    watched.liveness = liveness
    this.#actions.push({ kind: 'liveness', peer, liveness })
  }
}
