// Frames and numbers, however the bytes are cut into pieces on their way.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { BaseError, BaseErrorCode } from '../../src/base/errors.ts'
import { ByteReader, readVarint, varintBytes } from '../../src/base/frames.ts'

const bytes = fc.uint8Array({ maxLength: 300 })
const number = fc.oneof(fc.nat(300), fc.maxSafeInteger().map(Math.abs), fc.constant(Number.MAX_SAFE_INTEGER))
const withCode = (code: BaseErrorCode) => (error: unknown) => (error as BaseError).code === code

/** A reader of bytes that come in pieces cut at the given places; empty pieces and empty pulls are among them. */
function readerOf(whole: Uint8Array, cuts: number[]): ByteReader {
  const places = [0, ...cuts.map((cut) => cut % (whole.byteLength + 1)).sort((a, b) => a - b), whole.byteLength]
  const pieces = places.slice(1).map((place, index) => whole.subarray(places[index]!, place))
  const pulls = pieces.map((piece, index) => (index % 3 === 2 ? [] : [piece]))
  const late = pieces.filter((_, index) => index % 3 === 2)
  // What an empty pull left out comes with the next one, so that the order stays.
  const inOrder = pulls.map((pull, index) => (index % 3 === 0 && index > 0 ? [late[index / 3 - 1]!, ...pull] : pull))
  if (pieces.length % 3 === 0) inOrder.push([late.at(-1)!])
  return new ByteReader(async () => inOrder.shift())
}

function framed(payloads: Uint8Array[]): Uint8Array {
  return Buffer.concat(payloads.flatMap((payload) => [varintBytes(payload.byteLength), payload]))
}

test('frames come back whole and in order, and then a clean end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(bytes, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      async (payloads, cuts) => {
        const reader = readerOf(framed(payloads), cuts)
        for (const payload of payloads) assert.deepEqual(Buffer.from((await reader.frame(300))!), Buffer.from(payload))
        assert.equal(await reader.frame(300), undefined)
        assert.equal(await reader.atEnd(), true)
        assert.equal(reader.buffered, 0)
      },
    ),
  )
})

test('exact reads give what they are asked for, in buffers of their own', async () => {
  await fc.assert(
    fc.asyncProperty(bytes, fc.array(fc.nat(), { maxLength: 6 }), fc.nat(300), async (whole, cuts, at) => {
      const reader = readerOf(whole, cuts)
      const first = await reader.exact(Math.min(at, whole.byteLength))
      const rest = await reader.exact(whole.byteLength - first.byteLength)
      assert.deepEqual(Buffer.concat([first, rest]), Buffer.from(whole))
      assert.equal(first.byteOffset, 0)
      assert.equal(first.buffer.byteLength, first.byteLength)
    }),
  )
})

test('a stream that ends inside a frame is truncated, wherever it ends', async () => {
  const whole = framed([Uint8Array.of(1), new Uint8Array(200).fill(7)])
  for (let length = 3; length < whole.byteLength; length++) {
    const reader = readerOf(whole.subarray(0, length), [])
    await reader.frame(1_000)
    await assert.rejects(reader.frame(1_000), withCode('TRUNCATED'))
  }
})

test('a frame over the limit is refused before any of it is read', async () => {
  let pulls = 0
  const endless = async () => {
    pulls++
    return [pulls === 1 ? varintBytes(2 ** 40) : new Uint8Array(1_000)]
  }
  await assert.rejects(new ByteReader(endless).frame(1_000), withCode('FRAME_TOO_LARGE'))
  assert.equal(pulls, 1)
  assert.equal((await readerOf(framed([new Uint8Array(10)]), []).frame(10))?.byteLength, 10)
  await assert.rejects(readerOf(framed([new Uint8Array(11)]), []).frame(10), withCode('FRAME_TOO_LARGE'))
})

test('numbers survive the way through bytes, from a buffer and from a stream', async () => {
  await fc.assert(
    fc.asyncProperty(number, fc.array(fc.nat(), { maxLength: 4 }), fc.nat(5), async (value, cuts, offset) => {
      const written = varintBytes(value)
      assert.equal(await readerOf(written, cuts).varint(), value)
      const padded = Buffer.concat([Buffer.alloc(offset, 0xff), written])
      assert.deepEqual(readVarint(padded, offset), { value, next: padded.byteLength })
    }),
  )
})

test('numbers are as multiformats has them', () => {
  assert.deepEqual([...varintBytes(0)], [0])
  assert.deepEqual([...varintBytes(127)], [0x7f])
  assert.deepEqual([...varintBytes(128)], [0x80, 0x01])
  assert.deepEqual([...varintBytes(300)], [0xac, 0x02])
  assert.deepEqual([...varintBytes(16_384)], [0x80, 0x80, 0x01])
})

test('numbers that are cut off or too large are refused', async () => {
  const cut = Uint8Array.of(0x80, 0x80)
  assert.throws(() => readVarint(cut, 0), withCode('TRUNCATED'))
  await assert.rejects(readerOf(cut, []).varint(), withCode('TRUNCATED'))
  for (const large of [new Uint8Array(20).fill(0xff), Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 1)]) {
    assert.throws(() => readVarint(large, 0), withCode('FRAME_TOO_LARGE'))
    await assert.rejects(readerOf(large, []).varint(), withCode('FRAME_TOO_LARGE'))
  }
})

test('the reader hands its signal to the source, and passes on what the source throws', async () => {
  const controller = new AbortController()
  const reader = new ByteReader(async ({ signal }) => {
    signal?.throwIfAborted()
    return [Uint8Array.of(5)]
  })
  assert.equal(await reader.varint({ signal: controller.signal }), 5)
  controller.abort(new Error('no more'))
  await assert.rejects(reader.varint({ signal: controller.signal }), /no more/)
})
