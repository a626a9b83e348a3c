// The smaller parts of base: errors, log lines, the map that forgets, chance, and the clocks, real and virtual.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '../../src/base/clock.ts'
import { BaseError, codeOf, sentenceOf } from '../../src/base/errors.ts'
import { lineLog } from '../../src/base/log.ts'
import { Lru } from '../../src/base/lru.ts'
import { seededRandom, systemRandom } from '../../src/base/random.ts'
import { VirtualClock } from '../twins/clock.ts'

test('errors carry their code, their cause, and whether trying again helps', () => {
  const cause = new Error('underneath')
  const error = new BaseError('TRUNCATED', 'it ended early', { retryable: true, cause })
  assert.deepEqual([error.name, error.code, error.retryable, error.cause], ['BaseError', 'TRUNCATED', true, cause])
  const plain = new BaseError('TIMED_OUT', 'too slow')
  assert.deepEqual([plain.retryable, 'cause' in plain], [false, false])
})

test('anything thrown has a sentence, and a code if it has one', () => {
  assert.equal(codeOf(new BaseError('TIMED_OUT', 'x')), 'TIMED_OUT')
  assert.equal(codeOf(Object.assign(new Error('x'), { code: 'ENOENT' })), 'ENOENT')
  for (const odd of [undefined, null, 'text', 5, { code: 7 }]) assert.equal(codeOf(odd), undefined)
  assert.equal(sentenceOf(new Error('what happened')), 'what happened')
  assert.equal(sentenceOf('a text'), 'a text')
  assert.equal(sentenceOf(undefined), 'undefined')
})

test('the log prints what is at least as grave as asked for', () => {
  const lines: string[] = []
  const log = lineLog('info', (line) => lines.push(line))
  log.debug('a')
  log.info('b')
  log.warn('c')
  log.error('d')
  assert.deepEqual(lines, ['b', 'warn: c', 'error: d'])
})

test('the map that forgets behaves like a list that is searched and cut', () => {
  const step = fc.record({ key: fc.nat(8), what: fc.constantFrom('set', 'get', 'delete') })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 60 }), (most, steps) => {
      const lru = new Lru<number, string>(most)
      let model: number[] = []
      for (const { key, what } of steps) {
        const known = model.includes(key)
        if (what === 'get') assert.equal(lru.get(key), known ? `v${key}` : undefined)
        if (what === 'delete') assert.equal(lru.delete(key), known)
        if (what === 'delete' || known || what === 'set') model = model.filter((other) => other !== key)
        if (what === 'set' || (what === 'get' && known)) model.push(key)
        const gone = model.length > most ? model.shift() : undefined
        if (what === 'set')
          assert.deepEqual(lru.set(key, `v${key}`), gone === undefined ? undefined : [gone, `v${gone}`])
        assert.equal(lru.size, model.length)
      }
      assert.deepEqual(
        [...lru.values()],
        model.map((key) => `v${key}`),
      )
    }),
  )
})

test('seeded chance repeats itself and is spread evenly; real chance does not repeat', () => {
  const draw = (seed: number) => {
    const random = seededRandom(seed)
    return [random.unit(), random.unit(), ...random.bytes(8)]
  }
  assert.deepEqual(draw(7), draw(7))
  assert.notDeepEqual(draw(7), draw(8))
  const { unit } = seededRandom(1)
  const counts = new Array<number>(10).fill(0)
  for (let drawn = 0; drawn < 10_000; drawn++) counts[Math.floor(unit() * 10)]!++
  for (const count of counts) assert.ok(count > 850 && count < 1_150, counts.join(' '))
  assert.notDeepEqual(systemRandom.bytes(16), systemRandom.bytes(16))
  const value = systemRandom.unit()
  assert.ok(value >= 0 && value < 1)
})

test('the system clock fires, can be told not to, and takes delays that Node.js does not', async () => {
  await new Promise<void>((resolve) => {
    const keepAlive = setInterval(() => {}, 1_000)
    const done = () => {
      clearInterval(keepAlive)
      resolve()
    }
    const cancel = systemClock.timer(0, () => assert.fail('it was cancelled'))
    cancel()
    const cancelLong = systemClock.timer(2 ** 40, () => assert.fail('a long wait fired at once'))
    systemClock.timer(2, () => {
      cancelLong()
      done()
    })
  })
  const before = systemClock.monotonicMs()
  assert.ok(systemClock.monotonicMs() >= before)
  assert.ok(systemClock.nowMs() > Date.UTC(2020, 0, 1))
})

test('a delay that is over is due now, without a warning on the terminal of the user', async () => {
  const warnings: string[] = []
  const note = ({ name }: Error) => warnings.push(name)
  process.on('warning', note)
  await new Promise<void>((resolve) => systemClock.timer(-5, resolve))
  // Node tells of it in the turn after.
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', note)
  assert.deepEqual(warnings, [])
})

test('virtual time fires timers in order, at their times, those that they start included', async () => {
  const clock = new VirtualClock({ nowMs: 1_000 })
  const fired: string[] = []
  const note = (name: string) => () => fired.push(`${name}@${clock.monotonicMs()}`)
  clock.timer(30, note('late'))
  clock.timer(10, () => {
    note('early')()
    clock.timer(5, note('started'))
    clock.timer(0, note('at once'))
  })
  clock.timer(10, note('tie'))
  clock.timer(20, note('cancelled'))()
  await clock.advance(29)
  assert.deepEqual(fired, ['early@10', 'tie@10', 'at once@10', 'started@15'])
  assert.equal(clock.nowMs(), 1_029)
  await clock.advance(1)
  assert.equal(fired.at(-1), 'late@30')
  assert.equal(clock.pendingTimers, 0)
})

test('virtual time waits for a promise, and says when nothing can settle it', async () => {
  const clock = new VirtualClock()
  const slow = new Promise((resolve) => clock.timer(1_000, () => resolve('done')))
  assert.equal(await clock.until(slow), 'done')
  await assert.rejects(clock.until(new Promise(() => {})), /stuck/)
  await assert.rejects(clock.until(Promise.reject(new Error('own'))), /own/)
  clock.jumpWall(-500)
  assert.equal(clock.monotonicMs(), 1_000)
})
