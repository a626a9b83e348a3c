// Promises broken on purpose, one at a time, to see that the checkers notice. They are rules that the records are handed
// instead of their own; nothing in production replaces any.
import type { ClusterPorts } from '../node/cluster.ts'

type ReplaceLaws = NonNullable<ClusterPorts['laws']>
type Laws = ReturnType<ReplaceLaws>
type SiblingSet = ReturnType<Laws['merge']>

export const plants = ['ack-before-fsync', 'wall-clock-wins', 'no-overlap', 'dots-per-key'] as const
export type Plant = (typeof plants)[number]

/** The rules with a bug in them; undefined for a bug that is elsewhere. */
export function plantedLaws(plant: Plant | undefined): ReplaceLaws | undefined {
  switch (plant) {
    // Of concurrent writes the one that is latest by its author's clock stays, as if clocks told the truth.
    case 'wall-clock-wins':
      return (real) => ({
        ...real,
        merge: (a, b) => latest(real.merge(a, b)),
        issue: (set, write, dot) => latest(real.issue(set, write, dot)),
      })
    // Only the present owners are asked, and the old ones drop what they have before the new ones confirm it.
    case 'no-overlap':
      return (real) => ({ ...real, groups: (present) => [present], confirmers: () => [] })
    // Counts begin anew with every key's row, so that one may come twice when the row has gone.
    case 'dots-per-key':
      return (real) => ({ ...real, nextDot: ({ store, set }) => ({ store, count: (set.seen.get(store) ?? 0) + 1 }) })
    // The disks lie, not the records.
    default:
      return undefined
  }
}

function latest(set: SiblingSet): SiblingSet {
  return { ...set, siblings: set.siblings.toSorted((a, b) => b.write.atMs - a.write.atMs).slice(0, 1) }
}
