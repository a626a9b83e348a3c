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
  readonly dot: Dot
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
  const current = [
    ...a.siblings.filter(({ dot }) => !covers(b.seen, dot) || hasDot(b, dot)),
    ...b.siblings.filter(({ dot }) => !covers(a.seen, dot)),
  ]
  return withOneDotEach({ seen: joined(a.seen, b.seen), siblings: current, past: joinedPast(a.past, b.past) })
}

/** The set after a new write under a new dot: it replaces what its author had seen. A write that is known changes nothing. */
export function issue(set: SiblingSet, write: Write, dot: Dot): SiblingSet {
  if (knows(set, write.id)) return set
  const { seen, writes } = write.context
  const rank = [...seen.values()].reduce((sum, count) => sum + count, 0)
  const isReplaced = (sibling: Sibling) => covers(seen, sibling.dot) || writes.includes(sibling.write.id)
  const replaced = new Set([...writes, ...set.siblings.filter(isReplaced).map((sibling) => sibling.write.id)])
  return withOneDotEach({
    seen: joined(joined(set.seen, seen), new Map([[dot.store, dot.count]])),
    siblings: [...set.siblings.filter((sibling) => !isReplaced(sibling)), { dot, write }],
    past: joinedPast(
      set.past,
      [...replaced].map((id) => ({ rank, id })),
    ),
  })
}

/** True if merging `b` into `a` would change nothing. */
export function includes(a: SiblingSet, b: SiblingSet): boolean {
  return (
    [...b.seen].every(([store, count]) => (a.seen.get(store) ?? 0) >= count) &&
    a.siblings.every(({ dot }) => !covers(b.seen, dot) || hasDot(b, dot))
  )
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

function hasDot(set: SiblingSet, { store, count }: Dot): boolean {
  return set.siblings.some(({ dot }) => dot.count === count && dot.store === store)
}

// Of several dots of one write the lowest stays, so that replicas which saw different ones agree once they have seen all.
function withOneDotEach(set: SiblingSet): SiblingSet {
  const past = new Set(set.past.map(({ id }) => id))
  const byId = new Map<WriteId, Sibling>()
  for (const sibling of set.siblings) {
    const { id } = sibling.write
    const other = byId.get(id)
    if (!past.has(id) && (!other || compareDots(sibling.dot, other.dot) < 0)) byId.set(id, sibling)
  }
  const siblings = [...byId.values()].sort((a, b) => compareTexts(a.write.id, b.write.id))
  return { ...set, siblings }
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

function compareDots(a: Dot, b: Dot): number {
  return compareTexts(a.store, b.store) || a.count - b.count
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
