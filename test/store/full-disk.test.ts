// A disk that is full, for real: a small one is mounted, which needs root. What was acknowledged stays, the failure is said
// as what it is, and the store works again once there is room.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openStore } from '../../src/store/open.ts'
import { deps, putAll, raw, withFolder } from './stores.ts'

const options = { skip: process.getuid?.() !== 0 && 'mounting a small disk needs root' }

function withSmallDisk(t: TestContext, size: string, work: (disk: string) => Promise<void>): Promise<void> {
  return withFolder(async (directory) => {
    const disk = join(directory, 'disk')
    await mkdir(disk)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk])
    } catch {
      return t.skip('mounting is not allowed here')
    }
    try {
      await work(disk)
    } finally {
      execFileSync('umount', ['-l', disk])
    }
  })
}

const blocksOf = (count: number, size: number) => Array.from({ length: count }, () => raw(randomBytes(size)))

test('a disk that large blocks fill is said, and nothing that was acknowledged is lost', options, (t) =>
  withSmallDisk(t, '24m', async (disk) => {
    await using store = await openStore(deps, { directory: disk })
    const first = blocksOf(8, 1 << 20)
    await putAll(store, first)
    const more = blocksOf(32, 1 << 20)
    await assert.rejects(putAll(store, more), { code: 'STORE_FULL' })
    for (const { cid } of first) await store.get(cid)
    assert.deepEqual((await store.verify()).problems, [])
    await store.gc()
    await putAll(store, more.slice(0, 4))
    for (const { cid } of more.slice(0, 4)) await store.get(cid)
  }),
)

test('a catalog that cannot grow is said, works again later, and closes', options, (t) =>
  withSmallDisk(t, '2m', async (disk) => {
    const first = blocksOf(8, 1_000)
    const more = blocksOf(64, 4_000)
    {
      await using store = await openStore(deps, { directory: disk })
      await putAll(store, first)
      await assert.rejects(writeFile(join(disk, 'other'), randomBytes(2 << 20)), { code: 'ENOSPC' })
      await assert.rejects(putAll(store, more), { code: 'STORE_FULL' })
      await rm(join(disk, 'other'))
      await putAll(store, more)
      await assert.rejects(writeFile(join(disk, 'other'), randomBytes(2 << 20)), { code: 'ENOSPC' })
      await assert.rejects(putAll(store, blocksOf(64, 4_000)), { code: 'STORE_FULL' })
    }
    await using store = await openStore(deps, { directory: disk })
    for (const { cid } of [...first, ...more]) await store.get(cid)
    assert.equal(store.stats().blocks, first.length + more.length)
  }),
)
