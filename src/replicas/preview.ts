// What a change of members would move, before anybody makes it: pure. Every pin's holders are chosen for the members as they
// are and as they would be; what only the second choice names is what would be copied. How full the members are is not looked
// at, but nothing goes to one that gives less than it needs.
import type { RingMember } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import { ringOf, viewOf } from '../placement/ring.ts'
import { chooseHolders } from './choose.ts'
import type { Change, Preview } from './words.ts'

/** A pin, as far as it matters here. */
export interface PreviewedPin {
  partition: number
  sizeBytes: number
  copies: number
  holders: readonly PeerId[]
  /** Members that shall not hold it. */
  except: ReadonlySet<PeerId>
}

/** The members after a change. One that is not in the ring changes nothing. */
export function changedMembers(members: readonly RingMember[], change: Change): RingMember[] {
  if (change.kind !== 'zone') return members.filter(({ peer }) => peer !== change.peer)
  return members.map((member) => (member.peer === change.peer ? { ...member, zone: change.zone } : member))
}

/** What would be copied if the ring were made of `members`. */
export function previewOf(pins: Iterable<PreviewedPin>, members: readonly RingMember[]): Omit<Preview, 'unreached'> {
  const view = viewOf(members)
  const ring = ringOf(view)
  const memberOf = new Map(members.map((member) => [member.peer, member]))
  const preview = { pins: 0, bytes: 0, byPeer: {} as Record<PeerId, number>, short: 0 }
  for (const { partition, sizeBytes, copies, holders, except } of pins) {
    const walk = ring
      .owners(partition, members.length)
      .flatMap((peer) => memberOf.get(peer) ?? [])
      .filter(({ peer, capacity }) => !except.has(peer) && capacity >= sizeBytes)
    const target = chooseHolders(walk, copies)
    const taking = target.filter((peer) => !holders.includes(peer))
    if (target.length < copies) preview.short++
    if (taking.length > 0) preview.pins++
    for (const peer of taking) {
      preview.bytes += sizeBytes
      preview.byPeer[peer] = (preview.byPeer[peer] ?? 0) + sizeBytes
    }
  }
  return preview
}
