// Blocks: bytes are believed only if they are what their CID says, whole and with a hash that cannot be forged.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { codeOf } from '../../src/base/errors.ts'
import { Block, type CoreErrorCode, codecs, inlineBytes, matches, requireKnownHash } from '../../src/core/block.ts'
import { dhtKey } from '../../src/core/dht-key.ts'
import { limits } from '../../src/core/limits.ts'

const bytes = fc.uint8Array({ maxLength: 500 })
const withCode = (code: CoreErrorCode) => (error: unknown) => codeOf(error) === code
const cidOf = (code: number, digest: Uint8Array) => CID.createV1(codecs.raw, Digest.create(code, digest))

test('a block that was made here verifies, and any other bytes do not', () => {
  fc.assert(
    fc.property(bytes, bytes, (some, others) => {
      const { cid } = Block.of(codecs.raw, some)
      assert.equal(Block.verify(cid, some).bytes, some)
      if (Buffer.compare(some, others) !== 0) assert.throws(() => Block.verify(cid, others), withCode('MISMATCH'))
    }),
  )
})

test('one flipped bit anywhere is a mismatch', () => {
  const some = Buffer.from('a photo of the only kind')
  const { cid } = Block.of(codecs.raw, some)
  for (let bit = 0; bit < some.byteLength * 8; bit++) {
    const flipped = Uint8Array.from(some)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.equal(matches(cid, flipped), false)
  }
})

test('CIDs are those of everyone else', () => {
  assert.equal(
    Block.of(codecs.raw, Buffer.from('hello world')).cid.toString(),
    'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e',
  )
  assert.equal(
    Block.of(codecs.dagPb, Uint8Array.of(0x0a, 0x02, 0x08, 0x01), 0).cid.toString(),
    'QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn',
  )
})

test('the SHA-2 and SHA-3 hashes of the multihash table are checked', () => {
  const some = Buffer.from('checked')
  const names: [number, string][] = [
    [0x12, 'sha256'],
    [0x13, 'sha512'],
    [0x14, 'sha3-512'],
    [0x15, 'sha3-384'],
    [0x16, 'sha3-256'],
  ]
  for (const [code, name] of names) {
    const cid = cidOf(code, createHash(name).update(some).digest())
    assert.equal(Block.verify(cid, some).cid, cid)
    assert.throws(() => Block.verify(cid, Buffer.from('other')), withCode('MISMATCH'))
  }
})

test('a truncated digest is refused: it would make forgery cheap', () => {
  const some = Buffer.from('short')
  const digest = createHash('sha256').update(some).digest()
  for (const length of [0, 1, 16, 20, 31]) {
    assert.throws(() => Block.verify(cidOf(0x12, digest.subarray(0, length)), some), withCode('MISMATCH'))
  }
  const longer = Buffer.concat([digest, Buffer.alloc(1)])
  assert.throws(() => Block.verify(cidOf(0x12, longer), some), withCode('MISMATCH'))
})

test('a hash that we do not know is refused, not believed', () => {
  for (const code of [0x11, 0xd5, 0x22, 0xb220, 0x1e]) {
    const cid = cidOf(code, new Uint8Array(32))
    assert.throws(() => Block.verify(cid, Buffer.from('x')), withCode('HASH_UNSUPPORTED'))
    assert.throws(() => requireKnownHash(cid), withCode('HASH_UNSUPPORTED'))
  }
})

test('an identity CID is its own content, up to a limit', () => {
  const some = Buffer.from('tiny')
  const cid = cidOf(0x00, some)
  assert.deepEqual(Buffer.from(inlineBytes(cid)!), some)
  assert.equal(Block.verify(cid, some).cid, cid)
  assert.throws(() => Block.verify(cid, Buffer.from('tin')), withCode('MISMATCH'))
  const most = new Uint8Array(limits.identityBytesMax)
  requireKnownHash(cidOf(0x00, most))
  assert.throws(() => requireKnownHash(cidOf(0x00, new Uint8Array(most.byteLength + 1))), withCode('HASH_UNSUPPORTED'))
  assert.equal(inlineBytes(Block.of(codecs.raw, some).cid), undefined)
})

test('a block over the limit is refused before it is hashed', () => {
  const most = new Uint8Array(limits.blockBytesMax)
  const { cid } = Block.of(codecs.raw, most)
  assert.equal(Block.verify(cid, most).bytes.byteLength, limits.blockBytesMax)
  assert.throws(() => Block.verify(cid, new Uint8Array(limits.blockBytesMax + 1)), withCode('BLOCK_TOO_LARGE'))
})

test('the DHT knows SHA-256 by its multihash, all else by the SHA-256 of it', () => {
  const { multihash } = Block.of(codecs.raw, Buffer.from('x')).cid
  assert.equal(dhtKey(multihash.bytes), multihash.bytes)
  fc.assert(
    fc.property(
      fc.integer({ min: 0x13, max: 0x30 }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      (code, digest) => {
        const { bytes } = Digest.create(code, digest)
        const key = dhtKey(bytes)
        assert.deepEqual([...key], [0x12, 32, ...createHash('sha256').update(bytes).digest()])
        assert.equal(dhtKey(key), key)
      },
    ),
  )
})
