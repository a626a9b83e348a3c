// Reading: any range of any layout is what Buffer.slice gives, only its blocks are asked for, and DAGs that lie about
// sizes, types or depth are errors.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { exporter } from 'ipfs-unixfs-exporter'
import { importBytes } from 'ipfs-unixfs-importer'
import { trickle } from 'ipfs-unixfs-importer/layout'
import type { CID } from 'multiformats/cid'
import { Block, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { addStream } from '../../src/files/add.ts'
import type { Profile } from '../../src/files/profiles.ts'
import { readFile } from '../../src/files/read.ts'
import { MemoryBlocks } from '../twins/memory-blocks.ts'
import { put, putFolder, putNode, putRaw, putSymlink } from './dags.ts'
import { oracleOptions, tinyV0, tinyV1 } from './trees.ts'

async function addBytes(blocks: MemoryBlocks, bytes: Uint8Array, profile: Profile): Promise<CID> {
  async function* stream() {
    yield bytes
  }
  return (await addStream({ writer: blocks }, stream(), { profile })).cid
}

async function read(blocks: MemoryBlocks, cid: CID, options = {}): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(readFile(blocks, cid, options)))
}

const counting = (length: number) => Uint8Array.from({ length }, (_, index) => index)

test('any range is what slice gives', async () => {
  for (const profile of [tinyV1, tinyV0])
    await fc.assert(
      fc.asyncProperty(fc.nat(400), fc.nat(450), fc.option(fc.nat(450)), async (size, offset, length) => {
        const blocks = new MemoryBlocks()
        const bytes = counting(size)
        const cid = await addBytes(blocks, bytes, profile)
        const wanted = bytes.slice(offset, length === null ? undefined : offset + length)
        assert.deepEqual(await read(blocks, cid, { offset, length: length ?? undefined }), Buffer.from(wanted))
      }),
      { numRuns: 80 },
    )
})

test('files of ipfs-unixfs-importer in its other layouts are read, and ours by ipfs-unixfs-exporter', async () => {
  const blocks = new MemoryBlocks()
  const bytes = counting(777)
  const asStore = {
    put: async (cid: CID, bytes: Uint8Array) => await put(blocks, Block.verify(cid, bytes)),
    get: async function* (cid: CID) {
      yield (await blocks.get(cid)).bytes
    },
  }
  const layout = trickle({ maxChildrenPerNode: 2, layerRepeat: 2 })
  for (const leafType of ['raw', 'file'] as const) {
    const { cid } = await importBytes(bytes, asStore, { ...oracleOptions(tinyV0), layout, leafType })
    assert.deepEqual(await read(blocks, cid), Buffer.from(bytes))
    assert.deepEqual(await read(blocks, cid, { offset: 333, length: 222 }), Buffer.from(bytes.slice(333, 555)))
  }
  for (const profile of [tinyV1, tinyV0]) {
    const entry = await exporter(await addBytes(blocks, bytes, profile), asStore)
    assert.ok(entry.type === 'file' || entry.type === 'raw')
    assert.deepEqual(Buffer.concat(await Array.fromAsync(entry.content())), Buffer.from(bytes))
  }
})

test('a node may have bytes of its own before those of its links', async () => {
  const blocks = new MemoryBlocks()
  const leaf = await putRaw(blocks, 'world')
  const cid = await putNode(blocks, { type: 'file', data: Buffer.from('hello '), blockSizes: [5n] }, [{ cid: leaf }])
  assert.equal(String(await read(blocks, cid)), 'hello world')
  assert.equal(String(await read(blocks, cid, { offset: 4, length: 4 })), 'o wo')
})

test('only the blocks of the range are asked for', async () => {
  const blocks = new MemoryBlocks()
  // 30 leaves, 10 nodes above them, 4 above those, 2, and the root.
  const cid = await addBytes(blocks, counting(300), tinyV1)
  blocks.asked.length = 0
  await read(blocks, cid, { offset: 155, length: 1 })
  assert.equal(blocks.asked.length, 5)
  blocks.asked.length = 0
  await read(blocks, cid, { offset: 300 })
  assert.equal(blocks.asked.length, 1)
})

