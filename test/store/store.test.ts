// The store as its users see it: what is durable, what is verified, what survives a restart, rot, and files that change.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import { identity } from 'multiformats/hashes/identity'
import { Block, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { openStore } from '../../src/store/open.ts'
import { until } from '../twins/until.ts'
import { both, deps, missing, node, putAll, raw, withFolder, withStore } from './stores.ts'

const sizes = [
  0,
  1,
  limits.inlineBytesMax - 1,
  limits.inlineBytesMax,
  limits.inlineBytesMax + 1,
  1 << 20,
  limits.blockBytesMax,
]

both('blocks of every size come back, also after a restart', ({ withPlace }) =>
  withPlace(async ({ open }) => {
    const blocks = sizes.map((size) => raw(randomBytes(size)))
    {
      await using store = await open()
      await putAll(store, blocks)
      await putAll(store, blocks)
      assert.equal(store.stats().blocks, sizes.length)
    }
    await using store = await open()
    for (const { cid, bytes } of blocks) {
      assert.ok(store.has(cid))
      assert.equal(store.sizeOf(cid), bytes.byteLength)
      assert.deepEqual(Buffer.from((await store.get(cid)).bytes), Buffer.from(bytes))
      assert.deepEqual(Buffer.from(await store.unverified(cid)), Buffer.from(bytes))
    }
    assert.equal(
      store.stats().bytes,
      sizes.reduce((a, b) => a + b),
    )
    await assert.rejects(store.get(missing), { code: 'NOT_FOUND' })
  }),
)

both('one block has many CIDs, and an identity CID needs no store', ({ withStore }) =>
  withStore(async (store) => {
    const block = node([], 'x')
    await putAll(store, [block])
    assert.ok(store.has(CID.createV0(block.cid.multihash as never)))
    const own = CID.createV1(codecs.raw, identity.digest(Buffer.from('tiny')))
    assert.ok(store.has(own))
    assert.equal(Buffer.from((await store.get(own)).bytes).toString(), 'tiny')
  }),
)

both('what was flushed is there when the process is not closed but opened anew', ({ withPlace }) =>
  withPlace(async ({ open }) => {
    const first = await open()
    const block = raw(randomBytes(100_000))
    await putAll(first, [block])
    await using second = await open()
    assert.ok(second.has(block.cid))
    await first[Symbol.asyncDispose]()
  }),
)

both('what is written for long is kept on the way: nobody need flush', ({ withStore }) =>
  withStore(async (store) => {
    using lease = store.lease('test')
    await using writer = store.writer(lease)
    const blocks = Array.from({ length: 5 * (limits.writeBytesMax >> 20) }, () => raw(randomBytes(1 << 20)))
    for (const block of blocks) await writer.put(block)
    await until('the first of them are there', () => store.has(blocks[0]!.cid))
  }),
)

test('a file that rots is noticed, set aside, and can be put again', () =>
  withStore(async (store, directory) => {
    const block = raw(randomBytes(200_000))
    await putAll(store, [block])
    await rotOnlyBlock(directory)
    const lost: string[] = []
    const stop = store.onLost((cid) => lost.push(Buffer.from(cid.multihash.bytes).toString('hex')))
    const verified = await store.verify()
    stop()
    assert.deepEqual(lost, [Buffer.from(block.cid.multihash.bytes).toString('hex')])
    assert.deepEqual(
      verified.problems.map(({ cid }) => cid.toString()),
      [block.cid.toString()],
    )
    assert.equal(store.has(block.cid), false)
    assert.equal((await readdir(join(directory, 'quarantine'))).length, 1)
    await assert.rejects(store.get(block.cid), { code: 'NOT_FOUND' })
    await putAll(store, [block])
    assert.ok(store.has(block.cid))
    assert.deepEqual((await store.verify()).problems, [])
  }))

test('what has rotted without anybody having noticed is written when it is put again', () =>
  withStore(async (store, directory) => {
    const block = raw(randomBytes(200_000))
    await putAll(store, [block])
    await rotOnlyBlock(directory)
    await putAll(store, [block])
    assert.deepEqual((await store.get(block.cid)).bytes, block.bytes)
    assert.equal((await readdir(join(directory, 'quarantine'))).length, 1)
    await rm(await onlyBlock(directory))
    await putAll(store, [block])
    assert.deepEqual((await store.get(block.cid)).bytes, block.bytes)
  }))

test('what turns out to have rotted while it is kept from a collection is written when it is put', () =>
  withStore(async (store, directory) => {
    const block = raw(randomBytes(200_000))
    await putAll(store, [block])
    await store.pins.add(block.cid, { recursive: true })
    await store.gc()
    await rotOnlyBlock(directory)
    using lease = store.lease('fetch')
    await using writer = store.writer(lease)
    assert.ok(writer.touch(block.cid))
    await assert.rejects(store.get(block.cid), { code: 'CORRUPT' })
    await writer.put(block)
    await writer.flush()
    assert.deepEqual((await store.get(block.cid)).bytes, block.bytes)
  }))

test('a block that is put twice at once is written once', () =>
  withStore(async (store, directory) => {
    const block = raw(randomBytes(200_000))
    using lease = store.lease('test')
    await using writer = store.writer(lease)
    await Promise.all([writer.put(block), writer.put(block)])
    await writer.flush()
    assert.ok(await onlyBlock(directory))
    const [shard = ''] = await readdir(join(directory, 'blocks'))
    assert.equal((await readdir(join(directory, 'blocks', shard))).length, 1)
  }))

test('a put that is under way when its writer ends says so, and leaves no file', () =>
  withStore(async (store, directory) => {
    const [fresh, rotten] = [raw(randomBytes(200_000)), raw(randomBytes(200_000))]
    await putAll(store, [rotten])
    await rotOnlyBlock(directory)
    using lease = store.lease('test')
    const writer = store.writer(lease)
    const puts = Promise.allSettled([writer.put(fresh), writer.put(rotten)])
    await writer[Symbol.asyncDispose]()
    assert.deepEqual(
      (await puts).map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    const shards = await readdir(join(directory, 'blocks'))
    const names = await Promise.all(shards.map((shard) => readdir(join(directory, 'blocks', shard))))
    assert.deepEqual(names.flat(), [])
  }))

both('the bytes of a block that is being committed as a reference are written', ({ withStore }) =>
  withStore(async (store) => {
    const block = raw(randomBytes(200_000))
    using lease = store.lease('test')
    await using writer = store.writer(lease)
    await writer.putReference(block, { path: '/gone', offset: 0, length: 200_000, mtimeMs: 0 })
    await Promise.all([writer.flush(), Promise.resolve().then(() => writer.put(block))])
    await writer.flush()
    assert.deepEqual((await store.get(block.cid)).bytes, block.bytes)
  }),
)

both('what has been put counts as here while its commit is under way', ({ withStore }) =>
  withStore(async (store) => {
    using lease = store.lease('test')
    await using writer = store.writer(lease)
    // As many as make the file be committed as soon as it is written.
    for (let index = 1; index < limits.writeBlocksMax / 4; index++) await writer.put(raw(`small ${index}`))
    const block = raw(randomBytes(200_000))
    await writer.put(block)
    await until('it is committed', async () => {
      assert.ok(writer.touch(block.cid))
      return store.has(block.cid)
    })
  }),
)

both('what was touched twice is collected once its lease has ended', ({ withStore }) =>
  withStore(async (store) => {
    const block = raw(randomBytes(200_000))
    await putAll(store, [block])
    {
      using _other = store.lease('keeps it while the generations go by')
      await store.gc()
      using lease = store.lease('fetch')
      await using writer = store.writer(lease)
      assert.ok(writer.touch(block.cid))
      assert.ok(writer.touch(block.cid))
      await writer.flush()
    }
    await store.gc()
    await store.gc()
    assert.equal(store.has(block.cid), false)
  }),
)

test('a file that vanished counts as missing', () =>
  withStore(async (store, directory) => {
    const block = raw(randomBytes(200_000))
    await putAll(store, [block])
    await rm(join(directory, 'blocks'), { recursive: true })
    await mkdir(join(directory, 'blocks'))
    await assert.rejects(store.get(block.cid), { code: 'CORRUPT' })
    assert.equal(store.has(block.cid), false)
  }))

test('files that no block needs are removed by verify, those of blocks stay', () =>
  withStore(async (store, directory) => {
    const block = raw(randomBytes(200_000))
    await putAll(store, [block])
    const [shard = ''] = await readdir(join(directory, 'blocks'))
    const [name = ''] = await readdir(join(directory, 'blocks', shard))
    const orphan = `${name.slice(0, -12)}000000000000`
    await writeFile(join(directory, 'blocks', shard, orphan), 'left by a crash')
    await store.verify()
    assert.deepEqual(await readdir(join(directory, 'blocks', shard)), [name])
  }))

test('a lost catalog is made again from the files of large blocks', () =>
  withFolder(async (directory) => {
    const [large, small] = [raw(randomBytes(200_000)), raw('small')]
    {
      await using store = await openStore(deps, { directory })
      await putAll(store, [large, small])
    }
    await rm(join(directory, 'catalog'), { recursive: true })
    await using store = await openStore(deps, { directory })
    assert.ok(store.has(large.cid))
    assert.equal(store.has(small.cid), false)
    await store.get(large.cid)
  }))

both('references stay in their file, and break when it changes', ({ withStore }) =>
  withStore(async (store, directory) => {
    const path = join(directory, 'film.mov')
    const content = randomBytes(300_000)
    await writeFile(path, content)
    const { mtimeMs } = await stat(path)
    const block = raw(content.subarray(100_000))
    {
      using lease = store.lease('test')
      const writer = store.writer(lease)
      await writer.putReference(block, { path, offset: 100_000, length: 200_000, mtimeMs })
      await writer.flush()
    }
    assert.equal(store.stats().referencedBytes, 200_000)
    assert.deepEqual(Buffer.from((await store.get(block.cid)).bytes), content.subarray(100_000))
    await utimes(path, 1, 1)
    assert.ok(await store.get(block.cid), 'touched but the same bytes')
    await writeFile(path, randomBytes(300_000))
    await assert.rejects(
      store.get(block.cid),
      (error: Error) =>
        error.message.includes(path) && (error as never as { code: string }).code === 'REFERENCE_CHANGED',
    )
    assert.equal(store.has(block.cid), false)
    await writeFile(path, content)
    assert.ok(await store.get(block.cid), 'the file is back as it was')
    assert.ok(store.has(block.cid))
    await rm(path)
    await assert.rejects(store.get(block.cid), { code: 'REFERENCE_CHANGED' })
    await putAll(store, [block])
    assert.deepEqual(
      Buffer.from((await store.get(block.cid)).bytes),
      content.subarray(100_000),
      'a copy takes its place',
    )
    assert.equal(store.stats().referencedBytes, 0)
    await appendFile(path, '')
  }),
)

both(
  'a reference to a file that has moved without anybody having noticed follows the file that is put',
  ({ withStore }) =>
    withStore(async (store, directory) => {
      const [before, after] = [join(directory, 'before.mov'), join(directory, 'after.mov')]
      const content = randomBytes(300_000)
      await writeFile(before, content)
      const { mtimeMs } = await stat(before)
      const block = raw(content)
      const refer = async (path: string) => {
        using lease = store.lease('test')
        await using writer = store.writer(lease)
        await writer.putReference(block, { path, offset: 0, length: 300_000, mtimeMs })
        await writer.flush()
      }
      await refer(before)
      await rename(before, after)
      await refer(after)
      assert.deepEqual(Buffer.from((await store.get(block.cid)).bytes), content)
    }),
)

both('tables keep their order, their bounds and each to itself', ({ withPlace }) =>
  withPlace(async ({ open }) => {
    {
      await using store = await open()
      const [a, b] = [store.table('a'), store.table('b')]
      await a.write(['2', '1', '3'].map((put) => ({ put, value: Buffer.from(put) })))
      await b.write([{ put: '2', value: Buffer.from('other') }])
      await a.write([{ delete: '3' }, { put: '4', value: Buffer.from('4') }])
    }
    await using store = await open()
    const table = store.table('a')
    const keys = (bounds: { from?: string; to?: string; limit?: number }) =>
      [...table.range(bounds)].map(([key]) => key)
    assert.deepEqual(keys({}), ['1', '2', '4'])
    assert.deepEqual(keys({ from: '2' }), ['2', '4'])
    assert.deepEqual(keys({ from: '1', to: '4' }), ['1', '2'])
    assert.deepEqual(keys({ limit: 1 }), ['1'])
    assert.equal(Buffer.from(table.get('2') ?? []).toString(), '2')
    assert.equal(table.get('3'), undefined)
  }),
)

both('a block that the store holds under a wrong name is never shown', ({ withStore }) =>
  withStore(async (store) => {
    assert.throws(() => Block.verify(missing, Buffer.from('not hello world')), { code: 'MISMATCH' })
    assert.equal(store.has(missing), false)
  }),
)

async function onlyBlock(directory: string): Promise<string> {
  const [shard = ''] = await readdir(join(directory, 'blocks'))
  const [name = ''] = await readdir(join(directory, 'blocks', shard))
  return join(directory, 'blocks', shard, name)
}

async function rotOnlyBlock(directory: string): Promise<void> {
  const path = await onlyBlock(directory)
  const bytes = await readFile(path)
  bytes[1000]! ^= 1
  await writeFile(path, bytes)
}
