// The loop that runs background work: when it steps, how it backs off, and how it stops.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineLog, silentLog } from '../../src/base/log.ts'
import { type StepResult, type Worker, WorkerLoop } from '../../src/base/worker.ts'
import { VirtualClock } from '../twins/clock.ts'

type Step = (count: number, signal: AbortSignal) => Promise<StepResult> | StepResult

function setUp(step: Step) {
  const clock = new VirtualClock()
  const steppedMs: number[] = []
  let wake = () => {}
  const worker: Worker = {
    name: 'digging',
    status: () => `step ${steppedMs.length}`,
    async step(signal) {
      steppedMs.push(clock.monotonicMs())
      return await step(steppedMs.length, signal)
    },
    onWork(given) {
      wake = given
    },
  }
  const lines: string[] = []
  const log = lineLog('warn', (line) => lines.push(line))
  const loop = new WorkerLoop({ worker, clock, log })
  return { clock, loop, steppedMs, lines, wake: () => wake() }
}

test('steps follow each other, wait as long as they say, and end when they say so', async () => {
  const script: StepResult[] = [{ next: 'now' }, { next: 'later', delayMs: 500 }, { next: 'now' }, { next: 'never' }]
  const { clock, loop, steppedMs } = setUp((count) => script[count - 1]!)
  loop.start()
  loop.start()
  await clock.advance(10_000)
  assert.deepEqual(steppedMs, [0, 0, 500, 500])
  assert.deepEqual(loop.status(), { name: 'digging', status: 'step 4', errors: 0 })
  await loop.stop()
})

test('a failing step is tried again after longer and longer waits, and starts over after a success', async () => {
  const { clock, loop, steppedMs, lines } = setUp((count) => {
    if (count === 10) return { next: 'later', delayMs: 5 }
    throw new Error('rock')
  })
  loop.start()
  await clock.advance(600_000)
  const waits = steppedMs.slice(1).map((atMs, index) => atMs - steppedMs[index]!)
  assert.deepEqual(waits.slice(0, 11), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 5, 1_000])
  assert.equal(lines[0], 'warn: digging: rock')
  const { errors, lastError } = loop.status()
  assert.deepEqual({ errors, lastError }, { errors: steppedMs.length - 1, lastError: 'rock' })
  await loop.stop()
})

test('waking ends a wait, from outside and from the worker, even if it comes during a step', async () => {
  const running = Promise.withResolvers<void>()
  const { clock, loop, steppedMs, wake } = setUp(async (count) => {
    if (count === 3) await running.promise
    return { next: 'later', delayMs: 60_000 }
  })
  loop.start()
  await clock.advance(10)
  loop.wake()
  await clock.advance(10)
  wake()
  await clock.settle()
  assert.deepEqual(steppedMs, [0, 10, 20])
  wake()
  running.resolve()
  await clock.settle()
  assert.deepEqual(steppedMs, [0, 10, 20, 20], 'work that came during a step is not forgotten')
  await loop.stop()
  assert.equal(clock.pendingTimers, 0)
})

test('a stop ends a wait at once, tells a running step, and waits for it', async () => {
  const waiting = setUp(() => ({ next: 'later', delayMs: 60_000 }))
  waiting.loop.start()
  await waiting.clock.settle()
  await waiting.loop.stop()
  assert.equal(waiting.clock.pendingTimers, 0)

  let cleanedUp = false
  const busy = setUp(async (_, signal) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    await Promise.resolve()
    cleanedUp = true
    throw signal.reason
  })
  busy.loop.start()
  await busy.clock.settle()
  await busy.loop.stop()
  assert.equal(cleanedUp, true)
  assert.deepEqual([busy.loop.status().errors, busy.lines], [0, []], 'being stopped is no failure')
})

test('a loop that never started can be stopped', async () => {
  const { loop, steppedMs } = setUp(() => ({ next: 'never' }))
  await loop.stop()
  assert.deepEqual(steppedMs, [])
})

test('a worker need not take the way to wake it', () => {
  const worker: Worker = { name: 'plain', status: () => '', step: async () => ({ next: 'never' }) }
  new WorkerLoop({ worker, clock: new VirtualClock(), log: silentLog }).wake()
})
