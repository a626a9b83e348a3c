// CARs: ours are read by @ipld/car and theirs by us, in version 1 and 2; everything else, down to any bytes at all, is an
// error that says what is wrong and where.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CarReader, CarWriter } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { CodedError } from '../../src/base/errors.ts'
import { readVarint, varintBytes } from '../../src/base/frames.ts'
import { Block, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { addStream, discardingWriter } from '../../src/files/add.ts'
import { exportCar, importCar } from '../../src/files/car.ts'
import { readFile } from '../../src/files/read.ts'
import { MemoryBlocks } from '../twins/memory-blocks.ts'
import { put, putNode, putRaw } from './dags.ts'
import { tinyV1 } from './trees.ts'

async function* inPieces(bytes: Uint8Array, pieceBytes = 7): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

const importing = (bytes: Uint8Array, blocks = new MemoryBlocks()) => importCar({ writer: blocks }, inPieces(bytes))

async function exported(blocks: MemoryBlocks, ...roots: CID[]): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(exportCar(blocks, roots)))
}

/** A CAR of one file of ten blocks, and where each of them begins. */
async function sample(): Promise<{ car: Buffer; cid: CID; content: Buffer; blocks: MemoryBlocks }> {
  const blocks = new MemoryBlocks()
  const content = Buffer.from(Array.from({ length: 65 }, (_, index) => index))
  const { cid } = await addStream({ writer: blocks }, inPieces(content), { profile: tinyV1 })
  return { car: await exported(blocks, cid), cid, content, blocks }
}

function header(value: unknown): Buffer {
  const bytes = dagCbor.encode(value)
  return Buffer.concat([varintBytes(bytes.byteLength), bytes])
}

function section(cid: CID, bytes: Uint8Array): Buffer {
  return Buffer.concat([varintBytes(cid.bytes.byteLength + bytes.byteLength), cid.bytes, bytes])
}

/** The CAR as the data of version 2, with room before and an index after it. */
function version2(car: Uint8Array, room = 13, claims: { offset?: bigint; size?: bigint } = {}): Buffer {
  const fixed = Buffer.alloc(40)
  fixed.writeBigUInt64LE(claims.offset ?? BigInt(51 + room), 16)
  fixed.writeBigUInt64LE(claims.size ?? BigInt(car.byteLength), 24)
  fixed.writeBigUInt64LE(BigInt(51 + room + car.byteLength), 32)
  return Buffer.concat([
    header({ version: 2 }),
    fixed,
    Buffer.alloc(room, 0xee),
    car,
    Buffer.from('an index of some sort'),
  ])
}

test('a CAR holds the DAG: what is exported is imported, in version 1 and 2', async () => {
  const { car, cid, content } = await sample()
  for (const bytes of [car, version2(car), version2(car, 0)]) {
    const blocks = new MemoryBlocks()
    const imported = await importing(bytes, blocks)
    assert.deepEqual(imported.roots.map(String), [cid.toString()])
    assert.equal(imported.blocks, blocks.size)
    assert.deepEqual(Buffer.concat(await Array.fromAsync(readFile(blocks, cid))), content)
  }
})

test('@ipld/car reads ours, in depth, each block once', async () => {
  const { car, cid } = await sample()
  const reader = await CarReader.fromBytes(car)
  assert.deepEqual((await reader.getRoots()).map(String), [cid.toString()])
  const order = (await Array.fromAsync(reader.blocks())).map((block) => block.cid.toString())
  assert.equal(order[0], cid.toString())
  assert.equal(new Set(order).size, order.length)
  const blocks = new MemoryBlocks()
  const leaf = await putRaw(blocks, 'x')
  const inner = await putNode(blocks, undefined, [{ cid: leaf }])
  const root = await putNode(blocks, undefined, [{ cid: inner }, { cid: leaf }, { cid: inner }])
  const again = await CarReader.fromBytes(await exported(blocks, root, inner))
  assert.deepEqual((await Array.fromAsync(again.cids())).map(String), [root, inner, leaf].map(String))
})

test('we read those of @ipld/car, whatever the codec, the hash and the pieces', async () => {
  const blocks = [
    Block.of(codecs.raw, Buffer.from('one')),
    Block.of(codecs.dagCbor, dagCbor.encode({ two: 2 })),
    Block.of(codecs.dagPb, new Uint8Array([0x0a, 0]), 0),
    Block.of(codecs.raw, new Uint8Array(0)),
    Block.verify(CID.createV1(codecs.raw, Digest.create(0, Buffer.from('inline'))), Buffer.from('inline')),
  ]
  const { writer, out } = CarWriter.create(blocks.map((block) => block.cid))
  const bytes = Array.fromAsync(out)
  for (const block of blocks) await writer.put({ cid: block.cid, bytes: new Uint8Array(block.bytes) })
  await writer.close()
  const car = Buffer.concat(await bytes)
  for (const pieceBytes of [1, 2, 50, 10_000]) {
    const store = new MemoryBlocks()
    const imported = await importCar({ writer: store }, inPieces(car, pieceBytes))
    assert.deepEqual(
      imported.roots.map(String),
      blocks.map((block) => block.cid.toString()),
    )
    assert.equal(imported.blocks, 5)
    // The one that its CID carries is not stored.
    assert.equal(store.size, 4)
  }
})

