// Messages of circuit relay v2: both ways, as another implementation writes them, and whatever else may come.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type CircuitMessage,
  circuitStatus,
  decodeHop,
  decodeStop,
  encodeHop,
  encodeStop,
  hopTypes,
  statusName,
} from '../../src/net/circuit-messages.ts'

const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 })
const count = fc.integer({ min: 1, max: 2 ** 40 })
const message: fc.Arbitrary<CircuitMessage> = fc.record(
  {
    type: fc.integer({ min: 0, max: 2 }),
    peer: bytes,
    limits: fc.record({ seconds: count, bytes: count }),
    status: fc.integer({ min: 100, max: 401 }),
  },
  { requiredKeys: ['type'] },
)
const reservation = fc.record({ expires: count, addresses: fc.array(bytes, { maxLength: 5 }) })

test('what is written is read', () => {
  fc.assert(
    fc.property(message, reservation, (plain, place) => {
      const whole = { ...plain, reservation: place }
      assert.deepEqual(plainOf(decodeHop(encodeHop(whole))), plainOf(whole))
      assert.deepEqual(plainOf(decodeStop(encodeStop(plain))), plainOf(plain))
    }),
  )
})

test('the bytes are those of the specification', () => {
  const reserve = encodeHop({ type: hopTypes.reserve })
  assert.deepEqual([...reserve], [0x08, 0x00])
  // Type STATUS, a reservation that ends at 300 with one address and a voucher that nobody reads, a limit, status OK.
  const answer = Uint8Array.of(8, 2, 26, 11, 8, 0xac, 2, 18, 2, 7, 7, 26, 2, 9, 9, 34, 5, 8, 120, 16, 0x80, 8, 40, 100)
  assert.deepEqual(plainOf(decodeHop(answer)), {
    type: 2,
    reservation: { expires: 300, addresses: [[7, 7]] },
    limits: { seconds: 120, bytes: 1024 },
    status: circuitStatus.ok,
  })
  assert.equal(decodeStop(Uint8Array.of(8, 1, 32, 100)).status, circuitStatus.ok)
})

test('a limit of nothing is none', () => {
  assert.equal(decodeHop(Uint8Array.of(8, 2, 34, 4, 8, 0, 16, 0)).limits, undefined)
})

test('anything else is refused or passed over, never thrown as something else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
      try {
        decodeHop(noise)
        decodeStop(noise)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'CIRCUIT_FAILED')
      }
    }),
  )
  assert.match(statusName(undefined), /nothing that is known/)
  assert.match(statusName(999), /999/)
})

function plainOf(message: CircuitMessage): object {
  const asList = (_key: string, value: unknown) => (value instanceof Uint8Array ? [...value] : value)
  return JSON.parse(JSON.stringify(message, asList)) as object
}
