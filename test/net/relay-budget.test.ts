// The budget of a relay: over any second no more than it gives, however many ask, and nobody waits while there is room.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RelayBudget } from '../../src/net/relay-budget.ts'
import { VirtualClock } from '../twins/clock.ts'

test('many that take together get what the budget gives, in the order in which they came', async () => {
  const clock = new VirtualClock()
  const budget = new RelayBudget({ clock }, { bytesPerSecond: 1_000_000 })
  const done: number[] = []
  const all = Array.from({ length: 20 }, async (_, index) => {
    await budget.take(100_000)
    done.push(index)
  })
  await clock.advance(0)
  assert.deepEqual(done, [0], 'the first goes at once')
  await clock.advance(1_000)
  assert.equal(done.length, 11)
  await clock.until(Promise.all(all))
  assert.deepEqual(
    done,
    done.toSorted((a, b) => a - b),
  )
  assert.equal(Math.round(clock.monotonicMs()), 1_900)
  await clock.advance(10_000)
  const startMs = clock.monotonicMs()
  await budget.take(50_000)
  assert.equal(clock.monotonicMs(), startMs, 'after a pause there is room')
})

test('without a figure there is no limit, and a signal ends a wait', async () => {
  const clock = new VirtualClock()
  await new RelayBudget({ clock }, { bytesPerSecond: 0 }).take(1e12)
  const budget = new RelayBudget({ clock }, { bytesPerSecond: 10 })
  const controller = new AbortController()
  const waiting = budget.take(1_000, { signal: controller.signal })
  controller.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
  assert.equal(clock.pendingTimers, 0)
})
