// A disk on which nothing is free, for real: a small one is mounted, which needs root. Commands that only need the store
// still run, and `gc` frees what it can, in the room that was kept for this.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import type { CID } from 'multiformats/cid'
import { systemRandom } from '../../src/base/random.ts'
import { Block, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { Home } from '../../src/node/home.ts'
import { openPeer } from '../../src/node/open.ts'
import { makeReserve, removable } from '../../src/node/reserve.ts'
import { StoreError } from '../../src/store/errors.ts'

const options = { skip: process.getuid?.() !== 0 && 'mounting a small disk needs root' }

async function withSmallDisk(t: TestContext, size: string, work: (disk: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'potluck-full-'))
  const disk = join(directory, 'disk')
  await mkdir(disk)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk])
  } catch {
    await rm(directory, { recursive: true })
    return t.skip('mounting is not allowed here')
  }
  try {
    await work(disk)
  } finally {
    execFileSync('umount', ['-l', disk])
    await rm(directory, { recursive: true })
  }
}

const fill = (path: string) => assert.rejects(writeFile(path, randomBytes(64 << 20)), { code: 'ENOSPC' })

test('a disk without any room left still takes commands, and gc makes room', options, (t) =>
  withSmallDisk(t, '48m', async (disk) => {
    const home = new Home(join(disk, 'home'))
    const offline = (doing: string) => openPeer({ home, online: false, doing })
    const reserve = home.at('reserve')
    let kept: string
    {
      await using peer = await offline('add')
      kept = (await peer.add(Readable.from([randomBytes(3 << 20)]))).cid
      await peer.add(Readable.from([randomBytes(12 << 20)]), { pin: false })
      assert.equal((await stat(reserve)).size, limits.reserveBytes)
    }
    await fill(join(disk, 'other'))
    {
      await using peer = await offline('status')
      assert.equal(((await peer.status()) as { running: boolean }).running, false)
      assert.equal(existsSync(reserve), false, 'the lock needed its room')
      await fill(join(disk, 'another'))
      await assert.rejects(peer.add(Readable.from([randomBytes(1 << 20)])), { code: 'STORE_FULL' })
      await rm(join(disk, 'another'))
    }
    {
      await using peer = await offline('gc')
      const { bytes } = await peer.gc()
      assert.ok(bytes >= 12 << 20)
      assert.equal((await stat(reserve)).size, limits.reserveBytes, 'made again')
      // The same while a peer runs: here it is the commit that finds no room.
      await peer.add(Readable.from([randomBytes(2 << 20)]), { pin: false })
      await fill(join(disk, 'third'))
      assert.ok((await peer.gc()).bytes >= 2 << 20)
      assert.deepEqual((await peer.verify()).problems, [])
      assert.equal(
        (await Array.fromAsync(peer.cat(kept))).reduce((sum, { byteLength }) => sum + byteLength, 0),
        3 << 20,
      )
    }
  }),
)

test('a root can be let go of in the room of the reserve', async () => {
  const home = new Home(await mkdtemp(join(tmpdir(), 'potluck-reserve-')))
  const { cid } = Block.of(codecs.raw, randomBytes(9))
  const kept = new Set([cid])
  const remove = async (root: CID) => {
    if (existsSync(home.at('reserve'))) throw new StoreError('STORE_FULL', 'the disk is full')
    return kept.delete(root)
  }
  const roots = { has: () => true, list: () => kept, add: async () => {}, remove }
  await makeReserve({ home, random: systemRandom })
  await assert.rejects(remove(cid))
  assert.equal(await removable(roots, home).remove(cid), true)
  assert.equal(kept.size, 0)
  await rm(home.path, { recursive: true })
})
