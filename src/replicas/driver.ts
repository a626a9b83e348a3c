// Driving pins: for each pin whose record this peer owns, and of whose owners it is the first that is alive, it asks members
// to hold, names them in the record when they accept, takes those off that need not hold any more once all others have
// confirmed, and ends pins that nobody wishes for. What is to be done is planned for many pins at once; then each member gets
// its part in few messages.
import { abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { Member, RingMember } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { ringOf } from '../placement/ring.ts'
import { type Candidate, isEven } from './choose.ts'
import type { ClusterTime } from './cluster-time.ts'
import { type Driven, hear, isConfirmed, isWorthAsking, newDriven } from './driven.ts'
import type { Progress } from './messages.ts'
import type { Peers } from './peers.ts'
import { copiesOf, elsewhereOf, encodePin, firstEndOf, type Pin, pinOf, withoutWishes } from './pin.ts'
import { type Plan, planPin, type Standing } from './plan.ts'
import type { Presence } from './presence.ts'
import { addTo, carryOut, type Round } from './round.ts'
import type { PinRecord, PinRecords } from './words.ts'

export interface DriverDeps {
  membership: Membership
  records: PinRecords
  peers: Peers
  presence: Presence
  time: ClusterTime
  clock: Clock
  log: Log
}

export class DriverWorker implements Worker {
  readonly name = 'keeping copies'
  readonly #deps: DriverDeps
  readonly #recordCopies: number
  readonly #pins = new Map<string, Driven>()
  /** To be looked at in the next round, and those that are not as they should be yet. */
  #due = new Set<string>()
  readonly #unsettled = new Set<string>()
  #sweptAtMs: number | undefined
  /** When the first wish ends of those whose end has not been noticed, as the cluster calls it. */
  #nextEndMs = Number.POSITIVE_INFINITY
  #unsettledAtMs = Number.NEGATIVE_INFINITY
  /** Longer each time that nothing comes of it. */
  #unsettledEveryMs: number = times.pinsUnsettledMs
  /** Incarnations of members that were here, by which it is seen that one has been away. */
  #here = new Map<PeerId, number>()
  #epoch = ''
  #didSee = false
  wake: () => void = () => {}

  constructor(deps: DriverDeps, { recordCopies }: { recordCopies: number }) {
    this.#deps = deps
    this.#recordCopies = recordCopies
  }

  onWork(wake: () => void): void {
    this.wake = wake
  }

  status(): string {
    const { joined, seen } = this.#deps.presence.counted
    if (!this.#deps.presence.seesMost)
      return `sees ${seen} of ${joined} members, and changes nothing until it sees more`
    const short = this.#unsettled.size
    return short === 0 ? 'every pin that it looks after is held' : `${short} pins are not held as they should be yet`
  }

  /** A record that this peer keeps, as it is now. */
  follow(record: PinRecord): void {
    const { key, context, siblings } = record
    const pin = pinOf(record)
    if (!pin) return void this.#forget(key)
    const known = this.#pins.get(key)
    const isSplit = siblings.length > 1
    // Who was told before that it need not hold it is told again when it ends, and may be asked again before.
    if (known && known.pin.wishes.length + pin.wishes.length > 0) known.released = new Set()
    if (known) Object.assign(known, { pin, context, isSplit, settledAtMs: undefined })
    else this.#pins.set(key, newDriven(key, { pin, context, isSplit }))
    this.#nextEndMs = Math.min(this.#nextEndMs, firstEndOf(pin))
    this.doubt(key)
  }

  /** What is known of a pin whose record is kept here, whoever drives it. */
  get(key: string): Driven | undefined {
    return this.#pins.get(key)
  }

  /** Pins that this peer drives. */
  *driven(): Iterable<Driven> {
    for (const driven of this.#pins.values()) if (this.drives(driven)) yield driven
  }

  drives({ partition }: Driven): boolean {
    return this.driverOf(partition) === this.#deps.membership.self
  }

  /** The first owner that is alive; undefined when none is. */
  driverOf(partition: number): PeerId | undefined {
    return this.ownersOf(partition).find((peer) => this.#deps.presence.seesPeer(peer))
  }

  ownersOf(partition: number): readonly PeerId[] {
    return ringOf(this.#deps.membership.view()).owners(partition, this.#recordCopies)
  }

  /** A member tells by itself how far it is. */
  reported(from: PeerId, progress: readonly (readonly [key: string, progress: Progress])[]): void {
    for (const [key, one] of progress) {
      const driven = this.#pins.get(key)
      if (!driven) continue
      hear(driven, from, one, this.#deps.clock.monotonicMs())
      this.doubt(key)
    }
  }

  /** Something has happened to a pin: it is looked at in the next round, and closely for a while. */
  stir(key: string): void {
    this.next(key)
    this.stirring()
  }

  /** Something has come of what was asked: it is asked again soon. */
  stirring(): void {
    this.#unsettledEveryMs = times.pinsUnsettledMs
  }

  /** It is looked at once more, now. */
  next(key: string): void {
    this.#due.add(key)
  }

  /** Something did not work: it is tried again. */
  again(key: string): void {
    // Its record may have gone to others meanwhile.
    if (this.#pins.has(key)) this.#unsettled.add(key)
  }

  asked(peer: PeerId, result: { answered: boolean }): void {
    this.#deps.presence.asked(peer, result)
  }

  /** Something is to be looked at at once. */
  doubt(key: string): void {
    this.stir(key)
    this.wake()
  }

  /** True if it has fewer copies than wanted, or something about it is still to be done. */
  isShort(driven: Driven): boolean {
    const held = [...driven.said.keys()].filter((peer) => isConfirmed(driven, peer)).length
    return held < copiesOf(driven.pin) || this.#unsettled.has(driven.key)
  }

  /** `hopes`: as if whoever could not take it some time ago could now. */
  plan(driven: Driven, { hopes = false } = {}): Plan {
    const { pin, partition } = driven
    const { membership, presence } = this.#deps
    const view = membership.view()
    const elsewhere = elsewhereOf(pin)
    const copies = copiesOf(pin)
    const standing = (peer: PeerId) => this.#standing(driven, peer, hopes)
    const planOver = (peers: readonly PeerId[]) => {
      const walk = peers.filter((peer) => !elsewhere.has(peer)).map((peer) => this.#candidate(peer))
      return planPin({ named: pin.holders, copies, walk, standing, sees: presence.seesMost })
    }
    const ring = ringOf(view)
    // The first of the walk are of all zones; nearly always they are enough.
    const first = ring.owners(partition, limits.pinWalkFirst)
    const plan = planOver(first)
    if (view.members.length <= limits.pinWalkFirst) return plan
    const zonesOf = (peers: readonly PeerId[]) => peers.map((peer) => this.#candidate(peer).zone)
    const isEnough = plan.target.length >= copies && isEven(zonesOf(plan.target), zonesOf(first))
    return isEnough ? plan : planOver(ring.owners(partition, view.members.length))
  }

  /** Members in the ring that are large enough for a pin, and may hold it; without those that said they are full. */
  possibleFor(pin: Pin, full: ReadonlySet<PeerId> = new Set()): number {
    const elsewhere = elsewhereOf(pin)
    const mayHold = ({ peer, capacity }: RingMember) =>
      capacity > 0 && capacity >= pin.sizeBytes && !elsewhere.has(peer) && !full.has(peer)
    return this.#deps.membership.view().members.filter(mayHold).length
  }

  /** The most that any member gives. */
  get largestRoom(): number {
    return this.#deps.membership.view().members.reduce((most, { capacity }) => Math.max(most, capacity), 0)
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { presence, clock } = this.#deps
    await presence.update()
    this.#noticeMembers()
    const mayEnd = await this.#hearTime(signal)
    // By a clock that nobody confirms, ends would be noticed that are still to come.
    if (mayEnd) this.#noticeEnds()
    const nowMs = clock.monotonicMs()
    if (this.#sweptAtMs === undefined || nowMs - this.#sweptAtMs >= times.pinsConfirmedMs) {
      this.#sweptAtMs = nowMs
      for (const key of this.#pins.keys()) this.#due.add(key)
    }
    if (nowMs - this.#unsettledAtMs >= this.#unsettledEveryMs) {
      this.#unsettledAtMs = nowMs
      this.#unsettledEveryMs = Math.min(2 * this.#unsettledEveryMs, times.pinsUnsettledMostMs)
      for (const key of this.#unsettled) this.#due.add(key)
    }
    const due = this.#due
    this.#due = new Set()
    const round = this.#decide(due, mayEnd)
    await abortable(carryOut(this.#deps, round, this, signal), signal)
    if (this.#due.size > 0) return { next: 'now' }
    return {
      next: 'later',
      delayMs: this.#unsettled.size > 0 ? Math.min(this.#unsettledEveryMs, times.pinsPollMs) : times.pinsPollMs,
    }
  }

  /** True if pins may be ended: most members are seen, and if there are others, it is not this clock alone that says so. */
  async #hearTime(signal: AbortSignal): Promise<boolean> {
    const { membership, presence, peers, time, log } = this.#deps
    const others = membership.members().filter(({ peer }) => peer !== membership.self && presence.seesPeer(peer))
    const ask = ({ peer }: Member) =>
      peers.ask(peer, { kind: 'used' }, 'noted', { signal }).catch((error: unknown) => {
        log.debug(`${peer} did not say what time it is: ${sentenceOf(error)}`)
      })
    if (!time.isHeard) await abortable(Promise.all(others.slice(0, this.#recordCopies).map(ask)), signal)
    return presence.seesMost && (time.isHeard || others.length === 0)
  }

  // A pin that is held as it should be is looked at seldom, and what ends shall not stay until then.
  #noticeEnds(): void {
    const nowMs = this.#deps.time.nowMs()
    if (nowMs < this.#nextEndMs) return
    this.#nextEndMs = Number.POSITIVE_INFINITY
    for (const { key, pin } of this.#pins.values()) {
      const endMs = firstEndOf(pin)
      if (endMs <= nowMs) this.#due.add(key)
      else this.#nextEndMs = Math.min(this.#nextEndMs, endMs)
    }
  }

  #decide(due: Iterable<string>, mayEnd: boolean): Round {
    const round: Round = { asks: new Map(), releases: new Map(), writes: [], removals: [] }
    const nowMs = this.#deps.time.nowMs()
    for (const key of due) {
      const driven = this.#pins.get(key)
      if (!driven) continue
      if (!this.drives(driven)) {
        // Whoever takes over later asks anew.
        driven.said.clear()
        this.#unsettled.delete(key)
        continue
      }
      const before = driven.pin
      const isOver = before.wishes.some(({ expiresMs }) => expiresMs !== undefined && expiresMs <= nowMs)
      // Who is cut off may know an old record: written again, it would name those who were taken off it since.
      if (isOver && !mayEnd) this.#unsettled.add(key)
      else if (isOver) {
        const pin = withoutWishes(before, ({ expiresMs }) => expiresMs !== undefined && expiresMs <= nowMs, nowMs)
        round.writes.push({ driven, pin })
      } else if (before.wishes.length === 0) this.#decideEnded(driven, round)
      else this.#decideKept(driven, round)
    }
    return round
  }

  #decideKept(driven: Driven, { asks, releases, writes }: Round): void {
    const { pin, key } = driven
    const { presence, clock } = this.#deps
    const plan = this.plan(driven)
    const copies = copiesOf(pin)
    // Nearly always there are enough, and whoever could hold it besides need not be counted.
    const isSettled = plan.isHeld && (plan.target.length >= copies || plan.target.length >= this.possibleFor(pin))
    const { released } = driven
    const toName = this.#toName(driven, plan)
    if (isSettled && toName.length === 0 && plan.toTrim.length === 0) this.#unsettled.delete(key)
    else this.#unsettled.add(key)
    const nowMs = clock.monotonicMs()
    const isStale = nowMs - (driven.settledAtMs ?? Number.NEGATIVE_INFINITY) > times.pinsConfirmedMs
    if (isStale && isSettled) driven.settledAtMs = nowMs
    const confirmed = pin.holders.filter((peer) => isConfirmed(driven, peer))
    for (const peer of new Set([...toName, ...pin.holders])) {
      const isNew = !pin.holders.includes(peer)
      if (!presence.seesPeer(peer)) continue
      const said = driven.said.get(peer)
      if (said && nowMs - said.atMs < times.pinsUnsettledMs / 2) continue
      if (isConfirmed(driven, peer) && !isNew && !(isStale && isSettled)) continue
      const from = [...confirmed, ...pin.wishes.map(({ by }) => by)].slice(0, limits.pinSourcesMax)
      const again = (said?.failedAudits ?? 0) > 0
      const others = confirmed.filter((other) => other !== peer).length
      driven.released = without(driven.released, peer)
      addTo(asks, peer, { driven, holding: { key, pin: encodePin(pin), others, from, again } })
    }
    // Named are those that were asked before and said that they have room; who was told since that it need not is asked anew.
    const accepted = plan.toName.filter((peer) => {
      const said = driven.said.get(peer)
      if (released.has(peer)) return false
      return said?.state === 'held' || said?.state === 'fetching'
    })
    if (accepted.length > 0 || plan.toTrim.length > 0 || driven.isSplit) {
      const stay = pin.holders.filter((peer) => !plan.toTrim.includes(peer))
      writes.push({ driven, pin: { ...pin, holders: [...new Set([...stay, ...accepted])].sort() } })
    }
    if (!plan.isHeld) return
    for (const [peer, { state }] of driven.said) {
      const isNeeded = pin.holders.includes(peer) || plan.target.includes(peer) || toName.includes(peer)
      if (isNeeded || state === 'full' || driven.released.has(peer) || !presence.seesPeer(peer)) continue
      addTo(releases, peer, driven)
    }
  }

  /** Nobody wishes for it any more: everybody who may have it is told, and then it is nobody's. */
  #decideEnded(driven: Driven, { releases, writes, removals }: Round): void {
    const { pin, key } = driven
    const { presence, time } = this.#deps
    const all = new Set([...pin.holders, ...pin.ended.map(({ by }) => by), ...driven.said.keys()])
    const left = [...all].filter((peer) => !driven.released.has(peer) && !presence.isGone(peer))
    for (const peer of left) if (presence.seesPeer(peer)) addTo(releases, peer, driven)
    if (left.length > 0) this.#unsettled.add(key)
    else {
      this.#unsettled.delete(key)
      driven.said.clear()
      if (pin.holders.length > 0 || driven.isSplit) writes.push({ driven, pin: { ...pin, holders: [] } })
      else if (pin.ended.every(({ atMs }) => time.nowMs() - atMs > times.removalsKeptMs)) removals.push(driven)
    }
  }

  // Who had no room is not counted on until it says otherwise, or copies would seem to be missing whenever it is asked again.
  #toName(driven: Driven, plan: Plan): readonly PeerId[] {
    const nowMs = this.#deps.clock.monotonicMs()
    if (![...driven.said.values()].some((said) => isWorthAsking(said, nowMs))) return plan.toName
    return [...plan.toName, ...this.plan(driven, { hopes: true }).toName]
  }

  #standing(driven: Driven, peer: PeerId, hopes: boolean): Standing {
    const { presence, clock } = this.#deps
    const said = driven.said.get(peer)
    const isHoped = hopes && said !== undefined && clock.monotonicMs() - said.atMs >= times.unfitMs
    const isFull = said?.state === 'full'
    const others = driven.pin.holders.some((other) => other !== peer && isConfirmed(driven, other))
    const isFailing = said?.state === 'failing' && others
    const isNamed = driven.pin.holders.includes(peer)
    return {
      holds: isConfirmed(driven, peer) && presence.seesPeer(peer),
      gone: presence.isGone(peer),
      left: presence.hasLeft(peer),
      unfit:
        (isFull && !isHoped) ||
        (isFailing && !isHoped) ||
        presence.isDeaf(peer, { hasCopy: isNamed }) ||
        // Who may have a copy is waited for for long; for a new one others are there.
        (!isNamed && presence.isMissed(peer)) ||
        (said?.failedAudits ?? 0) >= limits.auditsFailedMax,
    }
  }

  #candidate(peer: PeerId): Candidate {
    return { peer, zone: this.#deps.membership.member(peer)?.zone ?? '' }
  }

  // Whoever comes back may have lost what it had: its word from before does not count.
  #noticeMembers(): void {
    const { membership, presence } = this.#deps
    const here = new Map<PeerId, number>()
    for (const member of membership.members()) if (presence.isHere(member)) here.set(member.peer, member.incarnation)
    const { epoch } = membership.view()
    const back = [...here].flatMap(([peer, incarnation]) => (this.#here.get(peer) === incarnation ? [] : [peer]))
    const isChanged = epoch !== this.#epoch || back.length > 0 || here.size !== this.#here.size
    this.#here = here
    this.#epoch = epoch
    const sees = presence.seesMost
    if (!isChanged && sees === this.#didSee) return
    this.#didSee = sees
    for (const driven of this.#pins.values()) {
      for (const peer of back) driven.said.delete(peer)
      this.stir(driven.key)
    }
  }

  #forget(key: string): void {
    this.#pins.delete(key)
    this.#unsettled.delete(key)
    this.#due.delete(key)
  }
}

function without(peers: ReadonlySet<PeerId>, peer: PeerId): ReadonlySet<PeerId> {
  return peers.has(peer) ? new Set([...peers].filter((other) => other !== peer)) : peers
}
