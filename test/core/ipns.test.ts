// IPNS records and names, against records that other programs signed: boxo (the Go implementation), as they stand
// in the tests of programs that read them, and against the `ipns` package both ways. The six test records of the
// specification are built here after its description, by breaking records that are good.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPair, privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { createIPNSRecord, marshalIPNSRecord, multihashToIPNSRoutingKey, unmarshalIPNSRecord } from 'ipns'
import { ipnsSelector } from 'ipns/selector'
import { ipnsValidator } from 'ipns/validator'
import { base36 } from 'multiformats/bases/base36'
import { CID } from 'multiformats/cid'
import { bytesField, fields } from '../../src/base/protobuf.ts'
import { formatIpnsName, ipnsKeyOf, ipnsPeerOf, parseIpnsName, parseIpnsRef } from '../../src/core/ipns-name.ts'
import { compareIpnsRecords, makeIpnsRecord, validUntil, verifyIpnsRecord } from '../../src/core/ipns-record.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'

const identity = newIdentity()
const signer = new Ed25519Signer(identity)
const hourMs = 3_600_000
// The ipns package goes by the clock of the machine; what we write for it is valid for the next centuries.
const nowMs = Date.parse('2030-01-01T00:00:00Z')
const farMs = Date.parse('2300-01-01T00:00:00.001Z')
const cid = 'bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4'

const make = (claim: Partial<Parameters<typeof makeIpnsRecord>[0]> = {}, by = signer) =>
  makeIpnsRecord({ value: `/ipfs/${cid}`, sequence: 7n, validUntilMs: farMs, ttlMs: 60_000, ...claim }, by)
const verify = (bytes: Uint8Array, peer: PeerId = signer.self, atMs = nowMs) =>
  verifyIpnsRecord(bytes, peer, { signer, nowMs: atMs })

/** The record without some fields, or with others in their place. */
function changed(record: Uint8Array, changes: Record<number, Uint8Array | undefined>): Uint8Array {
  const parts: Uint8Array[] = []
  for (const { number, bytes } of fields(record)) {
    const isNumber = [3, 5, 6].includes(number)
    if (!(number in changes)) parts.push(...(isNumber ? [Uint8Array.of(number * 8), bytes] : bytesField(number, bytes)))
    else if (changes[number]) parts.push(...bytesField(number, changes[number]))
  }
  return Buffer.concat(parts)
}

