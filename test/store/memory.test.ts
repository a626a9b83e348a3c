// What the store in memory is for: every way in which a disk loses what was not durable, each at a moment of the test's choosing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Block } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import type { BlockFiles } from '../../src/store/block-files.ts'
import { Catalog } from '../../src/store/catalog.ts'
import { StoreError } from '../../src/store/errors.ts'
import { memoryTable, openMemoryStore } from '../../src/store/memory.ts'
import { MemoryDisk, openMemoryDisk } from '../../src/store/memory-disk.ts'
import { Store } from '../../src/store/open.ts'
import { StoreWriter } from '../../src/store/writer.ts'
import { deps, node, putAll, raw } from './stores.ts'

const large = (salt: string) => raw(Buffer.alloc(100_000, salt))
const fullDisk = () => Object.assign(new Error('no room'), { code: 'ENOSPC' })

/** A disk whose writes each wait until they are let through, in order. */
class SlowDisk extends MemoryDisk {
  readonly writes: PromiseWithResolvers<void>[] = []
  readonly open = () =>
    openMemoryStore({
      ...deps,
      disk: this,
      commit: () => {
        const write = Promise.withResolvers<void>()
        this.writes.push(write)
        return write.promise
      },
    })

  /** Lets the next write through, or fail, once it has been asked for. */
  async let(error?: Error): Promise<void> {
    while (this.writes.length === 0) await turn()
    const write = this.writes.shift()!
    if (error) write.reject(error)
    else write.resolve()
    await turn()
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('a crash loses what was put and not flushed, and nothing else', async () => {
  const disk = new MemoryDisk()
  const open = () => openMemoryStore({ ...deps, disk })
  const [kept, keptLarge, lost, lostLarge] = [raw('kept'), large('kept'), raw('lost'), large('lost')]
  const before = await open()
  await putAll(before, [kept, keptLarge])
  await before.pins.add(kept.cid, { recursive: true })
  await before.table('names').write([{ put: 'a', value: Uint8Array.of(1) }])
  const writer = before.writer(before.lease('adding'))
  await writer.put(lost)
  await writer.put(lostLarge)
  disk.crash()
  await assert.rejects(writer.flush(), { code: 'STORE_FAILED' })
  await assert.rejects(before.table('names').write([{ delete: 'a' }]), { code: 'STORE_FAILED' })
  const after = await open()
  for (const { cid, bytes } of [kept, keptLarge]) assert.deepEqual(Buffer.from((await after.get(cid)).bytes), bytes)
  for (const { cid } of [lost, lostLarge]) await assert.rejects(after.get(cid), { code: 'NOT_FOUND' })
  assert.equal(after.stats().blocks, 2)
  assert.deepEqual(
    [...after.pins.list()].map(({ cid }) => cid.toString()),
    [kept.cid.toString()],
  )
  assert.deepEqual(after.table('names').get('a'), Uint8Array.of(1))
  assert.deepEqual((await after.verify()).problems, [])
})

test('a crash at any write leaves a store that is whole, with all that was acknowledged', async () => {
  let crashed = true
  for (let fatal = 0; crashed; fatal++) {
    const disk = new MemoryDisk()
    const acknowledged: Block[] = []
    let writes = 0
    crashed = false
    const store = await openMemoryStore({
      ...deps,
      disk,
      commit: async () => {
        if (writes++ !== fatal) return
        crashed = true
        disk.crash()
      },
    })
    try {
      for (let index = 0; index < 4; index++) {
        const blocks = [raw(`small ${index}`), large(`large ${index}`)]
        const root = node(blocks.map(({ cid }) => cid))
        await putAll(store, [...blocks, root])
        await store.pins.add(root.cid, { recursive: true })
        acknowledged.push(...blocks, root)
        await putAll(store, [large(`nobody's ${index}`)])
        await store.gc()
      }
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'STORE_FAILED')
    }
    const again = await openMemoryStore({ ...deps, disk })
    for (const { cid } of acknowledged) await again.get(cid)
    assert.deepEqual((await again.verify()).problems, [])
    const named = [...disk.files.values()].length
    const entries = again.stats().fileBytes / 100_000
    assert.equal(named, entries, 'verify has removed what nobody names')
  }
})

test('a write can be seen before it is durable, and is durable only when it resolves', async () => {
  const disk = new SlowDisk()
  const store = await disk.open()
  const table = store.table('state')
  let resolved = false
  const writing = table.write([{ put: 'a', value: Uint8Array.of(1) }]).then(() => {
    resolved = true
  })
  assert.equal(table.get('a'), undefined, 'not within the turn that asks for it')
  await turn()
  assert.deepEqual(table.get('a'), Uint8Array.of(1))
  assert.equal(resolved, false)
  assert.equal((await disk.open()).table('state').get('a'), undefined)
  await disk.let()
  await writing
  assert.deepEqual((await disk.open()).table('state').get('a'), Uint8Array.of(1))
})

test('a write that fails changes nothing, and the next one goes on', async () => {
  const disk = new SlowDisk()
  const store = await disk.open()
  const table = store.table('state')
  const first = table.write([{ put: 'a', value: Uint8Array.of(1) }])
  await disk.let()
  await first
  const failing = table.write([{ delete: 'a' }, { put: 'b', value: Uint8Array.of(2) }])
  const failed = assert.rejects(failing, { code: 'STORE_FULL', retryable: true })
  await disk.let(fullDisk())
  await failed
  assert.deepEqual(
    [...table.range({})].map(([key]) => key),
    ['a'],
  )
  const next = table.write([{ put: 'c', value: Uint8Array.of(3) }])
  await disk.let()
  await next
  for (const each of [store, await disk.open()])
    assert.deepEqual(
      [...each.table('state').range({})].map(([key]) => key),
      ['a', 'c'],
    )
})

test('a full disk is said by the flush, and the figures stay right', async () => {
  const disk = new MemoryDisk()
  let full = false
  const commit = async () => {
    if (full) throw fullDisk()
  }
  const store = await openMemoryStore({ ...deps, disk, commit })
  await putAll(store, [raw('before'), large('before')])
  const stats = store.stats()
  full = true
  await assert.rejects(putAll(store, [raw('after'), large('after')]), { code: 'STORE_FULL' })
  assert.deepEqual(store.stats(), stats)
  full = false
  await putAll(store, [raw('after'), large('after')])
  assert.equal(store.stats().blocks, 4)
  assert.deepEqual((await openMemoryStore({ ...deps, disk })).stats(), store.stats())
})

test('a table by itself needs no store', async () => {
  let writes = 0
  const table = memoryTable({
    commit: async () => {
      writes++
    },
  })
  await Promise.all([
    table.write([{ put: 'b', value: Uint8Array.of(2) }]),
    table.write([{ put: 'a', value: Uint8Array.of(1) }]),
  ])
  assert.deepEqual(
    [...table.range({ from: 'a', to: 'b' })].map(([key, value]) => [key, ...value]),
    [['a', 1]],
  )
  assert.equal(writes, 1, 'writes that are asked for together share a commit')
})

test('a writer that ends before it has flushed takes its blocks with it', async () => {
  const disk = new MemoryDisk()
  const store = await openMemoryStore({ ...deps, disk })
  const blocks = Array.from({ length: 40 }, (_, index) => large(`${index}`))
  using lease = store.lease('test')
  {
    await using writer = store.writer(lease)
    for (const block of blocks) await writer.put(block)
    await writer.put(raw('small'))
  }
  assert.equal(disk.files.size, store.stats().blocks, 'files that no block names are gone')
  assert.equal(store.has(raw('small').cid), false)
  const { cid } = blocks[0]!
  await using next = store.writer(lease)
  await next.put(blocks[0]!)
  await next.flush()
  assert.deepEqual((await store.get(cid)).bytes, blocks[0]!.bytes)
})

test('a disk that is full takes nothing from what a failed writer had written', async () => {
  const disk = new MemoryDisk()
  let room = 12
  const commit = async () => {
    if (room-- <= 0) throw fullDisk()
  }
  const store = await openMemoryStore({ ...deps, disk, commit })
  const blocks = Array.from({ length: 400 }, (_, index) => large(`${index}`))
  await assert.rejects(putAll(store, blocks), { code: 'STORE_FULL' })
  room = Number.POSITIVE_INFINITY
  await store.gc()
  assert.equal(disk.files.size, 0, 'nothing counts as underway any more')
  await putAll(store, blocks)
})

test('a file that cannot be removed costs no block', async () => {
  const { environment, files } = openMemoryDisk(new MemoryDisk(), async () => {})
  const catalog = new Catalog(environment, 'memory')
  const stubborn = new Proxy(files, {
    get: (target, name: keyof BlockFiles) =>
      name === 'remove' ? () => Promise.reject(new Error('busy')) : target[name].bind(target),
  })
  const nothing = () => Promise.reject(new StoreError('NOT_FOUND', 'nothing is read here'))
  const reader = { get: nothing, unverified: nothing }
  const writer = () => new StoreWriter({ catalog, files: stubborn, reader })
  await using first = writer()
  await using second = writer()
  // Both have written it before either has flushed: the second file is one too many.
  await first.put(large('twice'))
  await second.put(large('twice'))
  await second.put(large('once'))
  await first.flush()
  await second.flush()
  for (const block of [large('twice'), large('once')]) {
    const entry = catalog.entry(block.cid.multihash.bytes)
    assert.equal(entry?.kind, 'file')
    assert.ok(await files.read({ key: block.cid.multihash.bytes, fileId: entry.fileId }))
  }
})

test('copies in place of references, and references twice, take no more commits than new blocks', async () => {
  const { environment, files } = openMemoryDisk(new MemoryDisk(), async () => {})
  const catalog = new Catalog(environment, 'memory')
  const reader = new Store(deps, catalog, files)
  const blocks = Array.from({ length: limits.writeBlocksMax + 2_000 }, (_, index) => raw(`block ${index}`))
  {
    await using writer = new StoreWriter({ catalog, files, reader })
    for (const block of blocks) {
      const reference = { path: '/gone', offset: 0, length: block.bytes.byteLength, mtimeMs: 0 }
      for (let twice = 0; twice < 2; twice++) await writer.putReference(block, reference)
    }
    await writer.flush()
  }
  // As after a collection: what is put is also touched.
  catalog.generation++
  let commits = 0
  const counting = new Proxy(catalog, {
    get(target, name: keyof Catalog) {
      if (name === 'change') commits++
      const value = target[name]
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  await using writer = new StoreWriter({ catalog: counting, files, reader })
  for (const block of blocks) await writer.put(block)
  await writer.flush()
  assert.ok(commits < 20, `${commits} commits`)
  for (const block of blocks)
    assert.deepEqual(Buffer.from((await reader.get(block.cid)).bytes), Buffer.from(block.bytes))
})
