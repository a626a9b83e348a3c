// The rules that decide what is kept and who must have it, in one place, so that a test can break one and see that the
// checkers notice. All are pure. Nothing in production replaces any of them.
import type { PeerId } from '../core/peer.ts'
import { type Dot, issue, merge, type SiblingSet, type StoreId, type Write } from './version.ts'

export interface Laws {
  /** What two sets of siblings of one key make together. */
  merge(a: SiblingSet, b: SiblingSet): SiblingSet
  /** The set after a new write. */
  issue(set: SiblingSet, write: Write, dot: Dot): SiblingSet
  /** The dot of the next write. */
  nextDot(now: { store: StoreId; generation: number; lastCount: number; set: SiblingSet }): Dot
  /** Whose quorums a call needs, given the owners by the present ring and by every ring whose hand-off has not ended. */
  groups(present: readonly PeerId[], earlier: readonly (readonly PeerId[])[]): readonly (readonly PeerId[])[]
  /** Who must have confirmed that it holds all of a partition before that is deleted here. */
  confirmers(owners: readonly PeerId[]): readonly PeerId[]
}

export const realLaws: Laws = {
  merge,
  issue,

  // Counts grow for the store as a whole, so that none comes twice whatever happens to a key's row. The generation is that
  // of the key's partition: a store that has given a partition up does not know any more which of its dots are current there.
  nextDot({ store, generation, lastCount }) {
    return { store: generation === 0 ? store : `${store}~${generation}`, count: lastCount + 1 }
  },

  groups(present, earlier) {
    const groups = [present]
    for (const owners of earlier) if (!groups.some((group) => sameOwners(group, owners))) groups.push(owners)
    return groups
  },

  confirmers(owners) {
    return owners
  },
}

function sameOwners(a: readonly PeerId[], b: readonly PeerId[]): boolean {
  return a.length === b.length && a.every((owner) => b.includes(owner))
}