const foreign = [
  {
    by: 'boxo, sequence 7',
    name: 'k51qzi5uqu5dh0hmqwzu47an7qt7e1h5lyer5kjjntgl9e4qwb07kctxsovmdu',
    value: '/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi',
    sequence: 7n,
    until: '2099-12-31T23:59:59.000Z',
    record:
      'CkEvaXBmcy9iYWZ5YmVpZ2R5cnp0NXNmcDd1ZG03aHU3NnVoN3kyNm5mM2VmdXlscWFiZjNvY2xndHF5NTVmYnpkaRJAt3DvX1QnNiYj9KZ0f2L+m0UsoQ/Xf3voJeo2dryiiY+Z04tj5rCFDxMug48dvTRriKoWiuv/qUDwfsqwjUqDDRgAIhQyMDk5LTEyLTMxVDIzOjU5OjU5WigHMIDA4oXjaEJALzcoTtKujP6f9JhQVAmuIj9FK75ZQR6t2ekanLt3dtb0Foyyn3OzMb1Z63RK3OCZBpZb46sjC50jxesvLrk2DEqNAaVjVFRMGwAAA0YwuKAAZVZhbHVlWEEvaXBmcy9iYWZ5YmVpZ2R5cnp0NXNmcDd1ZG03aHU3NnVoN3kyNm5mM2VmdXlscWFiZjNvY2xndHF5NTVmYnpkaWhTZXF1ZW5jZQdoVmFsaWRpdHlUMjA5OS0xMi0zMVQyMzo1OTo1OVpsVmFsaWRpdHlUeXBlAA==',
  },
  {
    by: 'boxo, sequence 1',
    name: '12D3KooWC4T1AXU2s2YBgGJ2FeaYVtsKoHZWJeubnWe9SnuSE7Zb',
    value: '/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy',
    sequence: 1n,
    until: '2125-01-01T00:00:00.000Z',
    record:
      'CkEvaXBmcy9iYWZrcmVpZ2gyYWtpc2NhaWxkY3FhYnN5ZzNkZnI2Y2h1M2ZncHJlZ2l5bXNjazdlN2FxYTRzNTJ6eRJACHH9JpgtFOgtn5mbBFsCtOQHhDp5lMg5SW1qJCyTbDl8/XLcEnKvGhqk9JWjkb5YDqwwhX6AY7Ir9PAZN/yoBRgAIhQyMTI1LTAxLTAxVDAwOjAwOjAwWigBMIDwksvdCEJAnQAyRdz8Du1E/D49Thql3BeHc/wCGAUvLFS08wYojNG+/mOmn1g/OxLA7xZEd/zt5Osg4xhtMqhKAI8/kr/PDUqNAaVjVFRMGwAAAEXZZLgAZVZhbHVlWEEvaXBmcy9iYWZrcmVpZ2gyYWtpc2NhaWxkY3FhYnN5ZzNkZnI2Y2h1M2ZncHJlZ2l5bXNjazdlN2FxYTRzNTJ6eWhTZXF1ZW5jZQFoVmFsaWRpdHlUMjEyNS0wMS0wMVQwMDowMDowMFpsVmFsaWRpdHlUeXBlAA==',
  },
  {
    by: 'boxo, with microseconds',
    name: '12D3KooWGCr5x1M4TMzzEyWZ3dgC4jZiSRo1hS4KG99bCR4yjN4V',
    value: '/ipfs/bafkreiduwccjwpwpoktx7pkx7sfjbnouwn7crldjpgadjvsxa5pu5lvaaa',
    sequence: 3n,
    until: '2125-07-10T11:14:35.804Z',
    record:
      'CkEvaXBmcy9iYWZrcmVpZHV3Y2Nqd3B3cG9rdHg3cGt4N3NmamJub3V3bjdjcmxkanBnYWRqdnN4YTVwdTVsdmFhYRJAWEgAU2rU0PKkEgng4f9iMnXZYOqBUmoxNZG6KsGme1+syN/4SzHXDLMO9WXpFe4zrQV+uhCpd8RL2VLvAHEtBRgAIhsyMTI1LTA3LTEwVDExOjE0OjM1LjgwNDIyM1ooAzCA8JLL3QhCQPu/BAZggt+TV/yPF+X9wk18ri7MWbDBYspPw/J69RlEyyC4+Qb0FPFlWFNa31RZC+7sp4OFzpLiuHNd/eUEGQtKlQGlY1RUTBsAAABF2WS4AGVWYWx1ZVhBL2lwZnMvYmFma3JlaWR1d2Njandwd3Bva3R4N3BreDdzZmpibm91d243Y3JsZGpwZ2FkanZzeGE1cHU1bHZhYWFoU2VxdWVuY2UDaFZhbGlkaXR5WBsyMTI1LTA3LTEwVDExOjE0OjM1LjgwNDIyM1psVmFsaWRpdHlUeXBlAA==',
  },
]

for (const { by, name, value, sequence, until, record } of foreign) {
  test(`a record of another program is read: ${by}`, () => {
    const bytes = new Uint8Array(Buffer.from(record, 'base64'))
    const peer = parseIpnsName(name)
    const justBefore = Date.parse(until) - 1
    const read = verify(bytes, peer, justBefore)
    assert.deepEqual([read.value, read.sequence, validUntil(read)], [value, sequence, until])
    assert.throws(() => verify(bytes, peer, Date.parse(until) + 1), { code: 'IPNS_EXPIRED' })
    assert.throws(() => verify(bytes, signer.self, justBefore), { code: 'IPNS_INVALID' })
    // Any changed byte of what is signed is noticed.
    const data = [...fields(bytes)].find(({ number }) => number === 9)!.bytes.slice()
    data[data.byteLength - 20]! ^= 1
    assert.throws(() => verify(changed(bytes, { 9: data }), peer, justBefore), { code: 'IPNS_INVALID' })
  })
}

test('the cases of the specification: which parts a record may lack, and which must agree', () => {
  const { bytes } = make()
  const other = make({ value: '/ipfs/bafkqaglumvzxi2lom4qgeyleebuxa3ttebzgky3pojshgcq' }).bytes
  const otherValue = [...fields(other)].find(({ number }) => number === 1)!.bytes
  const bad = (record: Uint8Array) => assert.throws(() => verify(record), { code: 'IPNS_INVALID' })
  bad(changed(bytes, { 8: undefined, 9: undefined }))
  assert.equal(verify(bytes).value, `/ipfs/${cid}`)
  bad(changed(bytes, { 1: otherValue }))
  bad(changed(bytes, { 8: Buffer.from('invalid stuff') }))
  assert.equal(verify(changed(bytes, { 2: Buffer.from('invalid stuff') })).value, `/ipfs/${cid}`)
  const v2 = { 1: undefined, 2: undefined, 3: undefined, 4: undefined, 5: undefined, 6: undefined }
  assert.equal(verify(changed(bytes, v2)).value, `/ipfs/${cid}`)
  for (const field of [4, 5, 6]) bad(changed(bytes, { [field]: undefined }))
})

