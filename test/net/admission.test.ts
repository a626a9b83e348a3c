// Keys, proofs and invite lines: the same on every machine, and no typo passes.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.ts'
import {
  decodeInvite,
  deriveKeys,
  encodeInvite,
  memberProof,
  newSecret,
  provesMember,
  securityProtocol,
} from '../../src/net/admission.ts'
import type { NetError } from '../../src/net/errors.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'

const secret = newSecret(seededRandom(1))

test('keys are derived alike everywhere and differ from each other, the secret and other clusters', () => {
  const keys = deriveKeys(new Uint8Array(32))
  // Fixed for ever: another program that derives them otherwise does not connect.
  assert.equal(Buffer.from(keys.networkKey).toString('hex').slice(0, 16), 'cb9f5289ae2f05a1')
  assert.equal(Buffer.from(keys.memberKey).toString('hex').slice(0, 16), '47f8929ecce834f2')
  assert.equal(securityProtocol(keys.keyId), '/noise/potluck-d8546055')
  const other = deriveKeys(secret)
  const all = [keys, other].flatMap(({ networkKey, memberKey }) => [networkKey, memberKey])
  assert.equal(new Set([...all, secret].map((key) => Buffer.from(key).toString('hex'))).size, 5)
  assert.notEqual(keys.keyId, other.keyId)
  assert.throws(() => deriveKeys(new Uint8Array(31)), { code: 'SECRET_INVALID' })
})

test('a member proof holds for one peer of one cluster', () => {
  const [mine, other] = [peerIdOf(newIdentity()), peerIdOf(newIdentity())]
  const { memberKey } = deriveKeys(secret)
  const proof = memberProof(memberKey, mine)
  assert.ok(provesMember(memberKey, mine, proof))
  assert.ok(!provesMember(memberKey, other, proof))
  assert.ok(!provesMember(deriveKeys(new Uint8Array(32)).memberKey, mine, proof))
  assert.ok(!provesMember(memberKey, mine, proof.subarray(1)))
})

test('an identity is a key of 68 bytes with one PeerId; a damaged one is refused', () => {
  const identity = newIdentity()
  assert.equal(identity.byteLength, 68)
  assert.match(peerIdOf(identity), /^12D3KooW/)
  assert.equal(peerIdOf(identity), peerIdOf(identity.slice()))
  assert.notEqual(peerIdOf(identity), peerIdOf(newIdentity()))
  assert.throws(() => peerIdOf(identity.subarray(0, 40)), { code: 'IDENTITY_INVALID' })
  assert.throws(() => peerIdOf(new Uint8Array(0)), { code: 'IDENTITY_INVALID' })
})

const address = fc
  .tuple(
    fc.ipV4().filter((ip) => !ip.startsWith('127.')),
    fc.integer({ min: 1, max: 65_535 }),
  )
  .map(([ip, port]) => `/ip4/${ip}/tcp/${port}/p2p/12D3KooWPZwsbgb8aL99cSLjcsJHn5FCcb4zt2p3ueSK58ur1aeS`)
const invite = fc
  .tuple(
    fc.constantFrom('member' as const, 'hub' as const),
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.oneof(fc.constant(0), fc.nat()),
    fc.array(address, { maxLength: 8 }),
  )
  .map(([kind, bytes, generation, addresses]) => ({ key: { kind, bytes }, generation, addresses }))
const key = { kind: 'member' as const, bytes: secret }

test('an invite line is one shell word and comes back whole', () => {
  fc.assert(
    fc.property(invite, (given) => {
      const line = encodeInvite(given)
      assert.match(line, /^[A-Za-z0-9_-]+$/)
      assert.deepEqual(decodeInvite(` ${line}\n`), given)
    }),
  )
})

test('addresses that mean this machine alone are left out of a line when there are others', () => {
  const all = ['/ip4/127.0.0.1/tcp/1/p2p/x', '/ip4/192.168.1.20/tcp/1/p2p/x', '/ip6/::1/tcp/1/p2p/x']
  assert.deepEqual(decodeInvite(encodeInvite({ key, generation: 0, addresses: all })).addresses, [all[1]])
  assert.deepEqual(decodeInvite(encodeInvite({ key, generation: 0, addresses: [all[0]!] })).addresses, [all[0]])
})

test('a changed, missing or added letter is noticed', () => {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  fc.assert(
    fc.property(invite, fc.nat(), fc.constantFrom(...letters), fc.constantFrom(0, 1), (given, where, letter, kept) => {
      const line = encodeInvite(given)
      const start = line.indexOf('-') + 1
      const at = start + (where % (line.length - start))
      const typo = line.slice(0, at) + letter + line.slice(at + kept)
      fc.pre(typo !== line)
      assert.throws(() => decodeInvite(typo), { code: 'INVITE_INVALID' })
      assert.throws(() => decodeInvite(line.slice(0, at)), { code: 'INVITE_INVALID' })
    }),
  )
})

test('an invite line that cannot work says why', () => {
  const reason = (line: string) => {
    try {
      decodeInvite(line)
    } catch (error) {
      return `${(error as NetError).code}: ${(error as Error).message}`
    }
    return 'accepted'
  }
  const line = encodeInvite({ key, generation: 0, addresses: [] })
  assert.match(reason('hello'), /INVITE_INVALID: this is not an invite line/)
  assert.match(reason(line.replace('potluck1', 'potluck2')), /version 2: update potluck/)
  assert.match(reason(line.slice(0, -3)), /damaged or not complete/)
  assert.match(reason(line.toUpperCase()), /not an invite line/)
  assert.match(reason(`${line.slice(0, 30)} ${line.slice(30)}`), /damaged/)
  assert.match(reason(line.replace('potluck1', 'potluckhub1')), /no secret/)
  assert.match(reason(`potluck1-${'A'.repeat(10_000)}`), /too long/)
})
