// A member of a cluster as the organs know it. What a member says of itself (a Claim) is signed and spreads; what this peer
// thinks of it now (liveness) is its own opinion and never changes who owns what; the View is the part that does.
import { sha256 } from './block.ts'
import type { PeerId } from './peer.ts'

/**
 * The version of placement, part of every epoch. Whoever changes which owners a view gives (tokens, partitions, walk) changes
 * this, so that peers of both versions see that they disagree.
 */
const placementVersion = 'potluck placement 1'

/** `leaving` hands its data off and owns nothing new; `left` has gone and may come back with a higher incarnation. */
export type MemberState = 'joined' | 'leaving' | 'left'

/** What this peer thinks of a member now. */
export type Liveness = 'alive' | 'suspect' | 'dead'

export interface Claim {
  peer: PeerId
  /** Grows with every claim that a member makes of itself; of two claims the higher one holds. */
  incarnation: number
  state: MemberState
  /** Where the machine stands: copies go to different zones. */
  zone: string
  /** Bytes that the member gives to the cluster; 0 holds nothing. */
  capacity: number
  /** Multiaddrs without the `/p2p/…` tail. */
  addresses: string[]
}

export interface Member extends Claim {
  liveness: Liveness
  /** Round trip of the last probes, milliseconds. */
  latencyMs?: number | undefined
}

/** A member as the ring sees it. */
export interface RingMember {
  peer: PeerId
  zone: string
  capacity: number
}

/** All joined members, sorted by PeerId, and the hash of that: equal epochs mean equal owners. */
export interface View {
  readonly epoch: string
  readonly members: readonly RingMember[]
}

/** The hash of who is in the ring, in any order: 32 hex digits. */
export function epochOf(members: readonly RingMember[]): string {
  const sorted = members.toSorted((a, b) => (a.peer < b.peer ? -1 : 1))
  // JSON says one thing in one way here: strings and whole numbers, in fixed places.
  const text = JSON.stringify([placementVersion, ...sorted.map(({ peer, zone, capacity }) => [peer, zone, capacity])])
  return Buffer.from(sha256(new TextEncoder().encode(text)).subarray(0, 16)).toString('hex')
}
