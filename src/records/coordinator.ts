// Reads and writes of one key, for whichever peer a client talks to. A write is issued by one owner (or, when none can be
// reached, by a stand-in), and nobody is told that it was written before its issuer keeps it; its whole set of siblings goes to
// the other owners, and to stand-ins for those that do not answer. A read takes what enough owners have, and mends those that are behind.
import { abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { RecordsError } from './errors.ts'
import type { Laws } from './laws.ts'
import type { Answer, Request } from './messages.ts'
import { type Peers, setsOf } from './peers.ts'
import type { Presence } from './presence.ts'
import type { Puts } from './puts.ts'
import { countOf, needOf, type Plan } from './quorum.ts'
import { decodeSet, encodeSet, sameBytes, type Verifier } from './record.ts'
import type { Replica } from './replica.ts'
import type { Rings } from './rings.ts'
import { Round, type Ticker } from './round.ts'
import { emptySet, knows, type SiblingSet, type Write } from './version.ts'
import type { Level, Sources } from './words.ts'

export interface CoordinatorDeps {
  membership: Membership
  rings: Rings
  presence: Presence
  replica: Replica
  peers: Peers
  puts: Puts
  verifier: Verifier
  laws: Laws
  clock: Clock
  ticker: Ticker
  /** Issues a write as this peer; the second argument hears what is on its way to the disk. */
  issueHere: (request: Request & { type: 'issue' }, onDecided: (set: Uint8Array) => void) => Promise<Answer>
  log: Log
}

/** A write that has its dot. */
interface Issued {
  readonly peer: PeerId
  readonly set: Uint8Array
  /** Comes when the issuer has it durably; rejects if it cannot be stored. */
  readonly answer: Promise<Answer>
  /** The answer, if it has come. */
  readonly known: Map<PeerId, Answer>
}

export interface Asked {
  /** Undefined: as much as can be had. */
  level: Level | undefined
  isStrict: boolean
  signal?: AbortSignal | undefined
}

/** What a call came to. */
export interface Outcome {
  set: SiblingSet
  acks: number
  wanted: number
  from: Sources
  /** Every group of owners gave what was wanted. */
  isEnough: boolean
}

export class Coordinator {
  readonly #deps: CoordinatorDeps
  #repairs = 0

  constructor(deps: CoordinatorDeps) {
    this.#deps = deps
  }

  /**
   * `what` the user is doing, as an error names it. Throws QUORUM_UNAVAILABLE when nobody answers, or too few for an explicit
   * level that is not strict.
   */
  async read(key: string, asked: Asked, what: 'read' | 'write' = 'read'): Promise<Outcome> {
    return await this.#planned(async () => {
      const plan = this.#plan(key, asked, { asksAll: false })
      const request: Request = { type: 'get', key, strict: asked.isStrict }
      const { self } = this.#deps.membership
      const known = new Map<PeerId, Answer>()
      if (this.#counts(self, plan))
        await this.#deps.peers.ask(self, request).then((answer) => known.set(self, answer), noAnswer)
      const round = this.#round(plan, asked, known, (peer) => this.#deps.peers.ask(peer, request))
      const isEnough = await round.run()
      const outcome = this.#outcome(key, plan, round, isEnough)
      // What this peer keeps for others counts for nothing, but it is not hidden from its own user either.
      const isHidden = known.has(self) || (this.#deps.presence.wasAway && round.answers.size > 0)
      const own = isHidden ? undefined : this.#deps.replica.read(key)
      if (own) outcome.set = this.#deps.laws.merge(outcome.set, own.set)
      const nothingHeard = round.answers.size === 0 && (!own || asked.isStrict)
      if (nothingHeard || (!isEnough && asked.level !== undefined && !asked.isStrict))
        throw this.#unavailable(plan, outcome, asked, what, 'none')
      void this.#repair(key, plan, round, outcome.set)
      return outcome
    })
  }

  /** Throws QUORUM_UNAVAILABLE, and TOO_MANY_SIBLINGS. A write that is tried again keeps its id, and so stays one write. */
  async write(write: Write, asked: Asked): Promise<Outcome> {
    return await this.#planned(() => this.#writeOnce(write, asked))
  }

  /**
   * The version that a write without a context replaces: what its issuer has. A strict write asks the owners before anything
   * is issued, so that a minority leaves nothing behind that would spread later. Throws QUORUM_UNAVAILABLE.
   */
  async present(key: string, asked: Asked): Promise<SiblingSet> {
    if (asked.isStrict) {
      const outcome = await this.read(key, asked, 'write')
      if (!outcome.isEnough)
        throw this.#unavailable(this.#plan(key, asked, { asksAll: false }), outcome, asked, 'write', 'none')
      return outcome.set
    }
    const { self } = this.#deps.membership
    if (this.#deps.rings.isOwner(partitionOf(key), self)) return this.#deps.replica.read(key)?.set ?? emptySet
    const { signal } = asked
    return (await this.read(key, { level: undefined, isStrict: false, signal }, 'write')).set
  }

  async #writeOnce(write: Write, asked: Asked): Promise<Outcome> {
    const { key } = write
    const plan = this.#plan(key, asked, { asksAll: true })
    const issued = await this.#issue(write, plan, asked)
    const records = [[key, issued.set]] as const
    const missing = plan.groups[0]!.owners
    const standIn: Request = { type: 'put', records, missing, tells: true, known: false }
    const isStandIn = (peer: PeerId) => plan.standIns.includes(peer)
    const ask = (peer: PeerId) => {
      if (peer === issued.peer) return issued.answer
      return isStandIn(peer) ? this.#deps.peers.ask(peer, standIn) : this.#deps.puts.put(peer, key, issued.set)
    }
    const round = this.#round(plan, asked, issued.known, ask)
    let isEnough = false
    try {
      isEnough = await round.run()
      // It is the issuer's to say that it has failed, however many others have the write.
      await abortable(issued.answer, asked.signal)
    } finally {
      void issued.answer.then(
        () => this.#leaveHints(key, issued.set, plan, round),
        () => {},
      )
    }
    const outcome = this.#outcome(key, plan, round, isEnough)
    if (!isEnough && (asked.level !== undefined || asked.isStrict))
      throw this.#unavailable(plan, outcome, asked, 'write')
    return outcome
  }

  /** Has the write issued by the first that can. */
  async #issue(write: Write, plan: Plan, asked: Asked): Promise<Issued> {
    const { membership, peers, log } = this.#deps
    const owners = plan.groups[0]!.owners
    for (const peer of this.#issuers(plan)) {
      asked.signal?.throwIfAborted()
      const missing = owners.includes(peer) ? [] : owners
      const request = { type: 'issue', write: write.bytes, missing } as const
      if (peer === membership.self && missing.length === 0) return await this.#issueAsOwner(request)
      try {
        const options = { signal: asked.signal, timeoutMs: times.recordIssueMs }
        const answer = await peers.ask(peer, request, options)
        const [set] = setsOf(answer)
        if (set) return { peer, set, answer: Promise.resolve(answer), known: new Map([[peer, answer]]) }
      } catch (error) {
        const code = codeOf(error)
        if (peer === membership.self || code === 'RING_CHANGED' || code === 'TOO_MANY_SIBLINGS') throw error
        log.debug(`${peer} did not issue '${write.key}': ${sentenceOf(error)}`)
      }
    }
    throw this.#unavailable(plan, undefined, asked, 'write')
  }

  // Others may have the write while it is still on its way to the disk here: both take a commit, and neither waits for the other.
  async #issueAsOwner(request: Request & { type: 'issue' }): Promise<Issued> {
    const decided = Promise.withResolvers<Uint8Array>()
    const answer = this.#deps.issueHere(request, decided.resolve)
    // What was here already, or cannot be, is not decided before it is answered.
    answer.then((given) => decided.resolve(setsOf(given)[0]!), decided.reject)
    return { peer: this.#deps.membership.self, set: await decided.promise, answer, known: new Map() }
  }

  #issuers(plan: Plan): PeerId[] {
    const { membership, rings } = this.#deps
    const { self } = membership
    const owners = plan.groups[0]!.owners
    if (owners.includes(self)) return [self]
    const live = (liveness: string) => owners.filter((owner) => plan.livenessOf(owner) === liveness)
    const standIns = plan.standIns.length > 0 && rings.stays ? [...plan.standIns, self] : plan.standIns
    const others = [...live('alive'), ...live('suspect'), ...standIns]
    return [...new Set(plan.isPatient ? [...others, ...live('dead')] : others)]
  }

  #plan(key: string, { level, isStrict }: Asked, { asksAll }: { asksAll: boolean }): Plan {
    const { membership, rings } = this.#deps
    const partition = partitionOf(key)
    const groups = rings.groups(partition)
    const livenessOf = (peer: PeerId) =>
      peer === membership.self ? 'alive' : (membership.member(peer)?.liveness ?? 'dead')
    const need = (owners: number) => {
      const wanted = needOf(level ?? 'quorum', owners)
      if (wanted === undefined) throw tooFewOwners(level as Level, owners)
      return isStrict ? Math.max(wanted, needOf('quorum', owners)!) : wanted
    }
    const [present = [], ...earlier] = groups
    if (present.length === 0) throw tooFewOwners(level ?? 'quorum', 0)
    const standIns = rings.standIns(partition).filter((peer) => livenessOf(peer) === 'alive')
    // The last resort is this peer itself, whatever it holds otherwise; but who leaves takes nothing with it.
    const isLone = rings.stays && !present.includes(membership.self) && !standIns.includes(membership.self)
    return {
      groups: [
        { owners: present, need: need(present.length) },
        ...earlier.map((owners) => ({ owners, need: level === 'one' ? 1 : needOf('quorum', owners.length)! })),
      ],
      standIns: isStrict ? [] : isLone && asksAll ? [...standIns, membership.self] : standIns,
      asksAll,
      isPatient: isStrict || level !== undefined,
      livenessOf,
    }
  }

  #counts(peer: PeerId, plan: Plan): boolean {
    return plan.groups.some(({ owners }) => owners.includes(peer))
  }

  #round(plan: Plan, asked: Asked, known: Map<PeerId, Answer>, ask: (peer: PeerId) => Promise<Answer>): Round {
    const { clock, ticker } = this.#deps
    const isPatient = asked.level !== undefined && !asked.isStrict
    const settleForMs = isPatient || (asked.isStrict && plan.asksAll) ? times.recordMs : times.recordSettleMs
    return new Round(
      { clock, ticker, ask },
      { plan, known, settleForMs, limitMs: times.recordMs, signal: asked.signal },
    )
  }

  #outcome(key: string, plan: Plan, round: Round, isEnough: boolean): Outcome {
    const { laws, verifier } = this.#deps
    const group = plan.groups[0]!
    const distinct: Uint8Array[] = []
    for (const answer of round.answers.values())
      for (const bytes of setsOf(answer)) if (!distinct.some((other) => sameBytes(other, bytes))) distinct.push(bytes)
    let set = emptySet
    for (const bytes of distinct) {
      const other = decodeSet(key, bytes)
      for (const { write } of other.siblings) if (!knows(set, write.id)) verifier.check(write)
      set = laws.merge(set, other)
    }
    const from = {
      owners: group.owners.filter((owner) => round.answers.has(owner)),
      standIns: plan.standIns.filter((peer) => round.answers.has(peer)),
    }
    const answered = new Set(round.answers.keys())
    // A write that takes what it can get still wants to be at all owners, and says how far it came.
    const wanted = plan.asksAll && !plan.isPatient ? group.owners.length : group.need
    return { set, acks: countOf(group, plan, answered), wanted, from, isEnough }
  }

  /** Sends what a read has found to those that answered with less. */
  async #repair(key: string, plan: Plan, round: Round, set: SiblingSet): Promise<void> {
    if (set.siblings.length === 0 || this.#repairs >= limits.recordRepairsMax) return
    const bytes = encodeSet(set)
    const known = this.#deps.presence.wasAway
    const request: Request = { type: 'put', records: [[key, bytes]], missing: [], tells: false, known }
    for (const [peer, answer] of round.answers) {
      if (answer.type !== 'record' || !plan.groups[0]!.owners.includes(peer)) continue
      if (answer.set && sameBytes(answer.set, bytes)) continue
      this.#repairs++
      await this.#deps.peers
        .ask(peer, request)
        .catch((error) => this.#deps.log.debug(`'${key}' was not repaired at ${peer}: ${sentenceOf(error)}`))
      this.#repairs--
    }
  }

  /** When all have answered or failed: remembers who has missed the write, unless a stand-in does. */
  async #leaveHints(key: string, set: Uint8Array, plan: Plan, round: Round): Promise<void> {
    await round.drained()
    const owners = plan.groups[0]!.owners
    const missing = owners.filter((owner) => round.answers.get(owner) === undefined)
    const isKnown = [...round.answers.keys()].some((peer) => !owners.includes(peer))
    if (missing.length === 0 || isKnown) return
    await this.#deps.replica
      .merge(key, set, missing)
      .catch((error) => this.#deps.log.debug(`no hint was kept for '${key}': ${sentenceOf(error)}`))
  }

  async #planned<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        if (codeOf(error) !== 'RING_CHANGED' || attempt === limits.recordPlansMax) throw error
      }
    }
  }

  #unavailable(
    plan: Plan,
    outcome: Outcome | undefined,
    { level, isStrict }: Asked,
    what: 'read' | 'write',
    stored: 'some' | 'none' = 'some',
  ): RecordsError {
    const group = plan.groups[0]!
    const members = this.#deps.membership.members().filter(({ state }) => state === 'joined').length
    const answered = outcome?.acks ?? 0
    const fewer = `, or ask for fewer with ${what === 'read' ? '-r' : '-w'}`
    const advice = isStrict ? ', or try without --strict' : level !== undefined ? fewer : ''
    const trace = what === 'write' && answered > 0 && stored === 'some'
    return new RecordsError(
      'QUORUM_UNAVAILABLE',
      `this ${what} wants ${group.need} of ${group.owners.length} owners and ${answered} answered (the cluster has ${members} members); wait until more are back${advice}${trace ? '. What was stored stays, and may spread later' : ''}`,
      { retryable: true },
    )
  }
}

// A store that is being filled does not answer strict reads, not even its own peer's.
function noAnswer(): void {}

function tooFewOwners(level: Level, owners: number): RecordsError {
  if (owners === 0)
    return new RecordsError(
      'QUORUM_UNAVAILABLE',
      "no member gives any space, so nothing can be kept: 'potluck config capacity 10GB' on one of them, and start it again",
    )
  const members = owners === 1 ? 'one member' : `${owners} members`
  const choices = owners === 1 ? 'choose one' : `choose one, quorum, all, or a number up to ${owners}`
  return new RecordsError(
    'QUORUM_UNAVAILABLE',
    `${level} copies were asked for, and each name is kept by ${members} here; ${choices}`,
  )
}
