// Secrets as a value: what a rotation leaves, which of two wins, and that a home's bytes come back, old ones included.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { codeOf } from '../../src/base/errors.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { decodeInvite } from '../../src/net/admission.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { decodeRotation, openRotation, signRotation } from '../../src/net/rotation-message.ts'
import { seal, unseal } from '../../src/net/seal.ts'
import {
  decodeSecrets,
  encodeSecrets,
  inviteLine,
  keysOf,
  outranks,
  type Rank,
  type Rotation,
  rankOf,
  rotated,
  type Secrets,
  secretsOf,
} from '../../src/net/secrets.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'

const bytes = (fill: number) => new Uint8Array(32).fill(fill)
const peer = (name: string) => name as PeerId
const [ann, ben, cleo] = [peer('ann'), peer('ben'), peer('cleo')]
const nowMs = Date.UTC(2030, 0, 1)
const first = secretsOf({ kind: 'member', bytes: bytes(1) })

const rotation = (given: Partial<Rotation> = {}): Rotation => ({
  by: ann,
  generation: 1,
  secret: bytes(2),
  members: [ann, ben, cleo],
  excluded: [],
  startedMs: nowMs,
  ...given,
})
const after = (held: Secrets, given: Partial<Rotation> = {}, atMs = nowMs) =>
  rotated(held, rotation(given), Uint8Array.of(9), atMs)

test('the secret before connects the members of then for the stated time, and longer for nobody', () => {
  const { current, generation, previous } = after(first)
  assert.deepEqual([current.bytes, generation, previous.length], [bytes(2), 1, 1])
  assert.deepEqual(previous[0], {
    secret: bytes(1),
    untilMs: nowMs + times.rotationOverlapMs,
    members: [ann, ben, cleo],
    bootstrap: true,
  })
  // Neither a clock that is ahead nor hearing of it late makes it longer.
  assert.equal(after(first, { startedMs: nowMs + 1e9 }).previous[0]?.untilMs, nowMs + times.rotationOverlapMs)
  assert.equal(after(first, {}, nowMs + 1e6).previous[0]?.untilMs, nowMs + times.rotationOverlapMs)
  assert.deepEqual(after(first, {}, nowMs + times.rotationOverlapMs).previous, [])
})

test('with somebody shut out all older secrets end soon, and connect only those who stay', () => {
  const held = after(after(after(first)), { generation: 3, secret: bytes(3), members: [ann, ben], excluded: [cleo] })
  assert.equal(held.previous.length, 3)
  for (const { untilMs, members, bootstrap } of held.previous) {
    assert.deepEqual([untilMs, members, bootstrap], [nowMs + times.rotationHandMs, [ann, ben], false])
  }
})

test('no more old secrets are kept than allowed', () => {
  let held = first
  for (let generation = 1; generation < 10; generation++)
    held = after(held, { generation, secret: bytes(generation + 1) })
  assert.equal(held.previous.length, limits.secretsKeptMax)
  assert.deepEqual(held.previous[0]?.secret, bytes(9))
})

const rank: fc.Arbitrary<Rank> = fc.record({
  generation: fc.nat(3),
  excludes: fc.boolean(),
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
})

test('of any rotations the same one wins in every order', () => {
  fc.assert(
    fc.property(fc.array(rank, { minLength: 1, maxLength: 6 }), fc.nat(), (ranks, seed) => {
      const best = (order: Rank[]) => order.reduce((held, next) => (outranks(next, held) ? next : held))
      const turned = ranks.map((_, index) => ranks[(index + seed) % ranks.length]!)
      assert.deepEqual(best(turned), best(ranks))
      assert.deepEqual(best([...ranks].reverse()), best(ranks))
      assert.ok(!outranks(ranks[0]!, ranks[0]!))
    }),
  )
})

