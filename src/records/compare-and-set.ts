// Compare and set: of several callers that saw the same version at most one writes. Each key has a register that its owners
// hold together, after "CASPaxos: Replicated State Machines without logs" (Rystsov, 2018): a proposer has a majority promise
// to accept nothing below its ballot, learns from the same majority what the version is and whether an earlier proposer may
// have got through, finishes that one's write if so, and only then has a majority accept its own. Two majorities share an
// owner, so of two proposers one sees the other or is outbid.
//
// An accepted write becomes part of the record when it is issued, which any later proposer can do as well: it is the same
// write, with the same id. While a hand-off runs, majorities of old and new owners are needed. The promise holds while the
// ring stands still; plain writes are no part of it and make siblings.
import { type Clock, sleep } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { type Ballot, highestAccepted } from './ballot.ts'
import type { Asked, Coordinator, Outcome } from './coordinator.ts'
import { RecordsError, shownKey } from './errors.ts'
import type { Laws } from './laws.ts'
import type { Answer, Request } from './messages.ts'
import type { Peers } from './peers.ts'
import { majorityOf } from './quorum.ts'
import { decodeSet, decodeWrite, type Verifier } from './record.ts'
import type { Rings } from './rings.ts'
import { contextOf } from './shown.ts'
import { emptySet, knows, type SiblingSet, sameVersion, type Version, versionOf, type Write } from './version.ts'

export interface CompareAndSetDeps {
  membership: Membership
  rings: Rings
  peers: Peers
  verifier: Verifier
  laws: Laws
  clock: Clock
  random: Random
  coordinator: Coordinator
}

export interface CompareAndSetRequest {
  key: string
  /** Signs the write on top of a version. */
  sign: (seen: Version) => Promise<Write>
  expected: Version
  asked: Asked
}

/** Throws VERSION_MISMATCH; QUORUM_UNAVAILABLE, after which the write may still happen. */
export async function compareAndSet(deps: CompareAndSetDeps, request: CompareAndSetRequest): Promise<Outcome> {
  const { key, expected, sign, asked } = request
  let own: Write | undefined
  let round = 0
  for (let attempt = 0; attempt < limits.recordBallotsMax; attempt++) {
    if (attempt > 0) await sleep(deps.clock, times.recordBallotWaitMs * attempt * deps.random.unit(), asked.signal)
    const ballot: Ballot = [round + 1, deps.membership.self]
    const prepared = await majority(deps, key, { type: 'prepare', key, ballot }, asked)
    round = Math.max(round + 1, prepared.outbid)
    if (!prepared.isWon) continue
    const set = mergedSet(deps, key, prepared.answers)
    const begun = unfinished(deps, set, prepared.answers)
    if (own && knows(set, own.id)) return await deps.coordinator.write(own, asked)
    if (!begun && !sameVersion(versionOf(set), expected)) throw mismatch(key, set)
    own ??= begun ? undefined : await sign(versionOf(set))
    const write = begun ?? own!
    const accepted = await majority(deps, key, { type: 'accept', key, ballot, write: write.bytes }, asked)
    round = Math.max(round, accepted.outbid)
    if (!accepted.isWon) continue
    const outcome = await deps.coordinator.write(write, asked)
    if (write.id === own?.id) return outcome
  }
  throw new RecordsError(
    'QUORUM_UNAVAILABLE',
    `too many write '${shownKey(key)}' at the same time, and this write may or may not have happened; read it, and try again`,
    { retryable: true },
  )
}

interface Vote {
  /** A majority of every group said yes. */
  isWon: boolean
  answers: Answer[]
  /** The highest round that somebody had promised to another. */
  outbid: number
}

/** Asks all owners; resolves once the outcome is certain. Throws QUORUM_UNAVAILABLE, RING_CHANGED. */
async function majority(deps: CompareAndSetDeps, key: string, request: Request, asked: Asked): Promise<Vote> {
  const groups = deps.rings.groups(partitionOf(key))
  const answers = new Map<PeerId, Answer>()
  const refused = new Set<PeerId>()
  let outbid = 0
  let ringChanged: unknown
  const count = (has: { has(peer: PeerId): boolean }) =>
    groups.every((owners) => owners.filter((peer) => has.has(peer)).length >= majorityOf(owners.length))
  const vote = Promise.withResolvers<void>()
  const ask = async (peer: PeerId) => {
    try {
      const answer = await deps.peers.ask(peer, request, { signal: asked.signal })
      if (answer.type === 'outbid') {
        refused.add(peer)
        outbid = Math.max(outbid, answer.ballot[0])
      } else answers.set(peer, answer)
    } catch (error) {
      if (codeOf(error) === 'RING_CHANGED') ringChanged = error
    }
    if (count(answers)) vote.resolve()
  }
  const all = Promise.all([...new Set(groups.flat())].map(ask))
  await Promise.race([vote.promise, all])
  asked.signal?.throwIfAborted()
  const isWon = count(answers)
  if (!isWon && ringChanged) throw ringChanged
  if (!isWon && refused.size === 0) throw unavailable(groups[0]!.length, answers.size)
  return { isWon, answers: [...answers.values()], outbid }
}

function mergedSet({ laws, verifier }: CompareAndSetDeps, key: string, answers: readonly Answer[]): SiblingSet {
  let merged = emptySet
  for (const answer of answers) {
    if (answer.type !== 'promised' || !answer.set) continue
    const set = decodeSet(key, answer.set)
    for (const { write } of set.siblings) if (!knows(merged, write.id)) verifier.check(write)
    merged = laws.merge(merged, set)
  }
  return merged
}

/** A write that may have been chosen and is not in the record yet. */
function unfinished({ verifier }: CompareAndSetDeps, set: SiblingSet, answers: readonly Answer[]): Write | undefined {
  const accepted = answers.map((answer) => (answer.type === 'promised' ? (answer.accepted ?? undefined) : undefined))
  const highest = highestAccepted(accepted)
  if (!highest?.[1]) return undefined
  const write = decodeWrite(highest[1])
  if (knows(set, write.id)) return undefined
  verifier.check(write)
  return write
}

function mismatch(key: string, set: SiblingSet): RecordsError {
  return new RecordsError(
    'VERSION_MISMATCH',
    `'${shownKey(key)}' has another version by now: ${contextOf(set)}; read it, and decide again`,
  )
}

function unavailable(owners: number, answered: number): RecordsError {
  return new RecordsError(
    'QUORUM_UNAVAILABLE',
    `writing only if the version is the one given needs ${majorityOf(owners)} of ${owners} owners, and ${answered} answered; wait until more are back`,
    { retryable: true },
  )
}
