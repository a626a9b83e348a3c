// Simulated time: order, settling, and what a peer's own clock makes of it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sleep } from '../../src/base/clock.ts'
import { PeerClock, SimulatedTime } from '../../src/sim/clock.ts'

test('events fire in the order of their due times, ties in the order in which they were made', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ at: fc.nat(50), cancelled: fc.boolean() }), { maxLength: 60 }),
      async (made) => {
        const time = new SimulatedTime()
        const fired: number[] = []
        const cancels = made.map(({ at }, index) => time.schedule(at, () => fired.push(index)))
        for (const [index, { cancelled }] of made.entries()) if (cancelled) cancels[index]!()
        await time.run(100)
        const expected = [...made.keys()]
          .filter((index) => !made[index]!.cancelled)
          .sort((a, b) => made[a]!.at - made[b]!.at || a - b)
        assert.deepEqual(fired, expected)
      },
    ),
    { numRuns: 50 },
  )
})

test('a great many cancelled timers are swept out without disturbing the others', async () => {
  const time = new SimulatedTime()
  let fired = 0
  for (let index = 0; index < 10_000; index++) {
    const cancel = time.schedule(1_000 + (index % 7), () => fired++)
    if (index % 10 !== 0) cancel()
  }
  await time.run(2_000)
  assert.equal(fired, 1_000)
})

test('every promise settles before the next event', async () => {
  const time = new SimulatedTime()
  const seen: string[] = []
  time.schedule(1, () => {
    void (async () => {
      for (let step = 0; step < 50; step++) await null
      seen.push('settled')
    })()
  })
  time.schedule(1, () => seen.push('next'))
  await time.run(5)
  assert.deepEqual(seen, ['settled', 'next'])
})

test('until gives the result, and says when nothing can happen', async () => {
  const time = new SimulatedTime()
  const clock = new PeerClock(time)
  assert.equal(
    await time.until(
      sleep(clock, 5_000).then(() => 'slept'),
      10_000,
    ),
    'slept',
  )
  assert.equal(time.nowMs, 5_000)
  await assert.rejects(time.until(new Promise(() => {}), 1_000), /nothing happened/)
})

test('a sleeping machine: timers and monotonic time stand still, wall time goes on', async () => {
  const time = new SimulatedTime()
  const clock = new PeerClock(time)
  const firedAtMs: number[] = []
  clock.timer(1_000, () => firedAtMs.push(time.nowMs))
  await time.run(400)
  const wallMs = clock.nowMs()
  clock.sleep()
  clock.timer(100, () => firedAtMs.push(time.nowMs))
  await time.run(60_000)
  assert.deepEqual(firedAtMs, [])
  assert.equal(clock.monotonicMs(), 400)
  assert.equal(clock.nowMs() - wallMs, 60_000)
  clock.wake()
  await time.run(60_000)
  assert.deepEqual(firedAtMs, [60_500, 61_000])
})

test('a stopped machine fires nothing any more; a skewed one is off and ticks alike', async () => {
  const time = new SimulatedTime()
  const [stopped, skewed, right] = [
    new PeerClock(time),
    new PeerClock(time, { skewMs: -3_600_000 }),
    new PeerClock(time),
  ]
  stopped.timer(10, () => assert.fail('it fired'))
  stopped.stop()
  stopped.timer(10, () => assert.fail('it fired'))
  await time.run(100)
  assert.equal(right.nowMs() - skewed.nowMs(), 3_600_000)
  skewed.jump(3_600_000)
  assert.equal(right.nowMs(), skewed.nowMs())
  assert.equal(right.monotonicMs(), skewed.monotonicMs())
})
