// PeerIds as other programs write them, and texts that are none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { base32 } from 'multiformats/bases/base32'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { readPeerId } from '../../src/core/peer-id.ts'

const ids = [
  '12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA',
  '16Uiu2HAmTdEddBdw1JVs5tHhqQGaFCrqq64TwppmL2G8fYbZA1ug',
  'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
]

test('ids of all keys are read in every spelling', () => {
  for (const id of ids) {
    const cid = CID.createV1(0x72, Digest.decode(base58btc.baseDecode(id)))
    for (const text of [id, cid.toString(base36), cid.toString(base32), cid.toString(base58btc)])
      assert.equal(readPeerId(text), id)
  }
})

test('other texts are none, and nothing is thrown', () => {
  const [key] = ids
  const raw = CID.createV1(0x55, Digest.decode(base58btc.baseDecode(key!)))
  const short = base58btc.baseEncode(Uint8Array.of(0x00, 0x03, 1, 2, 3))
  for (const text of ['', '1', 'Qm', 'Qm0', short, `${key}x`, key!.slice(0, -1), raw.toString(), 'x'.repeat(1_000)])
    assert.equal(readPeerId(text), undefined, text)
  fc.assert(fc.property(fc.string(), (text) => readPeerId(text) === undefined))
})
