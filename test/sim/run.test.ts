// Whole runs over a toy: that one seed gives one run, that an honest toy passes, and that a broken one does not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPeer } from '../../src/sim/peer.ts'
import { runSeed, storyOf } from '../../src/sim/run.ts'
import { type Flaw, startToy } from './toy-records.ts'

const options = { peers: 4, steps: 80 }

test('one seed gives one run, two seeds give two', async () => {
  const run = async (seed: number) => {
    const { digest, history, events } = await runSeed(startToy(), { ...options, seed })
    return { digest, events, history: JSON.stringify([history.operations, history.events]) }
  }
  assert.deepEqual(await run(7), await run(7))
  assert.notEqual((await run(7)).digest, (await run(8)).digest)
})

test('an honest toy keeps its promises under every fault', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const result = await runSeed(startToy(), { ...options, seed })
    assert.deepEqual(storyOf(result).slice(0, result.findings.length && 30), [], `seed ${seed}`)
    assert.ok(result.history.operations.length > 60)
  }
})

test('a cluster is judged only when nobody is yet to be forgotten or to come back', async () => {
  let late = 0
  for (let seed = 1; seed <= 30; seed++) {
    const { history } = await runSeed(startToy(), { ...options, seed })
    const timeOf = (sentence: RegExp) => history.events.findLast((event) => sentence.test(event.sentence))?.atMs ?? 0
    const changedMs = timeOf(/ forgets | comes back /)
    if (changedMs > timeOf(/all is healed/)) late++
    assert.ok(timeOf(/has come to rest/) >= changedMs + 10_000, `seed ${seed}`)
  }
  assert.ok(late > 5)
})

const caught: Record<Flaw, RegExp> = {
  forgets: /no acknowledged write is lost/,
  resurrects: /stays so/,
  diverges: /converge/,
}

for (const [flaw, checker] of Object.entries(caught)) {
  test(`a toy that ${flaw} is caught, and the story tells of it`, async () => {
    const result = await runSeed(startToy(flaw as Flaw), { ...options, seed: 2 })
    assert.ok(result.findings.some((finding) => checker.test(finding.checker)))
    const story = storyOf(result).join('\n')
    assert.match(story, /all is healed/)
    assert.match(story, /#\d+ .* put /)
  })
}

test('what a timer throws is a finding, not a crash of the simulator', async () => {
  const start = async (...args: Parameters<ReturnType<typeof startToy>>) => {
    const [{ clock }] = args
    clock.timer(10_000, () => {
      throw new Error('nobody catches me')
    })
    return await startToy()(...args)
  }
  const { findings } = await runSeed(start, { ...options, seed: 1 })
  assert.match(findings[0]!.sentence, /nobody catches me/)
})

test('a run in which time stood still goes on: what is due by a rounding error is waited for', async () => {
  const { history } = await runSeed((ports) => startPeer(ports, { copies: 3 }), { peers: 5, steps: 200, seed: 7 })
  assert.ok(history.operations.length > 200)
})
