// The keyspace against arithmetic on big integers, which is slow and obvious.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.ts'
import {
  compareDistance,
  hexOf,
  hexRange,
  isWithin,
  positionOf,
  prefixOf,
  preimageOf,
  sharedBits,
  siblingOf,
  startOf,
} from '../../src/routing/keyspace.ts'

const position = fc.uint8Array({ minLength: 32, maxLength: 32 })
const prefix = fc.string({ unit: fc.constantFrom('0', '1'), minLength: 0, maxLength: 20 })
const numberOf = (bytes: Uint8Array) => BigInt(`0x${hexOf(bytes)}`)
const bitsOf = (bytes: Uint8Array) => numberOf(bytes).toString(2).padStart(256, '0')

/** A second position that often has a long beginning in common with the first. */
const pair = fc.tuple(position, position, fc.nat(32)).map(([a, b, same]) => {
  const mixed = b.map((byte, at) => (at < same ? a[at]! : byte))
  return [a, mixed] as const
})

test('nearer means a smaller XOR', () => {
  fc.assert(
    fc.property(position, pair, (target, [a, b]) => {
      const difference = (numberOf(a) ^ numberOf(target)) - (numberOf(b) ^ numberOf(target))
      const expected = difference < 0n ? -1 : difference > 0n ? 1 : 0
      assert.equal(Math.sign(compareDistance(target, a, b)), expected)
    }),
  )
})

test('shared bits are those before the first difference', () => {
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const other = bitsOf(b)
      const first = [...bitsOf(a)].findIndex((bit, at) => bit !== other[at])
      assert.equal(sharedBits(a, b), first === -1 ? 256 : first)
    }),
  )
})

test('prefixes are the first bits, and a position is within those that it begins with', () => {
  fc.assert(
    fc.property(position, prefix, fc.nat(256), (at, some, count) => {
      assert.equal(prefixOf(at, count), bitsOf(at).slice(0, count))
      assert.equal(isWithin(at, some), bitsOf(at).startsWith(some))
      assert.ok(isWithin(at, prefixOf(at, count)))
    }),
  )
})

test('the range of a subtree holds its positions and no others', () => {
  fc.assert(
    fc.property(position, prefix, (at, some) => {
      const { from, to } = hexRange(some)
      assert.equal(from <= hexOf(at) && hexOf(at) < to, isWithin(at, some))
    }),
  )
  const at = positionOf(Uint8Array.of(1))
  const { from, to } = hexRange(prefixOf(at))
  assert.ok(from <= hexOf(at) && hexOf(at) < to, 'a subtree may be a single position')
})

test('a sibling is the other half of the parent', () => {
  assert.equal(siblingOf('0'), '1')
  assert.equal(siblingOf('0110'), '0111')
})

test('a preimage lies where it was wanted', () => {
  const random = seededRandom(7)
  for (const wanted of ['', '0', '1', '0101', '111111', '0000000000']) {
    assert.ok(isWithin(positionOf(preimageOf(wanted, random)), wanted))
  }
})

test('subtrees start where their first position lies', () => {
  assert.deepEqual(['', '0', '1', '01', '11'].map(startOf), [0, 0, 0.5, 0.25, 0.75])
  assert.ok(startOf('1'.repeat(256)) < 1)
})