test('forged, oversized and random bytes are refused, and nothing else is thrown', () => {
  const stranger = new Ed25519Signer(newIdentity())
  assert.throws(() => verify(make({}, stranger).bytes), { code: 'IPNS_INVALID' })
  const padded = Buffer.concat([make().bytes, ...bytesField(15, new Uint8Array(limits.ipnsRecordBytesMax))])
  assert.throws(() => verify(padded), { code: 'IPNS_INVALID', message: /too large/ })
  assert.throws(() => make({ value: `/ipfs/${cid}/${'a'.repeat(6_000)}` }), { code: 'IPNS_INVALID' })
  const { bytes } = make()
  const mangled = fc.record({ at: fc.nat(bytes.byteLength - 1), byte: fc.nat(255), cut: fc.nat(bytes.byteLength) })
  fc.assert(
    fc.property(mangled, ({ at, byte, cut }) => {
      const copy = bytes.slice(0, bytes.byteLength - (cut % 3 === 0 ? cut : 0))
      if (at < copy.byteLength) copy[at] = byte
      try {
        assert.equal(verify(copy).value, `/ipfs/${cid}`)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'IPNS_INVALID', String(error))
      }
    }),
    { numRuns: 500 },
  )
})

test('the ipns package takes our records, and we take its', async () => {
  const theirKey = privateKeyFromProtobuf(identity)
  const routingKey = multihashToIPNSRoutingKey(theirKey.publicKey.toMultihash())
  assert.deepEqual(new Uint8Array(ipnsKeyOf(signer.self)), routingKey)
  assert.equal(ipnsPeerOf(routingKey), signer.self)
  for (const sequence of [0n, 1n, 255n, 2n ** 30n, 2n ** 53n, 2n ** 54n + 1n, 2n ** 64n - 1n]) {
    const ours = make({ sequence })
    await ipnsValidator(routingKey, ours.bytes)
    const read = unmarshalIPNSRecord(ours.bytes)
    assert.deepEqual([read.value, read.sequence, read.ttl], [ours.value, sequence, 60_000_000_000n])
    assert.deepEqual(verify(ours.bytes), ours)
    for (const v1Compatible of [true, false]) {
      const options = { ttlNs: 3n * 10n ** 18n, v1Compatible } as object
      const theirs = await createIPNSRecord(theirKey, `/ipfs/${cid}`, sequence, 200 * 365 * 24 * hourMs, options)
      const verified = verify(marshalIPNSRecord(theirs))
      assert.deepEqual([verified.value, verified.sequence], [`/ipfs/${cid}`, sequence])
    }
  }
  const stranger = await createIPNSRecord(await generateKeyPair('Ed25519'), `/ipfs/${cid}`, 1, 200 * 365 * 24 * hourMs)
  assert.throws(() => verify(marshalIPNSRecord(stranger)), { code: 'IPNS_INVALID' })
})

test('of two records the higher sequence is newer, then the longer life; the ipns package says the same', () => {
  const part = fc.record({ sequence: fc.bigInt(0n, 3n), validUntilMs: fc.constantFrom(farMs, farMs + 1, farMs + 2) })
  fc.assert(
    fc.property(part, part, (a, b) => {
      const [first, second] = [make(a), make(b)]
      const order = compareIpnsRecords(first, second)
      assert.equal(order, -compareIpnsRecords(second, first) + 0)
      const chosen = ipnsSelector(ipnsKeyOf(signer.self), [first.bytes, second.bytes])
      if (order !== 0) assert.equal(chosen, order < 0 ? 0 : 1)
    }),
    { numRuns: 50 },
  )
})

test('a name is read in all its forms, and written in one', () => {
  const name = formatIpnsName(signer.self)
  assert.match(name, /^k51qzi5uqu5d[a-z0-9]+$/)
  const inBase32 = CID.parse(name, base36).toString()
  for (const text of [name, signer.self, inBase32, `/ipns/${name}`, `ipns://${name}`, `/ipns/${signer.self}/`])
    assert.equal(parseIpnsName(text), signer.self)
  assert.deepEqual(parseIpnsRef(`/ipns/${name}/a//b/`), { peer: signer.self, path: ['a', 'b'] })
  assert.deepEqual(parseIpnsRef(`ipns://${name}`), { peer: signer.self, path: [] })
  assert.equal(parseIpnsRef(cid), undefined)
  const wrong = [cid, '', 'hello', `${name}x`, 'QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH', 'k'.repeat(100_000)]
  for (const text of wrong) assert.throws(() => parseIpnsName(text), { code: 'REF_INVALID' })
  assert.throws(() => parseIpnsRef('/ipns/en.wikipedia-on-ipfs.org/wiki'), /DNS name/)
  assert.throws(() => parseIpnsRef(`/ipns/${name}/../x`), { code: 'REF_INVALID' })
  assert.equal(ipnsPeerOf(Buffer.from('/pk/x')), undefined)
})
