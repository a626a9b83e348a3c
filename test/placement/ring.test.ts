// Placement against an oracle that walks the ring token by token with bigints, and against what the design promises of it:
// even load, joins that move a fair share and only to the new member, zones never doubled while one is free.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { base58btc } from 'multiformats/bases/base58'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { partitionCount } from '../../src/core/limits.ts'
import type { RingMember, View } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { movesBetween, ringOf, viewOf } from '../../src/placement/ring.ts'

const GB = 1_000_000_000
const partitions = Array.from({ length: partitionCount }, (_, partition) => partition)

// As an Ed25519 PeerId is written: the multihash of a protobuf with 32 bytes of key.
function peerId(random: Random): PeerId {
  return base58btc.baseEncode(Buffer.concat([Buffer.from('002408011220', 'hex'), random.bytes(32)])) as PeerId
}

function equalMembers(count: number, zones: number, random: Random): RingMember[] {
  return Array.from({ length: count }, (_, index) => ({
    peer: peerId(random),
    zone: `zone ${index % zones}`,
    capacity: 100 * GB,
  }))
}

function loads(view: View, n: number): Map<PeerId, number> {
  const counts = new Map<PeerId, number>()
  for (const partition of partitions)
    for (const peer of ringOf(view).owners(partition, n)) counts.set(peer, (counts.get(peer) ?? 0) + 1)
  return counts
}

const zonesOf = ({ members }: View) => new Map(members.map(({ peer, zone }) => [peer, zone]))

interface Token {
  at: bigint
  peer: PeerId
  zone: string
}

function oracleTokens(members: readonly RingMember[]): Token[] {
  const tokens = members.flatMap(({ peer, zone, capacity }) => {
    const count = capacity === 0 ? 0 : Math.min(4_096, Math.max(16, Math.round((256 * capacity) / (100 * GB))))
    return Array.from({ length: count }, (_, index) => {
      const hash = createHash('sha256').update(`${peer}/${index}`).digest('hex')
      return { at: BigInt(`0x${hash.slice(0, 16)}`), peer, zone }
    })
  })
  return tokens.sort((a, b) => (a.at < b.at ? -1 : 1))
}

function oracleOwners(tokens: Token[], partition: number, n: number): PeerId[] {
  const start = (BigInt(partition) * 2n ** 64n) / BigInt(partitionCount)
  const first = tokens.findIndex(({ at }) => at >= start)
  const clockwise = first < 0 ? tokens : [...tokens.slice(first), ...tokens.slice(0, first)]
  const holders = new Set(tokens.map(({ peer }) => peer)).size
  const owners: PeerId[] = []
  while (owners.length < Math.min(n, holders)) {
    const used = new Set<string>()
    for (const { peer, zone } of clockwise) {
      if (used.has(zone) || owners.includes(peer) || owners.length === n) continue
      owners.push(peer)
      used.add(zone)
    }
  }
  return owners
}

const someMembers = (most: number) =>
  fc.uniqueArray(
    fc.record({
      peer: fc.nat().map((number) => `12D3KooW${number}` as PeerId),
      zone: fc.constantFrom('home', 'office', 'attic', ''),
      capacity: fc.oneof(
        fc.constant(0),
        fc.nat(40 * GB),
        fc.integer({ min: 1, max: 400 }).map((size) => size * GB),
      ),
    }),
    { selector: ({ peer }) => peer, maxLength: most },
  )

test('owners are those of a naive walk', () => {
  const somePartitions = fc.array(fc.nat(partitionCount - 1), { minLength: 4, maxLength: 4 })
  fc.assert(
    fc.property(someMembers(9), somePartitions, fc.integer({ min: 1, max: 11 }), (members, some, n) => {
      const ring = ringOf(viewOf(members))
      const tokens = oracleTokens(members)
      for (const partition of [0, ...some, partitionCount - 1])
        assert.deepEqual(ring.owners(partition, n), oracleOwners(tokens, partition, n))
    }),
    { numRuns: 60 },
  )
})

