// Versions: which writes of a key are still current, and what replaced what, without asking any clock. The state of a key is
// a set of concurrent writes (siblings), each marked with the dot under which a store issued it, and the vector of all dots
// seen. Merging is commutative, associative and idempotent, so replicas may exchange sets in any order and as often as
// they like. After "Dotted Version Vectors: Efficient Causality Tracking for Distributed Key-Value Stores" (Preguica,
// Baquero, Almeida, Fonte, Goncalves, 2012), in the form of version vector sets.
//
// What it relies on: whoever has seen a dot of a store has seen, or seen replaced, every earlier dot of that store for the
// key. So a dot leaves its store only together with the store's whole set, after that set is durable, and a store that gave
// a set up issues under another id.
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'

export type StoreId = string
/** Names a write: random, given by its author. The same write issued twice has two dots and one id. */
export type WriteId = string

export interface Dot {
  readonly store: StoreId
  /** Grows with every dot that the store issues, whatever the key. */
  readonly count: number
}

/** For each store, the highest count seen. */
export type Vector = ReadonlyMap<StoreId, number>

/** What somebody has seen of a key: the causal context of a write. */
export interface Version {
  readonly seen: Vector
  /** The siblings that were current, sorted. */
  readonly writes: readonly WriteId[]
}

/** A write as its author signed it. */
export interface Write {
  readonly key: string
  /** Undefined removes the key. */
  readonly value: Uint8Array | undefined
  readonly author: PeerId
  readonly id: WriteId
  readonly context: Version
  /** Wall time of the author, to choose what to show first; decides nothing else. */
  readonly atMs: number
  /** All of the above and the signature, encoded. */
  readonly bytes: Uint8Array
}

export interface Sibling {
  /** All dots under which the write was issued, as far as they have met; sorted. More than one only after a retry. */
  readonly dots: readonly Dot[]
  readonly write: Write
}

/** A write that was replaced: kept so that a second dot of it, come late, is known for what it is. */
export interface PastWriteId {
  /** The sum of what its successor had seen: grows along every chain of writes. */
  readonly rank: number
  readonly id: WriteId
}

export interface SiblingSet {
  readonly seen: Vector
  /** Sorted by write id, one for each. */
  readonly siblings: readonly Sibling[]
  /** The highest ranks, sorted by rank and id. */
  readonly past: readonly PastWriteId[]
}

export const emptySet: SiblingSet = { seen: new Map(), siblings: [], past: [] }

export function versionOf(set: SiblingSet): Version {
  return { seen: set.seen, writes: set.siblings.map(({ write }) => write.id) }
}

/** Two versions are the same when the same writes were current: ids never come back once they are replaced. */
export function sameVersion(a: Version, b: Version): boolean {
  return a.writes.length === b.writes.length && a.writes.every((id, index) => id === b.writes[index])
}

/** True if the write is current in the set, or was replaced in it not long ago. */
export function knows(set: SiblingSet, id: WriteId): boolean {
  return set.siblings.some(({ write }) => write.id === id) || set.past.some((past) => past.id === id)
}

/** What both together know. */
export function merge(a: SiblingSet, b: SiblingSet): SiblingSet {
  if (a === b || isNothing(b)) return a
  if (isNothing(a)) return b
  // They are kept in mind, so that a second dot of such a write, come late, does not bring it back.
  const replaced = [...replacedIn(a, b), ...replacedIn(b, a)].map((id) => ({ rank: 0, id }))
  const past = joinedPast(joinedPast(a.past, b.past), replaced)
  const gone = new Set([...past, ...replaced].map(({ id }) => id))
  const siblings = new Map<WriteId, Sibling>()
  for (const sibling of [...a.siblings, ...b.siblings]) {
    const { id } = sibling.write
    const other = siblings.get(id)
    if (!gone.has(id)) siblings.set(id, other ? { ...other, dots: joinedDots(other.dots, sibling.dots) } : sibling)
  }
  return { seen: joined(a.seen, b.seen), siblings: sortedById(siblings.values()), past }
}

