// What announcing decides, and what exploring finds out, against a network that is known as a whole.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { explore } from '../../src/routing/explore.ts'
import { isWithin, positionOf, positionOfPeer, prefixOf, preimageOf } from '../../src/routing/keyspace.ts'
import {
  afterAnnouncing,
  assign,
  countWithin,
  nearest,
  nextSlotMs,
  postponed,
  type Root,
  restOf,
  toldBy,
} from '../../src/routing/sweep.ts'
import { VirtualClock } from '../twins/clock.ts'
import { newPeerId, SimulatedDht } from '../twins/dht.ts'

/** A network of `count` servers, and one peer outside of it. */
function network(count: number, seed: number) {
  const random = seededRandom(seed)
  const clock = new VirtualClock()
  const dht = new SimulatedDht(clock)
  dht.addServers(count, random)
  const self = newPeerId(random)
  const servers = [...dht.servers.keys()].map((peer) => ({ peer, addresses: [], position: positionOfPeer(peer) }))
  return { dht, servers, random, clock, self, deps: { dht: dht.portOf(self), self, clock, random } }
}

const rootOf = (key: Uint8Array): Root => ({ key, position: positionOf(key), dueMs: 0, attempt: 1 })
const neverAlone = () => false

test('an answer tells of all servers of the subtree that it is said to tell of', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 120 }), fc.integer(), (count, seed) => {
      const { servers, random } = network(count, seed)
      const position = positionOf(random.bytes(8))
      const found = nearest(servers, position)
      const told = toldBy(position, found, false)
      assert.ok(isWithin(position, told))
      assert.equal(countWithin(found, told), countWithin(servers, told))
    }),
    { numRuns: 60 },
  )
})

test('what is told and the rest of it make up a subtree, each part once', () => {
  assert.deepEqual(restOf('01', '01101'), ['01100', '0111', '010'])
  assert.deepEqual(restOf('01', '01'), [])
  assert.deepEqual(restOf('01', ''), [])
})

test('each root goes to the servers that are nearest to it', () => {
  const { dht, servers, random } = network(90, 3)
  const roots = Array.from({ length: 40 }, () => rootOf(random.bytes(34)))
  const { rootsOf, wanted } = assign(roots, servers)
  assert.equal(wanted, limits.dhtReplicas)
  for (const root of roots) {
    const told = [...rootsOf].filter(([, roots]) => roots.includes(root)).map(([server]) => server.peer)
    const expected = dht.nearest(root.key).map(({ peer }) => peer)
    assert.deepEqual(told.sort(), expected.sort())
  }
})

test('exploring finds all servers that the keys of its region need, in a few lookups', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 400 }), fc.integer(), async (count, seed) => {
      const { dht, random, deps } = network(count, seed)
      const key = random.bytes(34)
      const region = await explore(deps, key, neverAlone)
      assert.ok(isWithin(positionOf(key), region.prefix))
      assert.ok(dht.lookups <= 12, `${dht.lookups} lookups`)
      for (const other of [key, preimageOf(region.prefix, random), preimageOf(region.prefix, random)]) {
        const chosen = nearest([...region.servers.values()], positionOf(other)).map(({ peer }) => peer)
        const expected = dht.nearest(other).map(({ peer }) => peer)
        assert.deepEqual(chosen, expected)
      }
    }),
    { numRuns: 60 },
  )
})

test('a key that is alone in its region takes one lookup', async () => {
  const { dht, random, deps } = network(300, 5)
  const key = random.bytes(34)
  const region = await explore(deps, key, () => true)
  assert.equal(dht.lookups, 1)
  assert.equal(region.prefix, prefixOf(positionOf(key)))
  assert.ok(positionOf(key) && region.prefix.startsWith(region.slot) && region.slot.length < 20)
})

test('short answers in a large network are not taken for the whole network', async () => {
  const { dht, random, deps } = network(300, 6)
  const half = { ...deps.dht, closest: async (key: Uint8Array) => (await deps.dht.closest(key)).slice(0, 11) }
  const region = await explore({ ...deps, dht: half }, random.bytes(34), neverAlone)
  assert.notEqual(region.prefix, '')
  assert.ok(countWithin(region.servers.values(), region.prefix) >= limits.dhtReplicas)
  assert.ok(dht.lookups <= limits.exploreLookupsMax)
})

test('a liar who makes up servers all around costs a bounded number of lookups', async () => {
  const { random, deps } = network(30, 8)
  let lookups = 0
  const closest = async () => {
    lookups++
    // Different ones each time, so that nothing ever is covered.
    return Array.from({ length: 20 }, () => ({ peer: newPeerId(random), addresses: [] }))
  }
  await explore({ ...deps, dht: { ...deps.dht, closest } }, random.bytes(34), neverAlone)
  assert.ok(lookups <= limits.exploreLookupsMax, `${lookups} lookups`)
})

test('this peer is never among the servers that it announces to', async () => {
  const { dht, random, deps, self } = network(15, 9)
  dht.addServer(self)
  const region = await explore(deps, random.bytes(34), neverAlone)
  assert.equal(region.servers.size, 15)
  assert.ok(!region.servers.has(self))
})

test('a region has one slot in every cycle', () => {
  const prefix = fc.string({ unit: fc.constantFrom('0', '1'), maxLength: 40 })
  const phase = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  const cycleMs = times.announceEveryMs
  fc.assert(
    fc.property(prefix, phase, fc.integer({ min: 0, max: 2 ** 42 }), (some, phase, nowMs) => {
      const slotMs = nextSlotMs(some, phase, nowMs)
      assert.ok(slotMs > nowMs && slotMs <= nowMs + cycleMs)
      assert.equal(nextSlotMs(some, phase, slotMs - 1), slotMs)
      assert.equal(nextSlotMs(some, phase, slotMs), slotMs + cycleMs)
    }),
  )
  const slots = ['00', '01', '10', '11'].map((some) => nextSlotMs(some, 0, 0) % cycleMs)
  assert.deepEqual(
    slots,
    [0, 1, 2, 3].map((quarter) => (quarter * cycleMs) / 4),
    'the slots spread over the cycle',
  )
  assert.equal(nextSlotMs('11', 0.5, 0) % cycleMs, cycleMs / 4, 'and peers take turns')
})

test('half of the servers are enough; fewer mean another attempt, later each time', () => {
  const root = rootOf(Uint8Array.of(1))
  const announced = { nowMs: 1_000, wanted: 20, slotMs: 5_000 }
  assert.deepEqual(afterAnnouncing(root, 10, announced), { ...root, attempt: 0, dueMs: 5_000 })
  assert.equal(afterAnnouncing(root, 9, announced).attempt, 2)
  assert.equal(afterAnnouncing(root, 0, { ...announced, wanted: 0 }).attempt, 2, 'nobody to tell is no success')
  let last = postponed({ ...root, attempt: 0 }, 0)
  assert.deepEqual([last.dueMs, last.attempt], [times.announceRetryFirstMs, 2])
  for (let failures = 0; failures < 300; failures++) {
    const next = postponed(last, 0)
    assert.ok(next.dueMs >= last.dueMs && next.dueMs <= times.announceRetryMostMs && next.attempt <= 255)
    last = next
  }
  assert.equal(last.dueMs, times.announceRetryMostMs)
})
