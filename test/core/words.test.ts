// What people type, read and shown again: sizes, times and REFs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { codeOf } from '../../src/base/errors.ts'
import { Block, type CoreErrorCode, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { formatRef, parseRef } from '../../src/core/ref.ts'
import { times } from '../../src/core/times.ts'
import { formatSize, formatTime, parseSize, parseTime } from '../../src/core/units.ts'

const withCode = (code: CoreErrorCode) => (error: unknown) => codeOf(error) === code
const cid = Block.of(codecs.raw, Buffer.from('x')).cid.toString()

test('sizes are read as people write them', () => {
  const sizes: [string, number][] = [
    ['0', 0],
    ['12', 12],
    ['10MB', 10_000_000],
    ['10 mb', 10_000_000],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['4k', 4_096],
    ['2TiB', 2 ** 41],
    [' 7 B ', 7],
  ]
  for (const [text, size] of sizes) assert.equal(parseSize(text), size, text)
  for (const text of ['', 'MB', '-1', '1e9', '10 parsecs', '1.5.5GB', '0x10', '99999999TB', 'NaN', '1,5GB'])
    assert.throws(() => parseSize(text), withCode('SIZE_INVALID'), text)
})

test('times are read as people write them; a bare number is seconds', () => {
  const spans: [string, number][] = [
    ['30s', 30_000],
    ['30', 30_000],
    ['250ms', 250],
    ['5m', 300_000],
    ['12h', 43_200_000],
    ['1.5d', 129_600_000],
    ['0', 0],
  ]
  for (const [text, time] of spans) assert.equal(parseTime(text), time, text)
  for (const text of ['', 's', '-1s', '5 weeks', '1h30m', '∞'])
    assert.throws(() => parseTime(text), withCode('TIME_INVALID'))
})

test('no text makes them do anything but answer or refuse', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const [parse, code] of [[parseSize, 'SIZE_INVALID'] as const, [parseTime, 'TIME_INVALID'] as const]) {
        try {
          assert.ok(Number.isSafeInteger(parse(text)))
        } catch (error) {
          assert.ok(withCode(code)(error), String(error))
        }
      }
    }),
  )
})

test('sizes and times are shown with a unit that fits', () => {
  assert.deepEqual([0, 1_023, 1_024, 1.5 * 2 ** 30, 300 * 2 ** 20, 5_000 * 2 ** 40].map(formatSize), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 GiB',
    '300 MiB',
    '5000 TiB',
  ])
  assert.deepEqual([0, 350.4, 2_400, 185_000, 7_800_000].map(formatTime), [
    '0 ms',
    '350 ms',
    '2.4 s',
    '3 min 5 s',
    '2 h 10 min',
  ])
})

test('a REF is a CID with or without a path, however it is written', () => {
  const expected = [cid, 'a', 'b c']
  for (const text of [`${cid}/a/b c`, `/ipfs/${cid}/a/b c`, `ipfs://${cid}/a/b c`, `${cid}//a/b c/`]) {
    const { root, path } = parseRef(text)
    assert.deepEqual([root.toString(), ...path], expected, text)
    assert.equal(formatRef({ root, path }), expected.join('/'))
  }
  assert.deepEqual(parseRef(cid).path, [])
  assert.equal(parseRef('QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn').root.version, 0)
})

test('what is no REF is refused with a sentence that shows it', () => {
  for (const text of ['', '/', '/ipfs/', 'hello', `${cid}x`, 'https://example.org', '/ipns/name'])
    assert.throws(() => parseRef(text), withCode('REF_INVALID'), text)
  for (const text of [`${cid}/..`, `${cid}/a/../b`, `${cid}/./a`])
    assert.throws(() => parseRef(text), withCode('REF_INVALID'))
  const deep = `${cid}${'/a'.repeat(limits.pathDepthMax + 1)}`
  assert.throws(() => parseRef(deep), withCode('REF_INVALID'))
  assert.throws(
    () => parseRef('z'.repeat(100_000)),
    (error: Error) => error.message.length < 300,
  )
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseRef(text)
      } catch (error) {
        assert.ok(withCode('REF_INVALID')(error), String(error))
      }
    }),
  )
})

test('limits agree with each other', () => {
  assert.ok(limits.blockBytesMax < limits.writeBytesMax)
  assert.ok(limits.inlineBytesMax < limits.blockBytesMax)
  assert.ok(limits.blockBytesMax < limits.bitswapMessageBytesMax)
  assert.ok(limits.gossipBytesMax < limits.gossipPacketBytesMax)
  assert.ok(2 * times.announceEveryMs < 48 * 3_600_000, 'one cycle may fail: records in the DHT live for 48 hours')
})