test('blocks are asked for ahead, in order, and not more than the limit', async () => {
  const wide = { ...tinyV1, linksMax: 1000 }
  const blocks = new MemoryBlocks()
  const cid = await addBytes(blocks, counting(1000), wide)
  let waiting = 0
  let most = 0
  const counted = {
    async get(cid: CID, options: object) {
      waiting++
      most = Math.max(most, waiting)
      await new Promise(setImmediate)
      return await blocks.get(cid, options).finally(() => waiting--)
    },
  }
  blocks.asked.length = 0
  const order = await Array.fromAsync(readFile(counted, cid))
  assert.equal(most, limits.readAheadBlocks)
  assert.deepEqual(Buffer.concat(order), Buffer.from(counting(1000)))
})

test('leaving early cancels what was asked ahead, and a cancelled read ends with the reason', async () => {
  const blocks = new MemoryBlocks()
  const cid = await addBytes(blocks, counting(300), { ...tinyV1, linksMax: 1000 })
  const signals: AbortSignal[] = []
  const reader = {
    get(cid: CID, options: { signal?: AbortSignal | undefined } = {}) {
      signals.push(options.signal!)
      return blocks.get(cid, options)
    },
  }
  for await (const _ of readFile(reader, cid)) break
  assert.ok(signals.every((signal) => signal.aborted))
  const controller = new AbortController()
  const reading = readFile(blocks, cid, { signal: controller.signal })
  await reading.next()
  controller.abort(new Error('enough'))
  await assert.rejects(reading.next(), /enough/)
})

test('a missing block is the error of the reader', async () => {
  const blocks = new MemoryBlocks()
  const cid = await addBytes(blocks, counting(95), tinyV1)
  blocks.delete(Block.of(codecs.raw, counting(95).subarray(90)).cid)
  await assert.rejects(read(blocks, cid), { code: 'NOT_FOUND' })
})

test('folders, links and other data are not files', async () => {
  const blocks = new MemoryBlocks()
  await assert.rejects(read(blocks, await putFolder(blocks, [])), { code: 'IS_DIRECTORY' })
  await assert.rejects(read(blocks, await putSymlink(blocks, 'a')), { code: 'NOT_FILE' })
  await assert.rejects(read(blocks, await putNode(blocks, undefined)), { code: 'NOT_FILE' })
})

test('DAGs that lie about their sizes are errors', async () => {
  const blocks = new MemoryBlocks()
  const leaf = await putRaw(blocks, '12345')
  const link = { cid: leaf, tsize: 5 }
  const lies: [string, bigint[], number][] = [
    ['too small', [4n], 1],
    ['too large', [6n], 1],
    ['no size for a link', [], 1],
    ['a size for no link', [5n, 5n], 1],
    ['beyond counting', [2n ** 63n], 1],
  ]
  for (const [lie, blockSizes, count] of lies) {
    const cid = await putNode(blocks, { type: 'file', blockSizes }, Array(count).fill(link))
    await assert.rejects(read(blocks, cid), { code: 'DAG_INVALID' }, lie)
  }
  const folder = await putFolder(blocks, [])
  const cid = await putNode(blocks, { type: 'file', blockSizes: [5n] }, [{ cid: folder }])
  await assert.rejects(read(blocks, cid), { code: 'DAG_INVALID' }, 'a folder inside a file')
  const empty = await putNode(blocks, { type: 'file', blockSizes: [5n, 0n, 5n] }, [link, { cid: folder }, link])
  assert.equal(String(await read(blocks, empty)), '1234512345', 'what is said to be empty is not looked at')
})

test('a file that is deeper than any file is an error', async () => {
  const blocks = new MemoryBlocks()
  let cid = await putRaw(blocks, 'x')
  const nest = async (levels: number) => {
    for (let level = 0; level < levels; level++)
      cid = await putNode(blocks, { type: 'file', blockSizes: [1n] }, [{ cid }])
  }
  await nest(limits.fileDepthMax)
  assert.equal(String(await read(blocks, cid)), 'x')
  await nest(1)
  await assert.rejects(read(blocks, cid), { code: 'DAG_INVALID', message: /levels/ })
})