test('blocks that their CIDs carry are not exported, what they link to is', async () => {
  const blocks = new MemoryBlocks()
  const leaf = await putRaw(blocks, 'x')
  const inline = Block.verify(
    CID.createV1(codecs.dagCbor, Digest.create(0, dagCbor.encode([leaf]))),
    dagCbor.encode([leaf]),
  )
  const root = await put(blocks, Block.of(codecs.dagCbor, dagCbor.encode([inline.cid])))
  const reader = await CarReader.fromBytes(await exported(blocks, root))
  assert.deepEqual((await Array.fromAsync(reader.cids())).map(String), [root, leaf].map(String))
})

test('a CAR of no roots and no blocks is one', async () => {
  assert.deepEqual(await importing(await exported(new MemoryBlocks())), { roots: [], blocks: 0, sizeBytes: 0 })
})

test('large blocks are not copied into the stream, small ones are gathered', async () => {
  const blocks = new MemoryBlocks()
  const large = await putRaw(blocks, Buffer.alloc(300_000))
  const cids = [large]
  for (let index = 0; index < 100; index++) cids.push(await putRaw(blocks, `${index}`))
  const root = await putNode(
    blocks,
    undefined,
    cids.map((cid) => ({ cid })),
  )
  const pieces = await Array.fromAsync(exportCar(blocks, [root]))
  assert.equal(pieces.length, 3)
  assert.ok(pieces[1] === (await blocks.get(large)).bytes)
})

test('a CAR that is cut off anywhere is an error that says after how many bytes', async () => {
  const { car, blocks } = await sample()
  const ends = new Set<number>()
  // Between two blocks a cut cannot be seen: the format has no end mark.
  for (let at = 0; at < car.byteLength; ) {
    const { value, next } = readVarint(car, at)
    at = next + value
    ends.add(at)
  }
  assert.equal(ends.size - 1, blocks.size)
  for (let length = 1; length < car.byteLength; length++) {
    if (ends.has(length)) continue
    const cut = importing(car.subarray(0, length))
    await assert.rejects(
      cut,
      { code: 'CAR_TRUNCATED', message: new RegExp(`after ${length} bytes`) },
      `${length} bytes`,
    )
    if (length > 10) await assert.rejects(importing(version2(car).subarray(0, length)), { code: 'CAR_TRUNCATED' })
  }
})

test('what is no CAR is called that', async () => {
  const long = Buffer.alloc(100_000, 'no CAR at all. ')
  const cases: Uint8Array[] = [Buffer.alloc(0), Buffer.from('hello'), long, Buffer.alloc(1000), Buffer.alloc(20, 0xff)]
  for (const value of [
    { version: 3, roots: [] },
    { version: 1 },
    { version: 1, roots: 'x' },
    { roots: [] },
    [1],
    { version: 2, roots: [] },
  ])
    cases.push(header(value))
  cases.push(Buffer.concat([varintBytes(limits.carHeaderBytesMax + 1), Buffer.alloc(10, 0xa2)]))
  cases.push(Buffer.concat([varintBytes(5), Buffer.from([0xa2, 0xff, 0xff, 0xff, 0xff])]))
  cases.push(Buffer.concat([varintBytes(1_000_000), Buffer.from([0xa1]), Buffer.alloc(999_999, 0x81)]))
  for (const bytes of cases)
    await assert.rejects(
      importing(bytes),
      { code: 'CAR_INVALID', message: /not a CAR/ },
      Buffer.from(bytes.subarray(0, 20)).toString('hex'),
    )
})

