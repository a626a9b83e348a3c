// Pings in virtual time: who is asked when, and which connections are closed. That a real connection answers is shown where
// hosts meet: their latency is told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../src/base/log.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { times } from '../../src/core/times.ts'
import { type Line, Pinging } from '../../src/net/pinging.ts'
import { VirtualClock } from '../twins/clock.ts'

function world(ids: string[], { vital = [] as string[], dead = new Set<string>() } = {}) {
  const clock = new VirtualClock()
  const asked: string[] = []
  const lines = ids.map((id) => {
    const line = { id, status: 'open' as Line['status'], abort: () => void Object.assign(line, { status: 'aborted' }) }
    return line as Line
  })
  const ping = async ({ id }: Line, signal: AbortSignal) => {
    asked.push(id)
    if (!dead.has(id)) return 7
    return await new Promise<number>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    )
  }
  const worker = new Pinging({
    lines: () => lines,
    isVital: ({ id }) => vital.includes(id),
    ping,
    clock,
    log: silentLog,
  })
  const loop = new WorkerLoop({ worker, clock, log: silentLog })
  loop.start()
  const count = (id: string) => asked.filter((one) => one === id).length
  return { clock, lines, loop, count, [Symbol.asyncDispose]: () => loop.stop() }
}

test('a line is pinged at once, then seldom; one to a relay often', async () => {
  await using it = world(['a', 'relay'], { vital: ['relay'] })
  await it.clock.advance(times.pingLookMs)
  assert.deepEqual([it.count('a'), it.count('relay')], [1, 1])
  assert.equal(it.lines[0]!.rtt, 7)
  await it.clock.advance(4 * times.pingEveryMs)
  assert.ok(it.count('a') >= 4 && it.count('a') <= 5, `${it.count('a')}`)
  assert.ok(it.count('relay') >= (4 * times.pingEveryMs) / (times.pingVitalEveryMs + times.pingLookMs))
})

test('a silent line is closed, one to a relay soon, and others are not', async () => {
  const dead = new Set<string>()
  await using it = world(['a', 'b', 'relay'], { vital: ['relay'], dead })
  await it.clock.advance(times.pingEveryMs)
  dead.add('b').add('relay')
  await it.clock.advance(times.pingVitalEveryMs + times.pingVitalMs + 2 * times.pingLookMs)
  assert.deepEqual(
    it.lines.map(({ status }) => status),
    ['open', 'open', 'aborted'],
  )
  await it.clock.advance(times.pingEveryMs + times.pingMs)
  assert.deepEqual(
    it.lines.map(({ status }) => status),
    ['open', 'aborted', 'aborted'],
  )
})

test('after a sleep of the machine every line is asked at once', async () => {
  await using it = world(['a'])
  await it.clock.advance(2 * times.pingLookMs)
  assert.equal(it.count('a'), 1)
  it.clock.jumpWall(times.sleptMs + 5_000)
  await it.clock.advance(2 * times.pingLookMs)
  assert.equal(it.count('a'), 2)
})
