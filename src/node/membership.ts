// What a peer does as a member of its cluster, step by step: telling who else is one, leaving with everything handed off,
// and dropping one that is lost.
import { type Abortable, abortable, withDeadline } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { limits } from '../core/limits.ts'
import type { Member } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { formatSize } from '../core/units.ts'
import { ringOf } from '../placement/ring.ts'
import type { LongOptions, MemberInfo, Rotated } from './api.ts'
import type { Organs } from './assemble.ts'
import { NodeError } from './errors.ts'
import type { Home } from './home.ts'
import type { Online } from './online.ts'

type Cluster = Pick<Organs, 'members' | 'replicas'>
type Leaving = Pick<Organs, 'members' | 'records' | 'replicas'>

/** Throws NO_MEMBER on a machine that is none. */
export function requireMember<T extends Pick<Organs, 'members'>>(organs: T): T {
  const { standing } = organs.members
  if (standing === 'none')
    throw new NodeError(
      'NO_MEMBER',
      'only a member of a cluster can do this: a hub relays and keeps nothing, an open network has no members',
    )
  if (standing === 'forgotten') throw new NodeError('NO_MEMBER', organs.members.status())
  return organs
}

/** All members, each asked how much it holds. */
export async function memberInfos(organs: Cluster, clock: Clock, options: Abortable): Promise<MemberInfo[]> {
  const { members } = organs
  const ring = ringOf(members.view())
  const infos = members.members().map(async (member) => ({
    peerId: member.peer,
    self: member.peer === members.self,
    state: member.state,
    liveness: member.liveness,
    zone: member.zone,
    capacity: member.capacity,
    used: await usedBytes(organs, member, clock, options),
    share: ring.share(member.peer),
    latencyMs: member.latencyMs,
    addresses: member.addresses,
  }))
  return await Promise.all(infos)
}

/** Null if it does not say. Who is not alive is not asked. */
async function usedBytes(
  { members, replicas }: Cluster,
  { peer, state, liveness }: Member,
  clock: Clock,
  options: Abortable,
): Promise<number | null> {
  if (state === 'left' || (liveness !== 'alive' && peer !== members.self)) return null
  const ask = (signal: AbortSignal) => replicas.usedBytes(peer, { signal })
  try {
    return await withDeadline(clock, times.usedMs, `asking ${peer}`, ask, options)
  } catch {
    options.signal?.throwIfAborted()
    return null
  }
}

/**
 * Hands everything off, then leaves. Ends early only by the signal; the member then stays `leaving` and goes on handing off.
 * Throws NO_HEIR.
 */
export async function leaveCluster(cluster: Leaving, clock: Clock, { signal, onProgress }: LongOptions): Promise<void> {
  requireHeirs(cluster)
  const { members, records, replicas } = cluster
  await members.beginLeave()
  const partitions = { total: 0, left: () => records.status().partitionsToHandOver }
  const bytes = { total: 0, left: () => replicas.bytesToHandOver() }
  while (!(records.drained() && replicas.drained())) {
    // What others have not noticed yet comes on top later.
    for (const each of [partitions, bytes]) each.total = Math.max(each.total, each.left())
    const done = ({ total, left }: typeof bytes) => ({ done: total - left(), total })
    if (!records.drained()) {
      const note = bytes.left() > 0 ? `and ${formatSize(bytes.left())} of content` : undefined
      onProgress?.({ phase: 'handing off', ...done(partitions), unit: 'partitions', note })
    } else onProgress?.({ phase: 'copying', ...done(bytes), unit: 'bytes', note: 'to those who hold it from now on' })
    await sleep(clock, times.drainPollMs, signal)
  }
  await abortable(members.finishLeave(), signal)
}

// Whoever begins to leave owns nothing any more: without anybody to hand to, all that it holds would be out of reach.
function requireHeirs({ members, records, replicas }: Leaving): void {
  const heirs = members
    .members()
    .filter(({ peer, state, capacity }) => peer !== members.self && state === 'joined' && capacity > 0)
  const holds = records.status().keys > 0 || replicas.summary().pins > 0
  if (!holds || heirs.some(({ liveness }) => liveness !== 'dead')) return
  throw new NodeError(
    'NO_HEIR',
    heirs.length === 0
      ? 'no other member gives any space, so nobody can take over what this peer keeps; to end it for good, stop it and delete its home'
      : 'none of the members that could take over what this peer keeps is alive now; try again when one is back',
    { retryable: heirs.length > 0 },
  )
}

