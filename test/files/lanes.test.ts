// Lanes and slots: how many at a time, in what order, and that nothing runs on after a failure.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Lanes } from '../../src/files/lanes.ts'
import { Slots } from '../../src/files/slots.ts'

test('no more tasks run at a time than there are lanes', async () => {
  await using lanes = new Lanes(3, {})
  let running = 0
  let most = 0
  for (let index = 0; index < 20; index++)
    await lanes.start(async () => {
      most = Math.max(most, ++running)
      await new Promise(setImmediate)
      running--
    })
  await lanes.idle()
  assert.deepEqual([most, running], [3, 0])
})

test('the first failure cancels the others, and comes out when they have ended', async () => {
  const failure = new Error('first')
  const ended: string[] = []
  const work = async () => {
    await using lanes = new Lanes(3, {})
    for (const name of ['a', 'b'])
      await lanes.start(async () => {
        await new Promise((resolve) => lanes.signal.addEventListener('abort', resolve))
        await new Promise(setImmediate)
        ended.push(name)
        throw new Error('later')
      })
    await lanes.start(async () => Promise.reject(failure))
    await new Promise(setImmediate)
    await lanes.start(async () => assert.fail('started after a failure'))
  }
  await assert.rejects(work(), failure)
  assert.deepEqual(ended, ['a', 'b'])
})

test('a producer that fails by itself waits for its tasks too', async () => {
  const failure = new Error('own')
  let ended = false
  const work = async () => {
    await using lanes = new Lanes(3, {})
    await lanes.start(async () => {
      await new Promise((resolve) => lanes.signal.addEventListener('abort', resolve))
      ended = true
    })
    throw failure
  }
  await assert.rejects(work(), failure)
  assert.ok(ended)
})

test('slots are never overdrawn, everyone is served, in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 30 }), async (amounts) => {
      const slots = new Slots(10)
      let used = 0
      const served: number[] = []
      await Promise.all(
        amounts.map(async (amount, index) => {
          const giveBack = await slots.take(amount)
          served.push(index)
          used += Math.min(amount, 10)
          assert.ok(used <= 10)
          await null
          used -= Math.min(amount, 10)
          giveBack()
        }),
      )
      assert.deepEqual(served, [...amounts.keys()])
      await slots.take(10)
    }),
  )
})
