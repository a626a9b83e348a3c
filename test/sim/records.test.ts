// Whole clusters of real members and records, in simulated trouble: fifty seeds keep every promise, one seed gives one run,
// and each bug that is planted is caught.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPeer } from '../../src/sim/peer.ts'
import { type Plant, plants } from '../../src/sim/plants.ts'
import { type RunResult, runSeed, storyOf } from '../../src/sim/run.ts'

const run = (seed: number, plant?: Plant): Promise<RunResult> =>
  runSeed((ports) => startPeer(ports, { copies: 3, plant }), {
    seed,
    peers: 5,
    steps: 200,
    disksLie: plant === 'ack-before-fsync',
  })

const seedsInAll = 50
const seedsAtATime = 5

for (let from = 1; from <= seedsInAll; from += seedsAtATime) {
  test(`seeds from ${from} on keep every promise`, async () => {
    for (let seed = from; seed < from + seedsAtATime; seed++) {
      const result = await run(seed)
      assert.equal(result.findings.length, 0, `seed ${seed}\n${storyOf(result).join('\n')}`)
      assert.ok(result.history.operations.filter(({ outcome }) => outcome === 'done').length > 50, `seed ${seed}`)
    }
  })
}

// Each of these found a bug once: an update lost by compare-and-set, acknowledged writes that were dropped by a member that
// left (twice) and by a stand-in that had become an owner, and a new member that forgot the others in a crash and decided
// alone. The last seven found one in the simulation: it judged while a member was yet to be forgotten, or to come back, took
// a write for lost that was replaced by one which its client had given up, and had nobody forget a new disk that left unheard.
test('seeds that found something keep every promise', async () => {
  for (const seed of [3, 1099, 5993, 6027, 20175, 6250, 6340, 7194, 7008, 20150, 20969, 30805]) {
    const result = await run(seed)
    assert.equal(result.findings.length, 0, `seed ${seed}\n${storyOf(result).join('\n')}`)
  }
})

test('one seed gives one run', async () => {
  const [first, second] = [await run(11), await run(11)]
  assert.equal(first.digest, second.digest)
  assert.deepEqual(first.history.operations, second.history.operations)
})

/** Seeds that are tried before a bug counts as missed. One that finds it today is tried first, so that this is quick. */
const tries = 60
const knownToFind: Record<Plant, number> = {
  'ack-before-fsync': 9,
  'wall-clock-wins': 1,
  'no-overlap': 3,
  'dots-per-key': 5,
}

for (const plant of plants) {
  test(`a planted bug is caught: ${plant}`, async () => {
    for (let at = 0; at < tries; at++) {
      const { findings } = await run(knownToFind[plant] + at, plant)
      if (findings.length > 0) return
    }
    assert.fail(`${tries} seeds did not notice`)
  })
}
