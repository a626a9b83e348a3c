// What is known of all members, and how two such books become one. For each peer the book has one entry, and of any two
// entries about a peer one outranks the other, the same one everywhere: so merging is commutative, associative and
// idempotent, and members that hear the same things in any order, any number of times, end with the same book. Pure.
import { sha256 } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import { epochOf, type RingMember, type View } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { ClaimEntry, Entry } from './claim.ts'

/** In the order of the PeerIds. */
export type Book = ReadonlyMap<PeerId, Entry>

/**
 * Positive if `a` holds against `b`, 0 if they are the same: a notice against every claim, a higher incarnation against a
 * lower one, and of one incarnation claimed twice (by copies of one disk) the greater bytes, for want of anything better.
 */
export function compareEntries(a: Entry, b: Entry): number {
  if (a.kind !== b.kind) return a.kind === 'forgotten' ? 1 : -1
  if (a.kind === 'claim' && b.kind === 'claim' && a.claim.incarnation !== b.claim.incarnation)
    return a.claim.incarnation - b.claim.incarnation
  return Buffer.compare(a.bytes, b.bytes)
}

/** True if the book would take this entry: it is new, and there is room. */
export function isNews(book: Book, entry: Entry): boolean {
  const known = book.get(entry.peer)
  if (known) return compareEntries(entry, known) > 0
  const most = entry.kind === 'claim' ? limits.membersMax : limits.forgottenMax
  // Counting takes long, and a cluster with room for all is common.
  return book.size < most || [...book.values()].filter(({ kind }) => kind === entry.kind).length < most
}

/** The book with these entries, and those of them that were news. The same object if none was. */
export function merge(book: Book, entries: Iterable<Entry>): { book: Book; news: Entry[] } {
  const merged = new Map(book)
  const news = new Map<PeerId, Entry>()
  for (const entry of entries) {
    if (!isNews(merged, entry)) continue
    merged.set(entry.peer, entry)
    news.set(entry.peer, entry)
  }
  if (news.size === 0) return { book, news: [] }
  const isInOrder = merged.size === book.size
  return { book: isInOrder ? merged : inOrder(book, merged), news: [...news.values()] }
}

/** The claims in the book. */
export function claimsOf(book: Book): ClaimEntry[] {
  return [...book.values()].filter((entry) => entry.kind === 'claim')
}

/** What the ring is made of: everyone who has joined and does not leave. */
export function viewOf(book: Book): View {
  const joined = claimsOf(book).filter(({ claim }) => claim.state === 'joined')
  const members = joined.map(({ claim: { peer, zone, capacity } }): RingMember => {
    return Object.freeze({ peer, zone, capacity })
  })
  return Object.freeze({ epoch: epochOf(members), members: Object.freeze(members) })
}

/** True if a view is another one after this entry than with what was known of the peer. */
export function changesView(known: Entry | undefined, entry: Entry): boolean {
  const [before, after] = [known, entry].map((one) => {
    return one?.kind === 'claim' && one.claim.state === 'joined' ? one.claim : undefined
  })
  return before?.peer !== after?.peer || before?.zone !== after?.zone || before?.capacity !== after?.capacity
}

/** 32 bytes that are equal for equal books only. */
export function digestOf(book: Book): Uint8Array {
  const ids = [...book.values()].map(({ id }) => id)
  return sha256(new TextEncoder().encode(ids.join()))
}

/** `merged` in order, which has what `book` has, and more. */
function inOrder(book: Book, merged: Book): Book {
  const added = [...merged.keys()].filter((peer) => !book.has(peer)).sort()
  const ordered = new Map<PeerId, Entry>()
  let next = 0
  for (const peer of book.keys()) {
    while (next < added.length && added[next]! < peer) ordered.set(added[next]!, merged.get(added[next++]!)!)
    ordered.set(peer, merged.get(peer)!)
  }
  while (next < added.length) ordered.set(added[next]!, merged.get(added[next++]!)!)
  return ordered
}