test('shutting somebody out goes before not, a later generation before both', () => {
  const ranked = (given: Partial<Rotation>) => rankOf(rotation(given))
  assert.ok(outranks(ranked({ excluded: [cleo] }), ranked({})))
  assert.ok(!outranks(ranked({}), ranked({ excluded: [cleo] })))
  assert.ok(outranks(ranked({ generation: 2 }), ranked({ excluded: [cleo] })))
})

test('what is kept comes back whole; a bare secret stays as older homes have it', () => {
  assert.deepEqual(encodeSecrets(first), bytes(1))
  const hub = secretsOf({ kind: 'hub', bytes: bytes(4) }, 2)
  const rotatedTwice = after(after(first), { generation: 2, secret: bytes(3), excluded: [cleo], members: [ann] })
  for (const secrets of [first, hub, after(first), rotatedTwice])
    assert.deepEqual(decodeSecrets(encodeSecrets(secrets)), secrets)
})

test('damaged bytes are refused with one sentence', () => {
  const whole = encodeSecrets(after(first))
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      for (const bad of [whole.subarray(0, at), whole.map((byte, index) => (index === at ? byte ^ change : byte))]) {
        try {
          const { current } = decodeSecrets(bad)
          assert.equal(current.bytes.byteLength, 32)
        } catch (error) {
          assert.equal(codeOf(error), 'SECRET_INVALID')
        }
      }
    }),
  )
  assert.throws(() => decodeSecrets(new Uint8Array(0)), { code: 'SECRET_INVALID', message: /restore/ })
})

test('a hub gets the network key alone, and invites only hubs', () => {
  const line = inviteLine(after(first), { hub: true, addresses: [] })
  const { key, generation } = decodeInvite(line)
  assert.match(line, /^potluckhub1-/)
  assert.deepEqual([key.kind, generation], ['hub', 1])
  const [ours, hubs] = [keysOf({ kind: 'member', bytes: bytes(2) }), keysOf(key)]
  assert.deepEqual(hubs, { ...ours, memberKey: undefined, gossipKey: undefined })
  const hub = secretsOf(key, generation)
  assert.equal(inviteLine(hub, { hub: true, addresses: [] }), line)
  assert.throws(() => inviteLine(hub, { hub: false, addresses: [] }), { code: 'NOT_A_MEMBER' })
})

test('a sealed message opens with its key, for its topic and author, and in no other way', () => {
  const key = bytes(5)
  const envelope = { topic: 'a', from: ann }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (plain, at) => {
      const sealed = seal(key, new Uint8Array(12).fill(7), envelope, plain)
      assert.equal(Buffer.compare(unseal(key, envelope, sealed)!, plain), 0)
      assert.equal(unseal(bytes(6), envelope, sealed), undefined)
      assert.equal(unseal(key, { topic: 'b', from: ann }, sealed), undefined)
      assert.equal(unseal(key, { topic: 'a', from: ben }, sealed), undefined)
      const forged = sealed.map((byte, index) => (index === at % sealed.byteLength ? byte ^ 1 : byte))
      assert.equal(unseal(key, envelope, forged), undefined)
      assert.equal(unseal(key, envelope, plain), undefined)
    }),
  )
})

test('a rotation holds as signed, and nothing else passes', () => {
  const [signer, other] = [new Ed25519Signer(newIdentity()), new Ed25519Signer(newIdentity())]
  const given = rotation({ by: signer.self })
  const signed = signRotation(signer, given)
  assert.deepEqual(openRotation(other, signed), given)
  assert.throws(() => openRotation(other, signRotation(other, given)), { code: 'ROTATION_REFUSED' })
  fc.assert(
    fc.property(fc.nat(signed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const forged = signed.map((byte, index) => (index === at ? byte ^ change : byte))
      assert.throws(() => openRotation(other, forged), { code: 'ROTATION_REFUSED' })
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (garbage) => {
      assert.equal(decodeRotation(garbage), undefined)
    }),
  )
})