test('damage is named with its offset', async () => {
  const start = header({ version: 1, roots: [] })
  const good = Block.of(codecs.raw, Buffer.from('good'))
  const first = section(good.cid, good.bytes)
  const at = start.byteLength + first.byteLength
  const other = Block.of(codecs.raw, Buffer.from('other'))
  const blake = CID.createV1(codecs.raw, Digest.create(0xb220, new Uint8Array(32)))
  const cases: [string, Uint8Array, string, RegExp][] = [
    ['a wrong block', section(other.cid, good.bytes), 'MISMATCH', new RegExp(`byte ${at}: .*${other.cid}`)],
    ['an unknown hash', section(blake, good.bytes), 'HASH_UNSUPPORTED', new RegExp(`byte ${at}`)],
    ['no CID', Buffer.from([5, 9, 9, 9, 9, 9]), 'CAR_INVALID', new RegExp(`byte ${at} `)],
    ['part of a CID', Buffer.from([5, 1, 0x55, 0x12, 0x20, 9]), 'CAR_INVALID', new RegExp(`byte ${at} `)],
    [
      'a huge block',
      Buffer.concat([varintBytes(2 ** 40), Buffer.alloc(9)]),
      'BLOCK_TOO_LARGE',
      new RegExp(`byte ${at}`),
    ],
    ['a length without end', Buffer.alloc(20, 0xff), 'CAR_INVALID', /too large/],
    ['an empty block', Buffer.from([0, 0, 0, 1]), 'CAR_INVALID', new RegExp(`byte ${at} there is an empty block`)],
  ]
  for (const [what, bytes, code, message] of cases) {
    const blocks = new MemoryBlocks()
    const bad = importing(Buffer.concat([start, first, bytes]), blocks)
    await assert.rejects(bad, (error: CodedError) => {
      assert.equal(error.code, code, what)
      assert.match(error.message, message, what)
      return true
    })
    assert.ok(blocks.has(good.cid) && blocks.size === 1, 'what came before was put, nothing else')
  }
})

test('a block at the limit is taken, one byte more is not', async () => {
  const start = header({ version: 1, roots: [] })
  for (const extra of [0, 1]) {
    const bytes = Buffer.alloc(limits.blockBytesMax + extra)
    const car = Buffer.concat([start, section(Block.of(codecs.raw, bytes).cid, bytes)])
    const result = importCar({ writer: discardingWriter }, inPieces(car, 65_536))
    if (extra) await assert.rejects(result, { code: 'BLOCK_TOO_LARGE' })
    else assert.equal((await result).blocks, 1)
  }
})

test('zeros at the end are padding', async () => {
  const { car, blocks } = await sample()
  const padded = Buffer.concat([car, Buffer.alloc(1000)])
  assert.equal((await importing(padded)).blocks, blocks.size)
  assert.equal((await importing(version2(padded))).blocks, blocks.size)
})

test('version 2 headers that lie are errors', async () => {
  const { car } = await sample()
  const invalid = [
    version2(car, 0, { offset: 3n }),
    version2(car, 0, { offset: 2n ** 63n }),
    version2(car, 0, { size: 2n ** 63n }),
    version2(car, 0, { size: 1n }),
    version2(car, 0, { size: BigInt(car.byteLength - 1) }),
    version2(version2(car)),
  ]
  for (const [index, bytes] of invalid.entries())
    await assert.rejects(importing(bytes), { code: 'CAR_INVALID' }, `case ${index}`)
  await assert.rejects(importing(version2(car, 0, { offset: 10_000n })), { code: 'CAR_TRUNCATED' })
  await assert.rejects(importing(version2(car, 0, { size: 10_000n })), (error: CodedError) =>
    error.code.startsWith('CAR_'),
  )
})

test('any bytes, and any damage to a CAR, are an error of ours or none', async () => {
  const { car } = await sample()
  const expected = async (bytes: Uint8Array) => {
    try {
      await importing(bytes)
    } catch (error) {
      assert.ok(error instanceof CodedError, String(error))
    }
  }
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), expected), { numRuns: 500 })
  const change = fc.record({ at: fc.nat(car.byteLength + 70), byte: fc.nat(255) })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(car, version2(car)),
      fc.array(change, { maxLength: 4 }),
      async (whole, changes) => {
        const bytes = Buffer.from(whole)
        for (const { at, byte } of changes) if (at < bytes.byteLength) bytes[at] = byte
        await expected(bytes)
      },
    ),
    { numRuns: 500 },
  )
})

test('the source is released, and a hanging one does not keep a cancelled import', async () => {
  const { car } = await sample()
  let released = 0
  async function* endless() {
    try {
      yield car.subarray(0, 60)
      for (;;) yield Buffer.alloc(10, 0xff)
    } finally {
      released++
    }
  }
  await assert.rejects(importCar({ writer: discardingWriter }, endless()))
  await new Promise(setImmediate)
  assert.equal(released, 1)
  const controller = new AbortController()
  async function* silent(): AsyncGenerator<Uint8Array> {
    yield car.subarray(0, 60)
    queueMicrotask(() => controller.abort(new Error('enough')))
    await new Promise(() => {})
  }
  await assert.rejects(importCar({ writer: discardingWriter }, silent(), { signal: controller.signal }), /enough/)
})
