// Both wire formats: what is written can be read, and nothing that anybody sends does more than be refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { ByteReader } from '../../src/base/frames.ts'
import { fields } from '../../src/base/protobuf.ts'
import { Block, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { blockPart, decodeMessage, messageOf, presencePart, wantPart } from '../../src/exchange/bitswap-message.ts'
import { decodeQuestion, encodeQuestion } from '../../src/exchange/blocks-protocol.ts'
import { ExchangeError } from '../../src/exchange/errors.ts'

const bytes = fc.uint8Array({ maxLength: 300 })
const block = bytes.map((content) => Block.of(codecs.raw, content))
const want = fc.record({
  cid: block.map(({ cid }) => cid),
  cancel: fc.boolean(),
  type: fc.constantFrom('block' as const, 'have' as const),
  sendDontHave: fc.boolean(),
})

async function unframed(pieces: Uint8Array[]): Promise<Uint8Array> {
  const rest = [pieces]
  const frame = await new ByteReader(async () => rest.shift()).frame(limits.bitswapMessageBytesMax)
  return frame ?? new Uint8Array(0)
}

test('Bitswap messages say the same after the wire', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(want),
      fc.array(block),
      fc.array(fc.tuple(block, fc.boolean())),
      async (wants, blocks, haves) => {
        const parts = [
          ...wants.map(wantPart),
          ...blocks.map(({ cid, bytes }) => blockPart(cid, bytes)),
          ...haves.map(([{ cid }, have]) => presencePart(cid, have)),
        ]
        const message = decodeMessage(await unframed(messageOf(parts)))
        assert.deepEqual(
          message.wants.map((one) => ({ ...one, cid: one.cid.toString() })),
          wants.map((one) => ({ ...one, cid: one.cid.toString() })),
        )
        assert.deepEqual(
          message.blocks.map(({ cid }) => cid.toString()),
          blocks.map(({ cid }) => cid.toString()),
        )
        assert.deepEqual(
          message.blocks.map((one) => Buffer.from(one.bytes)),
          blocks.map((one) => Buffer.from(one.bytes)),
        )
        assert.deepEqual(
          message.presences.map(({ cid, have }) => [cid.toString(), have]),
          haves.map(([{ cid }, have]) => [cid.toString(), have]),
        )
      },
    ),
  ))

test('a Bitswap message in bytes that another implementation wrote', () => {
  const cid = CID.parse('QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n')
  const entry = Buffer.concat([Buffer.from('0a22', 'hex'), cid.bytes, Buffer.from('10012801', 'hex')])
  const message = Buffer.concat([Buffer.from([0x0a, entry.length + 2, 0x0a, entry.length]), entry])
  assert.deepEqual(
    decodeMessage(message).wants.map((one) => [one.cid.toString(), one.type, one.cancel, one.sendDontHave]),
    [[cid.toString(), 'block', false, true]],
  )
})

test('all wants of a message are in one want-list, since some readers keep only the last', async () => {
  const cid = CID.parse('QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n')
  const one = { cid, cancel: false, type: 'block' as const, sendDontHave: true }
  const message = await unframed(
    messageOf([wantPart(one), presencePart(cid, true), wantPart({ ...one, type: 'have' })]),
  )
  assert.deepEqual(
    [...fields(message)].map(({ number }) => number),
    [1, 4],
  )
  assert.equal(decodeMessage(message).wants.length, 2)
})

test('questions of the block protocol say the same after the wire', () =>
  fc.assert(
    fc.asyncProperty(fc.constantFrom('want' as const, 'have' as const), fc.array(block), async (question, blocks) => {
      const cids = blocks.map(({ cid }) => cid)
      const decoded = decodeQuestion(await unframed([encodeQuestion(question, cids)]))
      assert.equal(decoded.question, question)
      assert.deepEqual(decoded.cids.map(String), cids.map(String))
    }),
  ))

for (const [name, decode] of [
  ['Bitswap', decodeMessage],
  ['block protocol', decodeQuestion],
] as const)
  test(`any bytes are refused or understood by ${name}, nothing else`, () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
        try {
          decode(garbage)
        } catch (error) {
          assert.ok(error instanceof ExchangeError, String(error))
        }
      }),
      { numRuns: 3_000 },
    ))