/** Throws REQUEST_INVALID for this peer itself and for a peer that is no member. */
export async function forgetMember({ members }: Organs, given: string, { signal }: Abortable): Promise<PeerId> {
  const member = memberNamed(members, given)
  if (member.peer === members.self)
    throw new NodeError('REQUEST_INVALID', "a peer cannot forget itself: 'potluck leave' is the way out")
  if (member.state === 'joined' && member.liveness === 'alive')
    throw new NodeError(
      'REQUEST_INVALID',
      `${member.peer} is alive: run 'potluck leave' there, so that it hands off what it holds`,
    )
  await abortable(members.forget(member.peer), signal)
  return member.peer
}

/** Makes a new secret. Who is excluded is shut out and forgotten. Throws CONFIG_INVALID in an open network, REQUEST_INVALID. */
export async function rotateSecret(
  { rotations, organs }: Online,
  exclude: readonly string[],
  { signal }: Abortable,
): Promise<Rotated> {
  if (!rotations) throw new NodeError('CONFIG_INVALID', 'an open network has no secret that could be replaced')
  const excluded = exclude.map((given) => excludable(organs, given))
  const rotated = await rotations.rotate({ exclude: excluded }, { signal })
  // Who has been shut out cannot come back, and what the ring counts on it for must go to others.
  for (const peer of excluded) if (organs.members.member(peer)) await organs.members.forget(peer)
  return rotated
}

/** Whom a rotation shall shut out: a member, or one that was, which still has the secret. Throws REQUEST_INVALID. */
function excludable({ members }: Organs, given: string): PeerId {
  return members.isForgotten(given as PeerId) ? (given as PeerId) : memberNamed(members, given).peer
}

/** By its PeerId or the end of it. Throws REQUEST_INVALID. */
export function memberNamed(members: Organs['members'], given: string): Member {
  const known = members.members().filter(({ peer }) => peer === given || (given.length >= 6 && peer.endsWith(given)))
  const [member] = known
  if (member && known.length === 1) return member
  throw new NodeError('REQUEST_INVALID', `'${given}' is not a member; 'potluck members' shows all of them`)
}

/**
 * Clears the way into a cluster. Who belonged to another one is nothing to it; records of a peer that was alone come along.
 * A peer that was forgotten is so for ever: its machine comes back as a new one.
 */
export async function prepareJoin(
  home: Home,
  table: Table,
  join: { same: boolean; forgotten: boolean },
): Promise<void> {
  if (!join.same) await emptyTable(table)
  if (join.forgotten) await home.setAside('identity.key')
}

/**
 * True if one of the addresses is of a member that is known here: the line is of this cluster, and only its secret is another.
 * A peer of another cluster must leave it first: what its members count on this peer for would be gone. Throws IN_CLUSTER.
 */
export function isRenewal({ members }: Organs, addresses: readonly string[]): boolean {
  const others = members.members().filter(({ peer, state }) => peer !== members.self && state !== 'left')
  if (others.some(({ peer }) => addresses.some((address) => address.endsWith(`/p2p/${peer}`)))) return true
  if (members.standing !== 'member' || others.length === 0) return false
  throw new NodeError(
    'IN_CLUSTER',
    `this peer is in a cluster with ${others.length} other ${others.length === 1 ? 'member' : 'members'}: 'potluck leave' first, or use another --home`,
  )
}

/** Deletes what this peer knew and kept as a member. */
export async function forgetCluster(store: { table(name: string): Table }): Promise<void> {
  for (const name of ['members', 'records', 'replicas']) await emptyTable(store.table(name))
}

/** Deletes all that a table holds, a batch at a time. */
async function emptyTable(table: Table): Promise<void> {
  for (;;) {
    const keys = Array.from(table.range({ limit: limits.tableBatchMax }), ([key]) => key)
    if (keys.length === 0) return
    await table.write(keys.map((key) => ({ delete: key })))
  }
}
