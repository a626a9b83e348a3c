// What a peer does as a member of its cluster, step by step: telling who else is one, leaving with everything handed off,
// and dropping one that is lost.
import { type Abortable, abortable } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { limits, times } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Table } from '../core/ports.ts'
import { ringOf } from '../placement/ring.ts'
import type { LongOptions, MemberInfo, Rotated } from './api.ts'
import type { Organs } from './assemble.ts'
import { NodeError } from './errors.ts'
import type { Online } from './online.ts'

export function memberInfos({ members }: Organs): MemberInfo[] {
  const ring = ringOf(members.view())
  return members.members().map((member) => ({
    peerId: member.peer,
    self: member.peer === members.self,
    state: member.state,
    liveness: member.liveness,
    zone: member.zone,
    capacity: member.capacity,
    share: ring.share(member.peer),
    latencyMs: member.latencyMs,
    addresses: member.addresses,
  }))
}

/** Hands everything off, then leaves. Ends early only by the signal; the member then stays `leaving` and goes on handing off. */
export async function leaveCluster(
  { members, records }: Organs,
  clock: Clock,
  { signal, onProgress }: LongOptions,
): Promise<void> {
  await members.beginLeave()
  const total = records.status().partitionsToHandOver
  while (!records.drained()) {
    const left = records.status().partitionsToHandOver
    onProgress?.({ phase: 'handing off', done: Math.max(0, total - left), total, unit: 'partitions' })
    await sleep(clock, times.drainPollMs, signal)
  }
  await abortable(members.finishLeave(), signal)
}

/** Throws REQUEST_INVALID for this peer itself and for a peer that is no member. */
export async function forgetMember(organs: Organs, given: string, { signal }: Abortable): Promise<PeerId> {
  const { members } = organs
  const peer = requireMember(organs, given)
  const member = members.member(peer)
  if (peer === members.self)
    throw new NodeError('REQUEST_INVALID', "a peer cannot forget itself: 'potluck leave' is the way out")
  if (member?.state === 'joined' && member.liveness === 'alive')
    throw new NodeError(
      'REQUEST_INVALID',
      `${peer} is alive: run 'potluck leave' there, so that it hands off what it holds`,
    )
  await abortable(members.forget(peer), signal)
  return peer
}

/** A peer of a cluster with others must leave it first: what they count on it for would be gone. Throws IN_CLUSTER. */
export function requireAlone({ members }: Organs): void {
  const others = members.members().filter(({ peer, state }) => peer !== members.self && state !== 'left')
  if (others.length > 0)
    throw new NodeError(
      'IN_CLUSTER',
      `this peer is in a cluster with ${others.length} other ${others.length === 1 ? 'member' : 'members'}: 'potluck leave' first, or use another --home`,
    )
}

/** Deletes all that a table holds, a batch at a time. */
export async function emptyTable(table: Table): Promise<void> {
  for (;;) {
    const keys = Array.from(table.range({ limit: limits.tableBatchMax }), ([key]) => key)
    if (keys.length === 0) return
    await table.write(keys.map((key) => ({ delete: key })))
  }
}

/** Makes a new secret. Who is excluded is shut out and forgotten. Throws CONFIG_INVALID in an open network, REQUEST_INVALID. */
export async function rotateSecret(
  { rotations, organs }: Online,
  exclude: readonly string[],
  { signal }: Abortable,
): Promise<Rotated> {
  if (!rotations) throw new NodeError('CONFIG_INVALID', 'an open network has no secret that could be replaced')
  const excluded = exclude.map((peer) => requireMember(organs, peer))
  const rotated = await rotations.rotate({ exclude: excluded }, { signal })
  // Who has been shut out cannot come back, and what the ring counts on it for must go to others.
  for (const peer of excluded) await organs.members.forget(peer)
  return rotated
}

/** The member that people mean by its PeerId, or by the end of it. Throws REQUEST_INVALID. */
export function requireMember({ members }: Organs, given: string): PeerId {
  const meant = members.members().filter(({ peer }) => peer === given || (given.length >= 6 && peer.endsWith(given)))
  const [member] = meant
  if (!member || meant.length > 1)
    throw new NodeError('REQUEST_INVALID', `'${given}' is not a member; 'potluck members' shows all of them`)
  return member.peer
}