// Writes that `b` shows and `a` saw replaced: it has seen one of their dots, and does not show the write under it.
function replacedIn(a: SiblingSet, b: SiblingSet): WriteId[] {
  const isReplaced = ({ dots, write }: Sibling) => {
    const own = a.siblings.find((sibling) => sibling.write.id === write.id)?.dots ?? []
    return dots.some((dot) => covers(a.seen, dot) && !own.some((each) => compareDots(each, dot) === 0))
  }
  return b.siblings.filter(isReplaced).map(({ write }) => write.id)
}

/** The set after a new write under a new dot: it replaces what its author had seen. A write that is known changes nothing. */
export function issue(set: SiblingSet, write: Write, dot: Dot): SiblingSet {
  if (knows(set, write.id)) return set
  const { seen, writes } = write.context
  const rank = [...seen.values()].reduce((sum, count) => sum + count, 0)
  const isReplaced = ({ dots, write: { id } }: Sibling) =>
    dots.some((each) => covers(seen, each)) || writes.includes(id)
  const replaced = new Set([...writes, ...set.siblings.filter(isReplaced).map((sibling) => sibling.write.id)])
  const left = set.siblings.filter((sibling) => !isReplaced(sibling))
  return {
    seen: joined(joined(set.seen, seen), new Map([[dot.store, dot.count]])),
    siblings: sortedById([...left, { dots: [dot], write }]),
    past: joinedPast(
      set.past,
      [...replaced].map((id) => ({ rank, id })),
    ),
  }
}

/** True if merging `b` into `a` would change neither what `a` shows nor what it has seen. */
export function includes(a: SiblingSet, b: SiblingSet): boolean {
  const shown = new Set(a.siblings.map(({ write }) => write.id))
  const hasSeenAll = [...b.seen].every(([store, count]) => (a.seen.get(store) ?? 0) >= count)
  return hasSeenAll && replacedIn(b, a).length === 0 && replacedIn(a, b).every((id) => !shown.has(id))
}

/** Siblings in the order in which they are shown: the same everywhere, values before removals, then the latest by its author's clock. */
export function shownOrder(set: SiblingSet): Sibling[] {
  return set.siblings.toSorted(({ write: a }, { write: b }) => {
    if ((a.value === undefined) !== (b.value === undefined)) return a.value === undefined ? 1 : -1
    return b.atMs - a.atMs || (a.id < b.id ? 1 : -1)
  })
}

/** True if the set says that the key is gone. */
export function isRemoved(set: SiblingSet): boolean {
  return set.siblings.every(({ write }) => write.value === undefined)
}

export function covers(seen: Vector, dot: Dot): boolean {
  return (seen.get(dot.store) ?? 0) >= dot.count
}

export function joined(a: Vector, b: Vector): Vector {
  const join = new Map(a)
  for (const [store, count] of b) if ((join.get(store) ?? 0) < count) join.set(store, count)
  return join
}

function isNothing(set: SiblingSet): boolean {
  return set.seen.size === 0
}

function joinedDots(a: readonly Dot[], b: readonly Dot[]): readonly Dot[] {
  const added = b.filter((dot) => a.every((each) => compareDots(each, dot) !== 0))
  return added.length === 0 ? a : [...a, ...added].sort(compareDots)
}

function sortedById(siblings: Iterable<Sibling>): Sibling[] {
  return [...siblings].sort((a, b) => compareTexts(a.write.id, b.write.id))
}

function joinedPast(a: readonly PastWriteId[], b: readonly PastWriteId[]): readonly PastWriteId[] {
  if (b.length === 0) return a
  const ranks = new Map<WriteId, number>()
  for (const { id, rank } of [...a, ...b]) ranks.set(id, Math.max(rank, ranks.get(id) ?? 0))
  return [...ranks]
    .map(([id, rank]) => ({ rank, id }))
    .sort((x, y) => y.rank - x.rank || compareTexts(x.id, y.id))
    .slice(0, limits.recordPastIdsMax)
}

export function compareDots(a: Dot, b: Dot): number {
  return compareTexts(a.store, b.store) || a.count - b.count
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
