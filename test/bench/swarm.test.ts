// A swarm: its plan and its figures, which are pure, and a small one that really runs, churns and goes away.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/random.ts'
import { type AskOutcome, type Gauge, type Outcome, SwarmPeers } from '../../src/bench/swarm-peers.ts'
import { contentKey, planRound, type Round } from '../../src/bench/swarm-plan.ts'
import { askedOf, costOf, recallOf, swarmLines } from '../../src/bench/swarm-report.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { secretsOf } from '../../src/net/secrets.ts'
import { settled, until } from '../twins/until.ts'

const round: Round = { durationMs: 1_000, kills: 3, starts: 2, asks: { announce: 4, find: 40, closest: 5 } }

function planned(seed: number) {
  const roll = new Map<PeerId, { process: number; address: string }>()
  for (let index = 0; index < 10; index++)
    roll.set(`peer-${index}` as PeerId, { process: index % 2, address: `address-${index}` })
  const contents = new Map([...roll.keys()].map((peer, index) => [index, peer]))
  return planRound({ roll, contents, processes: 2, random: seededRandom(seed) }, round)
}

test('a plan comes from its seed, gives each process its own, and nothing in it waits for the dead', () => {
  const plan = planned(1)
  assert.deepEqual(planned(1), plan)
  assert.notDeepEqual(planned(2), plan)
  const steps = plan.flat()
  const count = (kind: string) => steps.filter((step) => step.do === kind).length
  assert.deepEqual(['kill', 'start', 'announce', 'find', 'closest'].map(count), [3, 2, 4, 40, 5])
  const killed = new Set(steps.flatMap((step) => (step.do === 'kill' ? [step.peer] : [])))
  assert.equal(killed.size, 3)
  for (const [process, own] of plan.entries()) {
    assert.deepEqual(
      own.map(({ atMs }) => atMs),
      own.map(({ atMs }) => atMs).sort((a, b) => a - b),
    )
    for (const step of own) {
      assert(step.atMs >= 0 && step.atMs < round.durationMs)
      if (step.do === 'start') {
        assert.equal(step.bootstrap.length, 3)
        assert(!step.bootstrap.some((address) => killed.has(address.replace('address', 'peer') as PeerId)))
        continue
      }
      assert.equal(Number(step.peer.slice(5)) % 2, process)
      if (step.do === 'find') assert(!killed.has(step.announcer) && step.announcer !== step.peer)
      if (step.do !== 'kill') assert(!killed.has(step.peer))
    }
  }
  const fresh = steps.flatMap((step) => (step.do === 'announce' ? [step.content] : []))
  assert.deepEqual(fresh.sort(), [10, 11, 12, 13])
})

test('lookups are summed up: what succeeded, how far, how fast, and why not', () => {
  const ask = (tookMs: number, rest: Partial<AskOutcome> = {}): AskOutcome => ({
    ...{ do: 'find', peer: 'a' as PeerId, content: 0, ok: true, tookMs, asked: 4, failed: 0, hops: 1 },
    ...rest,
  })
  const { hops, ...lost } = ask(1_000, { ok: false, why: 'no answer', asked: 8, failed: 4 })
  assert.equal(hops, 1)
  const asked = askedOf([ask(10), ask(20, { hops: 3 }), ask(30), lost])
  assert.deepEqual(asked, {
    ...{ lookups: 4, succeeded: 0.75, hopsMedian: 1, hopsP99: 3, askedMean: 5, failedMean: 1 },
    ...{ medianMs: 25, p99Ms: 1_000, failures: { 'no answer': 1 } },
  })
  const cost = costOf([gauge({ peers: 4, cpuMs: 3_000 }), gauge({ peers: 6, lateMs: 7 })], [gauge({}), gauge({})], 10)
  assert.equal(cost.peers, 10)
  assert.equal(cost.mbPerPeer, 20)
  assert.equal(cost.connectionsPerPeer, 4)
  assert.equal(cost.corePerPeer, 0.02)
  assert.equal(cost.lateMs, 7)
  const lines = swarmLines([{ phase: 'churn', seconds: 10, killed: 1, started: 1, asks: { find: asked }, cost }])
  assert.match(lines.join('\n'), /churn +find providers +4 +75\.0 %/)
  assert.match(lines.join('\n'), /1 times find failed: no answer/)
})

function gauge(some: Partial<Gauge>): Gauge {
  const figures = { rssBytes: 100e6, emptyRssBytes: 50e6, heapBytes: 1, cpuMs: 1_000, connections: 20, known: 10 }
  return { peers: 5, ...figures, lateMs: 1, files: 30, ...some }
}

test('a lookup for servers is held to those that were there all the time', () => {
  const peers = Array.from({ length: 30 }, () => peerIdOf(newIdentity()))
  const key = contentKey(1, 1)
  const recall = (found: PeerId[], passing: PeerId[] = []) =>
    recallOf(key, {
      found,
      asker: peers[0]!,
      steady: peers.filter((peer) => !passing.includes(peer)),
      passing: new Set(passing),
    })
  assert.equal(recall(peers), 1)
  assert.equal(recall([]), 0)
  const nearest = peers
    .slice(1)
    .sort((a, b) => recall([b]) - recall([a]))
    .slice(0, 20)
  assert.equal(recall(nearest), 1)
  assert.equal(recall(nearest.slice(1)), 0.95)
  assert.equal(recall(nearest.slice(1), [nearest[0]!]), 0.95)
})

test('a swarm finds what it announced while some are killed and others come, and leaves nothing behind', async () => {
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length
  const before = sockets()
  const secrets = secretsOf({ kind: 'member', bytes: new Uint8Array(32).fill(9) })
  await using peers = new SwarmPeers({}, { secrets, seed: 1 })
  const roll = new Map<PeerId, { process: number; address: string }>()
  const contents = new Map<number, PeerId>()
  const random = seededRandom(1)
  const run = async (some: Partial<Round>): Promise<Outcome[]> => {
    const whole = {
      durationMs: 0,
      kills: 0,
      starts: 0,
      ...some,
      asks: { announce: 0, find: 0, closest: 0, ...some.asks },
    }
    const [plan] = planRound({ roll, contents, processes: 1, random }, whole)
    const outcomes = await peers.run(plan!)
    for (const outcome of outcomes) {
      if (outcome.do === 'start') roll.set(outcome.peer, { process: 0, address: outcome.address })
      if (outcome.do === 'announce') contents.set(outcome.content, outcome.peer)
      if (outcome.do !== 'kill') continue
      roll.delete(outcome.peer)
      for (const [content, announcer] of contents) if (announcer === outcome.peer) contents.delete(content)
    }
    return outcomes
  }
  for (const starts of [1, 3, 8]) await run({ starts })
  await until('all have met some', () => peers.gauge().known >= 12 * 3)
  await settled('who is connected', () => peers.gauge().connections)
  const good = (outcomes: Outcome[]) =>
    outcomes.every((outcome) => outcome.do === 'start' || outcome.do === 'kill' || outcome.ok)
  assert(good(await run({ asks: { announce: 6, find: 0, closest: 0 } })))
  const churned = await run({ durationMs: 500, kills: 2, starts: 2, asks: { announce: 1, find: 8, closest: 2 } })
  assert(good(churned), JSON.stringify(churned))
  assert.equal(peers.gauge().peers, 12)
  assert(good(await run({ asks: { announce: 0, find: 6, closest: 2 } })))
  await peers[Symbol.asyncDispose]()
  assert.equal(peers.gauge().peers, 0)
  await until('all sockets are closed', () => sockets() <= before)
})
