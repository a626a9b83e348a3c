// The ring: who owns which partition, worked out from the members alone, so that all peers of one epoch have the same answer
// without asking. Pure: the only memory is a cache, by epoch. Liveness plays no part in it. Consistent hashing with virtual
// nodes (Karger and others 1997) on fixed partitions, over zones.
import { Lru } from '../base/lru.ts'
import { limits, partitionCount } from '../core/limits.ts'
import { epochOf, type RingMember, type View } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import { tokensOf } from './tokens.ts'
import { ownerRows, type Standing, stand } from './walk.ts'

/** A partition whose owners change, with those that are new to it and those that no longer own it, in ring order. */
export interface Move {
  partition: number
  gained: PeerId[]
  lost: PeerId[]
}

/** The view of these members, given in any order. A PeerId given twice, or a capacity that is no size, is a bug and throws. */
export function viewOf(members: Iterable<RingMember>): View {
  const sorted = [...members].map(({ peer, zone, capacity }) => Object.freeze({ peer, zone, capacity }))
  sorted.sort((a, b) => (a.peer < b.peer ? -1 : 1))
  for (const [index, { peer, capacity }] of sorted.entries()) {
    if (peer === sorted[index - 1]?.peer) throw new Error(`${peer} is in the view twice`)
    if (!Number.isSafeInteger(capacity) || capacity < 0) throw new Error(`${peer} has a capacity of ${capacity} bytes`)
  }
  if (sorted.length > limits.membersMax) throw new Error(`a view of ${sorted.length} members is too large`)
  return Object.freeze({ epoch: epochOf(sorted), members: Object.freeze(sorted) })
}

const rings = new Lru<string, Ring>(limits.ringsKept)

/** The ring of a view. Cheap to ask for again: rings are remembered by epoch. */
export function ringOf(view: View): Ring {
  const known = rings.get(view.epoch)
  if (known) return known
  const ring = new Ring(view)
  rings.set(view.epoch, ring)
  return ring
}

export class Ring {
  readonly #peers: readonly PeerId[]
  readonly #standing: Standing
  /** Of every partition the first `#width` owners, as indices of `#peers`; grown when more are asked for. */
  #rows: Uint16Array = new Uint16Array()
  #width = 0
  #primaries: Map<PeerId, number> | undefined

  constructor(view: View) {
    const holders = view.members.filter(({ capacity }) => capacity > 0)
    const zoneIndices = new Map([...new Set(holders.map(({ zone }) => zone))].map((zone, index) => [zone, index]))
    this.#peers = holders.map(({ peer }) => peer)
    this.#standing = stand(
      Uint16Array.from(holders, ({ zone }) => zoneIndices.get(zone)!),
      holders.map(tokensOf),
    )
  }

  /** The owners of a partition, primary first: n distinct members, or all that hold anything if there are fewer. */
  owners(partition: number, n: number): readonly PeerId[] {
    if (!Number.isInteger(partition) || partition < 0 || partition >= partitionCount)
      throw new RangeError(`there is no partition ${partition}`)
    const count = Math.min(n, this.#peers.length)
    this.#widen(count)
    const from = partition * this.#width
    // A plain loop: whoever looks for what two peers share asks for every partition.
    const owners: PeerId[] = []
    for (let at = from; at < from + count; at++) owners.push(this.#peers[this.#rows[at]!]!)
    return owners
  }

  /** The part (0 to 1) of all partitions whose primary this peer is. */
  share(peer: PeerId): number {
    this.#primaries ??= this.#countPrimaries()
    return (this.#primaries.get(peer) ?? 0) / partitionCount
  }

  #countPrimaries(): Map<PeerId, number> {
    const counts = new Map<PeerId, number>()
    for (let partition = 0; partition < partitionCount; partition++)
      for (const peer of this.owners(partition, 1)) counts.set(peer, (counts.get(peer) ?? 0) + 1)
    return counts
  }

  // In powers of two, so that however many different n are asked for, the walk is taken a few times only.
  #widen(count: number): void {
    if (count <= this.#width) return
    this.#width = Math.min(2 ** Math.ceil(Math.log2(count)), this.#peers.length)
    this.#rows = ownerRows(this.#standing, this.#width)
  }
}

/** What changes hands between two views with n copies: every partition whose set of owners differs, in order. */
export function movesBetween(from: View, to: View, n: number): Move[] {
  const moves: Move[] = []
  if (from.epoch === to.epoch) return moves
  const [before, after] = [ringOf(from), ringOf(to)]
  for (let partition = 0; partition < partitionCount; partition++) {
    const [old, now] = [before.owners(partition, n), after.owners(partition, n)]
    const gained = now.filter((peer) => !old.includes(peer))
    const lost = old.filter((peer) => !now.includes(peer))
    if (gained.length > 0 || lost.length > 0) moves.push({ partition, gained, lost })
  }
  return moves
}
