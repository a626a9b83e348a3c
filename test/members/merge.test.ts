// The laws of the book: whatever members hear, in whatever order and however often, they end with the same book. Checked
// with generated entries; ends with the view and the digest, which follow from the book alone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.ts'
import { epochOf } from '../../src/core/member.ts'
import { type Entry, signClaim, signNotice } from '../../src/members/claim.ts'
import { type Book, compareEntries, digestOf, merge, viewOf } from '../../src/members/merge.ts'
import { newPeerId } from '../twins/dht.ts'
import { twinSigner } from './signer.ts'

const random = seededRandom(1)
const peers = Array.from({ length: 4 }, () => newPeerId(random))
const signers = peers.map(twinSigner)

const claims = fc
  .record({
    at: fc.nat(peers.length - 1),
    incarnation: fc.nat(4),
    state: fc.constantFrom('joined', 'leaving', 'left'),
    zone: fc.constantFrom('home', 'office'),
    capacity: fc.nat(2),
  })
  .map(({ at, ...rest }) => signClaim(signers[at]!, { ...rest, peer: peers[at]!, addresses: [] }))
const notices = fc
  .tuple(fc.nat(peers.length - 1), fc.nat(peers.length - 1))
  .map(([by, about]) => signNotice(signers[by]!, peers[about]!))
const entries = fc.array(fc.oneof({ weight: 5, arbitrary: claims }, { weight: 1, arbitrary: notices }), {
  maxLength: 12,
})

const empty: Book = new Map()
const bookOf = (list: Entry[]) => merge(empty, list).book
const told = (book: Book) => [...book.values()].map(({ id }) => id).sort()
const together = (a: Book, b: Book) => merge(a, b.values()).book

test('merging is commutative, associative and idempotent', () => {
  fc.assert(
    fc.property(entries, entries, entries, (a, b, c) => {
      const [x, y, z] = [bookOf(a), bookOf(b), bookOf(c)]
      assert.deepEqual(told(together(x, y)), told(together(y, x)))
      assert.deepEqual(told(together(together(x, y), z)), told(together(x, together(y, z))))
      assert.equal(together(x, x), x)
      assert.deepEqual(told(bookOf([...a, ...b])), told(together(x, y)))
    }),
  )
})

test('the order of entries about one peer is total, and equal only for the same bytes', () => {
  fc.assert(
    fc.property(entries, (list) => {
      for (const a of list) {
        for (const b of list) {
          assert.equal(Math.sign(compareEntries(a, b)), -Math.sign(compareEntries(b, a)) + 0)
          assert.equal(compareEntries(a, b) === 0, a.id === b.id)
        }
      }
    }),
  )
})

test('a higher incarnation holds, and a notice holds against all of them', () => {
  fc.assert(
    fc.property(entries, (list) => {
      for (const [peer, entry] of bookOf(list)) {
        const about = list.filter((other) => other.peer === peer)
        if (about.some(({ kind }) => kind === 'forgotten')) assert.equal(entry.kind, 'forgotten')
        else {
          const highest = Math.max(...about.map((one) => (one.kind === 'claim' ? one.claim.incarnation : -1)))
          assert.equal(entry.kind === 'claim' && entry.claim.incarnation, highest)
        }
      }
    }),
  )
})

test('news are what changed, and digest and view follow from the book alone', () => {
  fc.assert(
    fc.property(entries, entries, (a, b) => {
      const before = bookOf(a)
      const { book, news } = merge(before, b)
      assert.deepEqual(
        told(new Map(news.map((entry) => [entry.peer, entry]))),
        [...book.values()]
          .filter((entry) => before.get(entry.peer)?.id !== entry.id)
          .map(({ id }) => id)
          .sort(),
      )
      const other = bookOf([...b, ...a].reverse())
      assert.deepEqual(digestOf(book), digestOf(other))
      assert.deepEqual(viewOf(book), viewOf(other))
      if (news.length > 0) assert.notDeepEqual(digestOf(book), digestOf(before))
    }),
  )
})

test('the view has those who joined, and its epoch is the same in any order', () => {
  const joined = { incarnation: 1, zone: 'home', capacity: 5, addresses: [] }
  const states = ['joined', 'leaving', 'left', 'joined'] as const
  const all = states.map((state, at) => signClaim(signers[at]!, { ...joined, peer: peers[at]!, state }))
  const view = viewOf(bookOf(all))
  assert.deepEqual(
    view.members.map(({ peer }) => peer),
    [peers[0]!, peers[3]!].sort(),
  )
  assert.equal(view.epoch, epochOf(view.members.toReversed()))
  assert.match(view.epoch, /^[0-9a-f]{32}$/)
  assert.notEqual(view.epoch, epochOf(view.members.map((member) => ({ ...member, zone: 'elsewhere' }))))
  assert.notEqual(view.epoch, epochOf(view.members.slice(1)))
})