test('few owners are the beginning of many, whichever are asked for first', () => {
  const members = equalMembers(12, 3, seededRandom(1))
  const ring = ringOf(viewOf(members))
  const three = partitions.map((partition) => ring.owners(partition, 3))
  for (const partition of partitions) {
    const all = ring.owners(partition, 12)
    assert.equal(new Set(all).size, 12)
    assert.deepEqual(all.slice(0, 3), three[partition])
    assert.deepEqual(ring.owners(partition, 3), three[partition])
  }
})

test('a zone is not used twice while another is free, and zones fill evenly', () => {
  fc.assert(
    fc.property(someMembers(9), fc.integer({ min: 1, max: 9 }), (members, n) => {
      const view = viewOf(members)
      const zones = zonesOf(view)
      const holders = members.filter(({ capacity }) => capacity > 0)
      const room = Map.groupBy(holders, ({ zone }) => zone)
      for (const partition of partitions.slice(0, 500)) {
        const owners = ringOf(view).owners(partition, n)
        const used = Map.groupBy(owners, (peer) => zones.get(peer)!)
        const most = Math.max(0, ...[...used.values()].map(({ length }) => length))
        for (const [zone, { length }] of room) assert.ok((used.get(zone)?.length ?? 0) >= Math.min(most - 1, length))
      }
    }),
    { numRuns: 30 },
  )
})

test('100 equal members in 5 zones: the greatest load is at most 1.2 times the mean', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const view = viewOf(equalMembers(100, 5, seededRandom(seed)))
    const counts = [...loads(view, 3).values()]
    assert.equal(counts.length, 100)
    const ratio = Math.max(...counts) / ((3 * partitionCount) / 100)
    assert.ok(ratio <= 1.2, `${ratio} with seed ${seed}`)
  }
})

test('a join of a large cluster moves at most 1.2 times a fair share, and only to the new member', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const random = seededRandom(seed)
    const members = equalMembers(101, 5, random)
    const joining = members[seed]!
    const [before, after] = [viewOf(members.filter((member) => member !== joining)), viewOf(members)]
    const moves = movesBetween(before, after, 3)
    assert.ok(moves.length <= (1.2 * 3 * partitionCount) / 101, `${moves.length} with seed ${seed}`)
    for (const { gained, lost } of moves) {
      assert.deepEqual(gained, [joining.peer])
      assert.equal(lost.length, 1)
    }
  }
})

test('any join moves only to the new member, and its leaving moves only from it', () => {
  fc.assert(
    fc.property(someMembers(8), fc.integer({ min: 1, max: 5 }), (members, n) => {
      const [joining, ...others] = members
      if (!joining) return
      const [without, within] = [viewOf(others), viewOf(members)]
      const joins = movesBetween(without, within, n)
      for (const { gained, lost } of joins) {
        assert.deepEqual(gained, [joining.peer])
        assert.ok(lost.length <= 1)
      }
      const leaves = movesBetween(within, without, n)
      assert.deepEqual(
        leaves,
        joins.map(({ partition, gained, lost }) => ({ partition, gained: lost, lost: gained })),
      )
      if (joining.capacity === 0) assert.equal(joins.length, 0)
      else assert.equal(joins.length, loads(within, n).get(joining.peer) ?? 0)
    }),
    { numRuns: 25 },
  )
})

test('moves are exactly the partitions whose owners differ', () => {
  const random = seededRandom(9)
  const members = equalMembers(9, 3, random)
  const [from, to] = [viewOf(members.slice(0, 7)), viewOf(members.slice(2))]
  const moves = new Map(movesBetween(from, to, 3).map((move) => [move.partition, move]))
  for (const partition of partitions) {
    const [old, now] = [ringOf(from).owners(partition, 3), ringOf(to).owners(partition, 3)]
    const { gained = [], lost = [] } = moves.get(partition) ?? {}
    assert.deepEqual(new Set(old.filter((peer) => !lost.includes(peer)).concat(gained)), new Set(now))
    assert.ok(gained.every((peer) => !old.includes(peer)) && lost.every((peer) => old.includes(peer)))
  }
  assert.deepEqual(movesBetween(from, viewOf(members.slice(0, 7)), 3), [])
})

