// The tally of a call: who has answered, whether that is enough, and whom to ask next. Pure: it is given what has happened
// and says what to do. While a hand-off runs there are several groups of owners, and every one of them must be satisfied.
import type { Liveness } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Level } from './words.ts'

export interface Group {
  readonly owners: readonly PeerId[]
  /** Answers that this group must give. */
  readonly need: number
}

export interface Plan {
  /** Owners by the present ring first, then those of rings whose hand-off has not ended. */
  readonly groups: readonly Group[]
  /** Who may answer in place of owners that do not, in the order of the ring; none in a strict call. */
  readonly standIns: readonly PeerId[]
  /** A write asks all owners; a read no more than it needs. */
  readonly asksAll: boolean
  /** Ask owners that seem dead too: the caller would rather wait than get less. */
  readonly isPatient: boolean
  readonly livenessOf: (peer: PeerId) => Liveness
}

export interface Tally {
  readonly asked: ReadonlySet<PeerId>
  readonly answered: ReadonlySet<PeerId>
  readonly failed: ReadonlySet<PeerId>
  /** True once the call has taken so long that those who are silent are not counted on. */
  readonly isLate: boolean
}

export interface Decision {
  /** `exhausted`: not enough, nobody left to ask, and nobody left to wait for. */
  readonly state: 'done' | 'waiting' | 'exhausted'
  readonly ask: readonly PeerId[]
}

/** How many of `owners` a level means; undefined if there are not as many. */
export function needOf(level: Level, owners: number): number | undefined {
  if (level === 'quorum') return majorityOf(owners)
  const need = level === 'one' ? 1 : level === 'all' ? owners : level
  return need <= owners && need > 0 ? need : undefined
}

export function majorityOf(owners: number): number {
  return Math.floor(owners / 2) + 1
}

/** Answers that count for a group: its owners', and those of stand-ins in place of owners that have not answered. */
export function countOf(group: Group, plan: Plan, answered: ReadonlySet<PeerId>): number {
  const owners = group.owners.filter((owner) => answered.has(owner)).length
  const standIns = plan.standIns.filter((peer) => answered.has(peer)).length
  return owners + Math.min(standIns, group.owners.length - owners)
}

export function decide(plan: Plan, tally: Tally): Decision {
  const short = plan.groups.filter((group) => countOf(group, plan, tally.answered) < group.need)
  const wanted = plan.asksAll ? new Set(plan.groups.flatMap((group) => toWrite(group, plan, tally))) : new Set<PeerId>()
  for (const group of short) for (const peer of toReach(group, plan, tally)) wanted.add(peer)
  const ask = [...wanted].filter((peer) => !tally.asked.has(peer))
  if (short.length === 0) return { state: 'done', ask }
  const isWaiting = [...tally.asked].some((peer) => !tally.answered.has(peer) && !tally.failed.has(peer))
  return { state: isWaiting || ask.length > 0 ? 'waiting' : 'exhausted', ask }
}

/** The owners that a write goes to, and a stand-in for each of them that is known to miss it. */
function toWrite(group: Group, plan: Plan, tally: Tally): PeerId[] {
  const owners = group.owners.filter((owner) => plan.livenessOf(owner) !== 'dead')
  if (group !== plan.groups[0]) return owners
  const missing = group.owners.filter((owner) => !owners.includes(owner) || tally.failed.has(owner)).length
  return [...owners, ...plan.standIns.filter((peer) => !tally.failed.has(peer)).slice(0, missing)]
}

/** Candidates, the best first, until the group can have what it needs from those who answered and those who still may. */
function toReach(group: Group, plan: Plan, tally: Tally): PeerId[] {
  const chosen: PeerId[] = []
  let expected = countOf(group, plan, tally.answered)
  for (const peer of candidates(group, plan)) {
    if (expected >= group.need) break
    if (tally.answered.has(peer) || tally.failed.has(peer)) continue
    if (tally.asked.has(peer) && tally.isLate) continue
    chosen.push(peer)
    expected++
  }
  return chosen
}

function candidates(group: Group, plan: Plan): PeerId[] {
  const ofLiveness = (liveness: Liveness) => group.owners.filter((owner) => plan.livenessOf(owner) === liveness)
  const dead = plan.isPatient ? ofLiveness('dead') : []
  return [...ofLiveness('alive'), ...ofLiveness('suspect'), ...plan.standIns, ...dead]
}
