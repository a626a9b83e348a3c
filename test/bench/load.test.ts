// The two ways of putting load on something, on virtual time: what they count, and that a stall shows in every operation
// that was due during it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sleep } from '../../src/base/clock.ts'
import { closedLoop, openLoop, p99 } from '../../src/bench/load.ts'
import { VirtualClock } from '../twins/clock.ts'

test('a closed loop keeps so many in flight and counts what was done per second', async () => {
  const clock = new VirtualClock()
  let inFlight = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++inFlight)
    await sleep(clock, 10)
    inFlight--
  }
  assert.equal(await clock.until(closedLoop(clock, { inFlight: 4, durationMs: 1_000 }, work)), 400)
  assert.equal(most, 4)
  assert.equal(inFlight, 0)
})

test('an open loop starts what is due, whatever becomes of it, and counts from then', async () => {
  const clock = new VirtualClock()
  // Nothing is done in the first half second.
  const work = async () => sleep(clock, Math.max(0, 500 - clock.monotonicMs()))
  const tookMs = await clock.until(openLoop(clock, { perSecond: 100, durationMs: 1_000 }, work))
  assert.equal(tookMs.length, 100)
  assert.equal(Math.max(...tookMs), 500)
  assert.equal(tookMs.filter((took) => took > 0).length, 50)
})

test('an open loop fails with what failed, and when nothing is answered', async () => {
  const clock = new VirtualClock()
  const failing = openLoop(clock, { perSecond: 100, durationMs: 100 }, () => Promise.reject(new Error('no')))
  await assert.rejects(clock.until(failing), /no/)
  const silent = openLoop(clock, { perSecond: 1_000_000, durationMs: 1_000 }, () => new Promise(() => {}))
  await assert.rejects(clock.until(silent), /too many/)
})

test('p99 is the value that 99 of 100 do not exceed', () => {
  assert.equal(p99(Array.from({ length: 100 }, (_, index) => 100 - index)), 99)
  assert.equal(p99([5]), 5)
  assert.equal(p99([1, 9]), 9)
})