test('neither epoch nor owners depend on the order of the members', () => {
  fc.assert(
    fc.property(someMembers(8), fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (members, chance) => {
      const shuffled = members
        .map((member) => ({ member, at: chance.next().value as number }))
        .sort((a, b) => a.at - b.at)
        .map(({ member }) => member)
      assert.deepEqual(viewOf(shuffled), viewOf(members))
    }),
  )
})

test('every part of a member is in the epoch', () => {
  const [member, other] = equalMembers(2, 2, seededRandom(3)) as [RingMember, RingMember]
  const views = [
    [],
    [member],
    [other],
    [member, other],
    [{ ...member, zone: 'elsewhere' }],
    [{ ...member, zone: 'else","where' }],
    [{ ...member, capacity: member.capacity + 1 }],
    [{ ...member, capacity: 0 }],
  ]
  assert.equal(new Set(views.map((members) => viewOf(members).epoch)).size, views.length)
  assert.match(viewOf(views[1]!).epoch, /^[0-9a-f]{32}$/)
})

// Peers of one version must agree for ever: when this fails, `placementVersion` has to change with it.
test('placement is what this version has always had', () => {
  const members = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name, index) => ({
    peer: `12D3KooW${name}` as PeerId,
    zone: `zone ${index % 4}`,
    capacity: index * 37 * GB,
  }))
  const view = viewOf(members)
  const hash = createHash('sha256')
  for (const partition of partitions) hash.update(ringOf(view).owners(partition, 5).join(' '))
  assert.equal(view.epoch, '0d9993e3c265e5b18a9ea20927a211ce')
  assert.equal(hash.digest('hex').slice(0, 16), 'ce1e92787e240902')
})

test('load and share follow capacity', () => {
  const random = seededRandom(4)
  const sizes = [50, 100, 200, 400, 800, 0]
  const members = sizes.map((size) => ({ peer: peerId(random), zone: 'home', capacity: size * GB }))
  const view = viewOf(members)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  for (const { peer, capacity } of members) {
    const fair = capacity / GB / total
    const share = ringOf(view).share(peer)
    assert.ok(Math.abs(share - fair) <= 0.25 * fair, `${share} instead of ${fair}`)
    assert.equal(share, (loads(view, 1).get(peer) ?? 0) / partitionCount)
  }
  assert.equal(ringOf(view).share('12D3KooWnobody' as PeerId), 0)
})

test('the smallest and the largest member have shares within limits', () => {
  const random = seededRandom(5)
  const member = (capacity: number) => ({ peer: peerId(random), zone: 'home', capacity })
  const [tiny, small, huge] = [member(1), member(6.25 * GB), member(Number.MAX_SAFE_INTEGER)]
  const ring = ringOf(viewOf([tiny, small, huge]))
  for (const { peer } of [tiny, small]) assert.ok(Math.abs(ring.share(peer) * (4_096 + 32) - 16) < 12)
})

test('capacity 0 owns nothing; without anyone who holds anything there are no owners', () => {
  const [first, second] = equalMembers(2, 1, seededRandom(6)) as [RingMember, RingMember]
  const empty = { ...second, capacity: 0 }
  for (const partition of partitions) {
    assert.deepEqual(ringOf(viewOf([first, empty])).owners(partition, 3), [first.peer])
    assert.deepEqual(ringOf(viewOf([empty])).owners(partition, 3), [])
  }
  assert.equal(ringOf(viewOf([first, empty])).share(first.peer), 1)
  assert.equal(ringOf(viewOf([])).share(first.peer), 0)
})

test('what is no view, or no partition, is refused', () => {
  const [member] = equalMembers(1, 1, seededRandom(7)) as [RingMember]
  assert.throws(() => viewOf([member, { ...member, zone: 'elsewhere' }]), /twice/)
  for (const capacity of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => viewOf([{ ...member, capacity }]), /capacity/)
  for (const partition of [-1, 0.5, partitionCount, Number.NaN])
    assert.throws(() => ringOf(viewOf([member])).owners(partition, 1), RangeError)
})

test('a ring is worked out once', () => {
  const members = equalMembers(3, 1, seededRandom(8))
  assert.equal(ringOf(viewOf(members)), ringOf(viewOf(members.toReversed())))
})
