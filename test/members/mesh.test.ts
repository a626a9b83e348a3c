// Whom members keep lines to: that all agree on it, that it holds together even when many are gone, that everybody has as
// many lines as the others, and that little changes when one comes or goes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { nearOf, neighboursOf } from '../../src/members/mesh.ts'
import { newPeerId } from '../twins/dht.ts'

type Lines = ReadonlyMap<PeerId, ReadonlySet<PeerId>>

const most = 2 * limits.meshCircles

function peersOf(count: number, seed: number): PeerId[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => newPeerId(random))
}

function linesOf(peers: readonly PeerId[]): Lines {
  return new Map(
    peers.map((peer) => [
      peer,
      neighboursOf(
        peer,
        peers.filter((other) => other !== peer),
      ),
    ]),
  )
}

/** How many others the first can get to, over lines between those that are left. */
function reached(lines: Lines, first: PeerId): Map<PeerId, number> {
  const steps = new Map([[first, 0]])
  for (const [peer, far] of steps)
    for (const other of lines.get(peer) ?? []) if (lines.has(other) && !steps.has(other)) steps.set(other, far + 1)
  return steps
}

/** Lines that are in one and not in the other. */
function changed(before: Lines, after: Lines): string[] {
  const pairs = (lines: Lines) =>
    new Set([...lines].flatMap(([peer, others]) => [...others].map((other) => [peer, other].sort().join())))
  const [a, b] = [pairs(before), pairs(after)]
  return [...[...a].filter((pair) => !b.has(pair)), ...[...b].filter((pair) => !a.has(pair))]
}

const sizes = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 60, max: 300 }))

test('a small cluster is a full mesh', () => {
  for (const count of [1, 2, 5, limits.meshFullMax + 1]) {
    const peers = peersOf(count, count)
    for (const [, others] of linesOf(peers)) assert.equal(others.size, count - 1)
  }
})

test('both ends want a line, nobody has more than he should, and all hang together', () => {
  const property = fc.property(sizes, fc.integer(), (count, seed) => {
    const peers = peersOf(count, seed)
    const lines = linesOf(peers)
    for (const [peer, others] of lines) {
      assert.ok(!others.has(peer))
      assert.ok(others.size <= most, `${others.size} lines`)
      assert.ok(others.size >= Math.min(count - 1, limits.meshCircles), `${others.size} lines of ${count}`)
      for (const other of others) assert.ok(lines.get(other)?.has(peer), 'only one end wants a line')
    }
    assert.equal(reached(lines, peers[0]!).size, count)
  })
  fc.assert(property, { numRuns: 30 })
})

test('the order in which others are known does not matter', () => {
  const property = fc.property(fc.shuffledSubarray(peersOf(80, 1), { minLength: 80 }), ([self, ...others]) => {
    assert.deepEqual([...neighboursOf(self!, others)].sort(), [...neighboursOf(self!, others.sort())].sort())
  })
  fc.assert(property, { numRuns: 20 })
})

test('among 500 everybody has about as many lines, and is three steps from anybody', () => {
  const peers = peersOf(500, 7)
  const lines = linesOf(peers)
  const counts = [...lines.values()].map(({ size }) => size)
  assert.ok(Math.min(...counts) >= 0.8 * most, `${Math.min(...counts)} lines`)
  for (const peer of peers.slice(0, 50)) assert.ok(Math.max(...reached(lines, peer).values()) <= 3)
})

test('it holds together when half of all are gone at once', () => {
  const property = fc.property(fc.integer({ min: 40, max: 250 }), fc.integer(), (count, seed) => {
    const peers = peersOf(count, seed)
    const left = peers.slice(0, Math.ceil(count / 2))
    const all = linesOf(peers)
    const lines = new Map(left.map((peer) => [peer, all.get(peer)!]))
    assert.equal(reached(lines, left[0]!).size, left.length)
  })
  fc.assert(property, { numRuns: 30 })
})

test('one who joins or leaves changes few lines', () => {
  const property = fc.property(fc.integer({ min: limits.meshFullMax + 2, max: 250 }), fc.integer(), (count, seed) => {
    const peers = peersOf(count + 1, seed)
    // Those to the newcomer, and for each circle the one that he stands between now.
    assert.ok(changed(linesOf(peers.slice(1)), linesOf(peers)).length <= most + limits.meshCircles)
  })
  fc.assert(property, { numRuns: 20 })
})

test('the living hang together however many are dead, and most of the dead are looked for', () => {
  const peers = peersOf(200, 3)
  const living = peers.slice(0, 20)
  const dead = new Set(peers.slice(20))
  const near = new Map(
    living.map((peer) => [
      peer,
      nearOf(
        peer,
        peers.filter((other) => other !== peer),
        dead,
      ),
    ]),
  )
  assert.equal(reached(near, living[0]!).size, living.length)
  assert.ok([...near.values()].every(({ size }) => size <= 2 * most))
  const lookedFor = new Set([...near.values()].flatMap((others) => [...others]))
  assert.ok(lookedFor.intersection(dead).size >= 0.9 * dead.size)
})
