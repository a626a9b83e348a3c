// Whether failure detection keeps its promises, in simulated clusters: a member that fails is known dead by all within five
// seconds, one that lives is not called dead whatever the network and its machine do, and the load stays the same.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Swarm, SwarmNode } from './swarm.ts'

const seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

function deaths(swarm: Swarm): string[] {
  return swarm.changes
    .filter(({ liveness }) => liveness === 'dead')
    .map(({ atMs, at, peer }) => `${Math.round(atMs)} ms: ${at.peer.slice(-4)} thinks ${peer.slice(-4)} dead`)
}

for (const members of [2, 3, 4, 5, 8]) {
  test(`of ${members} members, one that fails is dead at all others within 5 s`, () => {
    for (const seed of seeds) {
      const swarm = new Swarm({ members, seed })
      swarm.runFor(10_000 + 137 * seed)
      const [victim] = swarm.nodes
      victim!.crash()
      const tookMs = swarm.runUntil(() => swarm.seenAs(victim!, 'dead'), 20_000)
      assert.ok(tookMs <= 5_000, `seed ${seed}: ${tookMs} ms`)
      assert.ok(swarm.changes.every(({ peer, liveness }) => peer === victim!.peer || liveness === 'alive'))
    }
  })
}

test('no living member is called dead in ten minutes of a network that loses a fifth', () => {
  for (const seed of seeds.slice(0, 4)) {
    const swarm = new Swarm({ members: 5, seed, loss: 0.2 })
    swarm.runFor(600_000)
    assert.deepEqual(deaths(swarm), [])
    // Or this shows nothing.
    assert.ok(swarm.changes.some(({ liveness }) => liveness === 'suspect'))
    assert.ok(swarm.nodes.some(({ refutations }) => refutations > 0))
  }
})

test('members that are paused for a moment again and again neither call others dead nor are called so', () => {
  for (const seed of seeds.slice(0, 4)) {
    const swarm = new Swarm({ members: 5, seed })
    for (let round = 0; round < 200; round++) {
      const node = swarm.nodes[Math.floor(swarm.random.unit() * swarm.nodes.length)]!
      node.pauseFor(200 + 1_800 * swarm.random.unit())
      swarm.runFor(3_000 * swarm.random.unit())
    }
    assert.deepEqual(deaths(swarm), [])
  }
})

test('a member that was paused for long accuses nobody when it goes on, and is alive again at all', () => {
  for (const seed of seeds) {
    const swarm = new Swarm({ members: 5, seed })
    swarm.runFor(5_000)
    const [sleeper] = swarm.nodes
    sleeper!.pauseFor(15_000)
    swarm.runFor(14_000)
    assert.ok(swarm.nodes.slice(1).every(({ detector }) => detector.livenessOf(sleeper!.peer) === 'dead'))
    assert.ok(swarm.runUntil(() => swarm.seenAs(sleeper!, 'alive'), 4_000) < 4_000)
    swarm.runFor(20_000)
    assert.ok(swarm.changes.every(({ at }) => at !== sleeper))
    assert.ok(swarm.seenAs(sleeper!, 'alive'))
  }
})

test('a laptop that wakes meets everyone before it suspects anyone', () => {
  for (const seed of seeds.slice(0, 4)) {
    const swarm = new Swarm({ members: 5, seed })
    swarm.runFor(5_000)
    const [sleeper, gone] = swarm.nodes
    sleeper!.pauseFor(3_600_000)
    swarm.runFor(3_599_000)
    gone!.crash()
    swarm.runFor(3_000)
    assert.equal(sleeper!.redials, 1)
    swarm.runFor(12_000)
    const own = swarm.changes.filter(({ at, peer }) => at === sleeper && peer !== gone!.peer)
    assert.deepEqual(own, [])
    assert.ok(swarm.seenAs(gone!, 'dead'))
  }
})

test('a wall clock that jumps while timers go on is taken for sleep, and harms nobody', () => {
  const swarm = new Swarm({ members: 3, seed: 1 })
  swarm.runFor(5_000)
  swarm.nodes[0]!.wallOffsetMs += 3_600_000
  swarm.runFor(3_000)
  assert.equal(swarm.nodes[0]!.redials, 1)
  swarm.nodes[0]!.wallOffsetMs -= 7_200_000
  swarm.runFor(30_000)
  assert.equal(swarm.nodes[0]!.redials, 1)
  assert.deepEqual(swarm.changes, [])
})

test('one member that hears nothing slows down, and the others are not taken in', () => {
  for (const seed of seeds.slice(0, 4)) {
    const swarm = new Swarm({ members: 8, seed })
    swarm.runFor(5_000)
    const [sick] = swarm.nodes
    // Its machine runs for 50 ms in every second.
    for (let second = 0; second < 60; second++) {
      sick!.pauseFor(950)
      swarm.runFor(1_000)
    }
    assert.ok(swarm.changes.every(({ peer, liveness }) => peer === sick!.peer || liveness !== 'dead'))
    assert.ok(
      swarm.changes.every(({ liveness }) => liveness !== 'dead'),
      deaths(swarm).join('\n'),
    )
  }
})

test('what a member sends does not grow with the number of members, and no message is large', () => {
  const rates = [5, 50, 500].map((members) => {
    const swarm = new Swarm({ members, seed: 7 })
    swarm.runFor(10_000)
    const sent = swarm.nodes.map(({ sentBytes }) => sentBytes / 10)
    assert.deepEqual(swarm.changes, [])
    return sent.reduce((sum, rate) => sum + rate, 0) / members
  })
  const [few, , many] = rates as [number, number, number]
  assert.ok(many < 1.1 * few, `bytes/s per member: ${rates.map(Math.round).join(', ')}`)
  console.log(`bytes/s per member at 5, 50, 500: ${rates.map(Math.round).join(', ')}`)
})

test('news travel in bounded messages, and reach all of a large cluster without any broadcast', () => {
  const swarm = new Swarm({ members: 200, seed: 3, loss: 0.05 })
  swarm.runFor(2_000)
  const news = swarm.nodes.slice(0, 40)
  const reached = new Set<SwarmNode>()
  for (const node of news) {
    node.incarnation = 2
    node.rumours.addEntry(node.claim())
  }
  const tookMs = swarm.runUntil(() => {
    for (const node of swarm.nodes)
      if (news.every(({ peer }) => peer === node.peer || node.knows(peer)! >= 2)) reached.add(node)
    return reached.size === swarm.nodes.length
  }, 60_000)
  assert.ok(tookMs < 60_000, `${reached.size} of ${swarm.nodes.length} know all`)
  assert.ok(swarm.nodes.every(({ greatestBytes }) => greatestBytes <= SwarmNode.messageBytesMax))
})
