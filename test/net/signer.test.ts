// Signatures: libp2p's own checks take them, and nothing else passes.
import assert from 'node:assert/strict'
import test from 'node:test'
import { peerIdFromString } from '@libp2p/peer-id'
import fc from 'fast-check'
import type { PeerId } from '../../src/core/peer.ts'
import { newIdentity, privateKeyOf } from '../../src/net/identity.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'

test('a signature holds for its bytes, its signer, and every other implementation', async () => {
  const identity = newIdentity()
  const [mine, other] = [new Ed25519Signer(identity), new Ed25519Signer(newIdentity())]
  const id = peerIdFromString(mine.self)
  assert.ok(id.type === 'Ed25519')
  for (const bytes of fc.sample(fc.uint8Array({ maxLength: 300 }), 20)) {
    const signature = mine.sign(bytes)
    assert.ok(other.verify(mine.self, bytes, signature))
    assert.ok(await id.publicKey.verify(bytes, signature))
    assert.equal(Buffer.compare(signature, await privateKeyOf(identity).sign(bytes)), 0)
    assert.ok(!other.verify(other.self, bytes, signature))
    assert.ok(!other.verify(mine.self, Uint8Array.of(...bytes, 0), signature))
    const bad = signature.map((byte, index) => (index === 5 ? byte ^ 1 : byte))
    assert.ok(!other.verify(mine.self, bytes, bad))
    assert.ok(!other.verify(mine.self, bytes, signature.subarray(1)))
  }
})

test('what is no Ed25519 PeerId has signed nothing', () => {
  const signer = new Ed25519Signer(newIdentity())
  const bytes = new Uint8Array(3)
  const signature = signer.sign(bytes)
  const rsa = 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'
  const cid = peerIdFromString(signer.self).toCID().toString()
  for (const name of ['', 'nobody', rsa, cid, `${signer.self} `, signer.self.slice(1)])
    assert.ok(!signer.verify(name as PeerId, bytes, signature), name)
})
