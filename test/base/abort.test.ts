// Deadlines and cancellation, in virtual time, with an eye on the listeners that they leave behind.
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { abortable, linkedController, withDeadline } from '../../src/base/abort.ts'
import { sleep } from '../../src/base/clock.ts'
import { type BaseError, codeOf, sentenceOf } from '../../src/base/errors.ts'
import { VirtualClock } from '../twins/clock.ts'

const never = () => new Promise<never>(() => {})
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('work that ends in time gives its result and leaves nothing behind', async () => {
  const clock = new VirtualClock()
  const { signal } = new AbortController()
  const work = async (own: AbortSignal) => {
    await sleep(clock, 90, own)
    return 'done'
  }
  assert.equal(await clock.until(withDeadline(clock, 100, 'working', work, { signal })), 'done')
  assert.equal(clock.pendingTimers, 0)
  assert.equal(listeners(signal), 0)
})

test('work that takes too long is told so, and so is the caller, even if the work does not listen', async () => {
  const clock = new VirtualClock()
  const { signal } = new AbortController()
  let told: unknown
  const deaf = (own: AbortSignal) => {
    own.addEventListener('abort', () => {
      told = own.reason
    })
    return never()
  }
  const error = await clock.until(withDeadline(clock, 1_500, 'dialing', deaf, { signal }).catch((error) => error))
  assert.equal(codeOf(error), 'TIMED_OUT')
  assert.equal((error as BaseError).retryable, true)
  assert.equal(sentenceOf(error), 'dialing took longer than 1.5 s')
  assert.equal(told, error)
  assert.equal(clock.monotonicMs(), 1_500)
  assert.equal(listeners(signal), 0)
})

test('the caller’s signal ends it with the caller’s reason', async () => {
  const clock = new VirtualClock()
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  const working = withDeadline(clock, 100, 'working', never, { signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(working, reason)
  assert.equal(clock.pendingTimers, 0)
  let began = false
  const late = async () => {
    began = true
  }
  await assert.rejects(withDeadline(clock, 100, 'working', late, { signal: controller.signal }), reason)
  assert.equal(began, false, 'what was called off does not begin')
})

test('what the work throws comes through, now or later', async () => {
  const clock = new VirtualClock()
  const failing = async () => {
    throw new Error('broken')
  }
  await assert.rejects(withDeadline(clock, 100, 'working', failing), /broken/)
  const atOnce = () => {
    throw new Error('broken at once')
  }
  await assert.rejects(withDeadline(clock, 100, 'working', atOnce), /broken at once/)
  assert.equal(clock.pendingTimers, 0)
})

test('abortable lets go of the signal, and a promise left behind may fail unheard', async () => {
  const controller = new AbortController()
  const { signal } = controller
  assert.equal(await abortable(Promise.resolve(1), signal), 1)
  assert.equal(await abortable(Promise.resolve(1), undefined), 1)
  await assert.rejects(abortable(Promise.reject(new Error('own')), signal), /own/)
  assert.equal(listeners(signal), 0)
  controller.abort(new Error('over'))
  await assert.rejects(abortable(Promise.reject(new Error('unheard')), signal), /over/)
})

test('a linked controller follows the caller until it is detached', () => {
  const first = new AbortController()
  const linked = linkedController(first.signal)
  first.abort('why')
  assert.equal(linked.controller.signal.reason, 'why')
  assert.equal(linkedController(first.signal).controller.signal.reason, 'why')
  const second = new AbortController()
  const { controller, detach } = linkedController(second.signal)
  detach()
  assert.equal(listeners(second.signal), 0)
  second.abort()
  assert.equal(controller.signal.aborted, false)
  assert.equal(linkedController(undefined).controller.signal.aborted, false)
})

test('a sleep ends in time or with the signal, and leaves neither timer nor listener', async () => {
  const clock = new VirtualClock()
  const controller = new AbortController()
  const { signal } = controller
  await clock.until(sleep(clock, 50, signal))
  assert.equal(clock.monotonicMs(), 50)
  assert.equal(listeners(signal), 0)
  const sleeping = sleep(clock, 50, signal)
  controller.abort(new Error('wake'))
  await assert.rejects(sleeping, /wake/)
  await assert.rejects(sleep(clock, 50, signal), /wake/)
  assert.equal(clock.pendingTimers, 0)
})
