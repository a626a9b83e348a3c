// Whether entries are read only as their authors signed them: every bit that is changed, every field out of bounds and every
// other way to write the same is refused, and garbage is never more than an error.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.ts'
import type { Claim } from '../../src/core/member.ts'
import { decodeEntry, isGenuine, isZone, signClaim, signNotice } from '../../src/members/claim.ts'
import { MembersError } from '../../src/members/errors.ts'
import {
  decodeEntries,
  decodeHello,
  decodeIds,
  decodeReached,
  decodeRequest,
  decodeRumours,
  encodeIds,
  encodeRequest,
  type Request,
} from '../../src/members/messages.ts'
import { newPeerId } from '../twins/dht.ts'
import { twinSigner } from './signer.ts'

const random = seededRandom(2)
const [self, other] = [newPeerId(random), newPeerId(random)]
const signer = twinSigner(self)
const claim: Claim = {
  peer: self,
  incarnation: 7,
  state: 'joined',
  zone: 'Küche',
  capacity: 1e12,
  addresses: ['/ip4/192.0.2.1/tcp/4101'],
}

test('a claim and a notice come back as they were signed', () => {
  const signed = signClaim(signer, claim)
  assert.deepEqual(decodeEntry(signed.bytes), signed)
  assert.ok(isGenuine(signer, signed))
  const notice = signNotice(signer, other)
  assert.deepEqual(decodeEntry(notice.bytes), notice)
  assert.ok(isGenuine(twinSigner(other), notice))
})

test('no changed byte goes through', () => {
  const { bytes } = signClaim(signer, claim)
  for (let at = 0; at < bytes.byteLength; at++) {
    const forged = bytes.slice()
    forged[at]! ^= 1
    let genuine = false
    try {
      genuine = isGenuine(signer, decodeEntry(forged))
    } catch (error) {
      assert.ok(error instanceof MembersError, String(error))
    }
    assert.equal(genuine, false, `byte ${at}`)
  }
})

test('nobody makes claims of others', () => {
  const forged = signClaim(signer, { ...claim, peer: other })
  assert.equal(isGenuine(signer, decodeEntry(forged.bytes)), false)
})

test('what is out of bounds is refused although it is signed', () => {
  const bad: Partial<Record<keyof Claim, unknown>>[] = [
    { peer: 'x'.repeat(65) },
    { peer: 'not base58!' },
    { incarnation: -1 },
    { incarnation: 1.5 },
    { state: 'dead' },
    { zone: '' },
    { zone: ' home' },
    { zone: 'a\nb' },
    { zone: 'ü'.repeat(33) },
    { capacity: -1 },
    { capacity: 2 ** 60 },
    { addresses: Array.from({ length: 9 }, () => '/ip4/192.0.2.1/tcp/1') },
    { addresses: ['x'.repeat(257)] },
    { addresses: [7] },
    { addresses: '/ip4' },
  ]
  for (const change of bad) {
    const signed = signClaim(signer, { ...claim, ...change } as Claim)
    assert.throws(() => decodeEntry(signed.bytes), { code: 'CLAIM_INVALID' }, JSON.stringify(change))
  }
  assert.throws(() => decodeEntry(encode([encode(['forgotten', self]), new Uint8Array(64)])), { code: 'CLAIM_INVALID' })
  assert.throws(() => decodeEntry(encode([encode(['other', self, self]), new Uint8Array(64)])), {
    code: 'CLAIM_INVALID',
  })
})

test('an entry has one form: nothing can be put before, after or between', () => {
  const { bytes } = signClaim(signer, claim)
  assert.throws(() => decodeEntry(Uint8Array.of(...bytes, 0)), { code: 'CLAIM_INVALID' })
  // The same list with its length in a longer form.
  assert.throws(() => decodeEntry(Uint8Array.of(0x98, 2, ...bytes.subarray(1))), { code: 'CLAIM_INVALID' })
  const [body, signature] = decode<[Uint8Array, Uint8Array]>(bytes)
  assert.throws(() => decodeEntry(encode([body, signature, 0])), { code: 'CLAIM_INVALID' })
  // The incarnation as a fraction: 7 written in nine bytes.
  const at = Buffer.from(body).indexOf(Uint8Array.of(7, 0x66))
  const fraction = Buffer.concat([
    body.subarray(0, at),
    Buffer.from('fb401c000000000000', 'hex'),
    body.subarray(at + 1),
  ])
  assert.equal(decode<unknown[]>(fraction)[2], 7)
  assert.throws(() => decodeEntry(encode([fraction, signature])), { code: 'CLAIM_INVALID' })
})

test('zones are printable', () => {
  for (const zone of ['home', 'Büro 2', '家', 'rack-1/2']) assert.ok(isZone(zone), zone)
  for (const zone of ['', ' ', 'a ', 'a\u0000', 'a\u2028b', 'a\u202eb', 'x'.repeat(65)]) assert.ok(!isZone(zone), zone)
})

test('messages come back as they were sent', () => {
  const ids = ['00'.repeat(8), '0123456789abcdef']
  const requests: Request[] = [
    { kind: 'hello', proof: new Uint8Array(32) },
    { kind: 'ping', rumours: [signClaim(signer, claim).bytes, [self, 3, 'dead', other]] },
    { kind: 'ask', peer: other, withinMs: 600 },
    { kind: 'compare', digest: new Uint8Array(32) },
    { kind: 'exchange', entries: [signNotice(signer, other).bytes], wanted: ids },
  ]
  for (const request of requests) assert.deepEqual(decodeRequest(encodeRequest(request)), request)
  assert.deepEqual(decodeIds(encodeIds(ids)), ids)
})

test('garbage is an error with a sentence, never a crash', () => {
  const readers = [decodeEntry, decodeRequest, decodeRumours, decodeHello, decodeIds, decodeEntries, decodeReached]
  const values = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .array(
        fc.oneof(
          fc.constantFrom('hello', 'ping', 'ask', 'compare', 'exchange', 'claim', self),
          fc.integer(),
          fc.uint8Array({ maxLength: 70 }),
          fc.constant(null),
          fc.array(fc.oneof(fc.string(), fc.uint8Array({ maxLength: 9 }), fc.array(fc.integer()))),
        ),
      )
      .map((value) => encode(value)),
  )
  fc.assert(
    fc.property(values, (bytes) => {
      for (const read of readers) {
        try {
          read(bytes)
        } catch (error) {
          assert.ok(error instanceof MembersError, `${read.name}: ${error}`)
        }
      }
    }),
  )
})
