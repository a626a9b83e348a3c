// The scrub in virtual time: it reads everything once in a cycle, keeps to its pace and its place, tells of what rotted, and
// reads what is in the user's own files too.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../src/base/log.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import type { Block } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { linksOf } from '../../src/files/links.ts'
import type { BlockFiles } from '../../src/store/block-files.ts'
import { Catalog } from '../../src/store/catalog.ts'
import { memoryTable, openMemoryStore } from '../../src/store/memory.ts'
import { MemoryDisk, openMemoryDisk } from '../../src/store/memory-disk.ts'
import { Store } from '../../src/store/open.ts'
import { type Cycle, cycleAfter, Scrub, type ScrubDeps, sane, untilDueMs } from '../../src/store/scrub.ts'
import { VirtualClock } from '../twins/clock.ts'
import { putAll, raw, withStore } from './stores.ts'

const day = 24 * 3_600_000
const signal = new AbortController().signal

/** A scrub whose reading is counted. */
function scrubOf(store: Store, clock: VirtualClock, table = memoryTable()) {
  const rotten: string[] = []
  const read: { atMs: number; blocks: number; bytes: number }[] = []
  const counted: ScrubDeps['store'] = {
    stats: () => store.stats(),
    async examine(after, options) {
      const examined = await store.examine(after, options)
      read.push({ atMs: clock.monotonicMs(), blocks: examined.blocks, bytes: examined.bytes })
      return examined
    },
  }
  const scrub = new Scrub({
    store: counted,
    table,
    clock,
    log: silentLog,
    onRot: (cid, problem) => {
      assert.ok(problem.length > 20)
      rotten.push(Buffer.from(cid.multihash.bytes).toString('hex'))
    },
  })
  const blocksRead = () => read.reduce((sum, { blocks }) => sum + blocks, 0)
  return { scrub, rotten, read, blocksRead, table }
}

const hashOf = ({ cid }: Block) => Buffer.from(cid.multihash.bytes).toString('hex')

async function memoryStore(blocks: Block[]): Promise<Store> {
  const store = await openMemoryStore({ disk: new MemoryDisk(), linksOf })
  await putAll(store, blocks)
  return store
}

const manyBlocks = (count: number, sizeBytes: number) =>
  Array.from({ length: count }, (_, index) => {
    const bytes = Buffer.alloc(sizeBytes)
    bytes.writeUInt32BE(index)
    return raw(bytes)
  })

test('every block is read once in a cycle, spread over all of it, cycle after cycle', async () => {
  const clock = new VirtualClock()
  const store = await memoryStore(manyBlocks(60, 1 << 20))
  const { scrub, read, blocksRead } = scrubOf(store, clock)
  const loop = new WorkerLoop({ worker: scrub, clock, log: silentLog })
  loop.start()
  await clock.advance(10 * day)
  assert.ok(blocksRead() >= 20 && blocksRead() <= 30, `${blocksRead()} of 60 after a third of the cycle`)
  assert.match(scrub.status(), /of 60.0 MiB read again$/)
  await clock.advance(20 * day - 1)
  assert.equal(blocksRead(), 60)
  await clock.advance(30 * day)
  assert.equal(blocksRead(), 120)
  assert.ok(read.every(({ bytes }) => bytes < 2 * limits.scrubStepBytes))
  await loop.stop()
  assert.equal(clock.pendingTimers, 0)
})

test('a machine that was off goes on where it was, catches up, and never faster than it may', async () => {
  const clock = new VirtualClock()
  const store = await memoryStore(manyBlocks(100, 1 << 20))
  const first = scrubOf(store, clock)
  const before = new WorkerLoop({ worker: first.scrub, clock, log: silentLog })
  before.start()
  await clock.advance(6 * day)
  await before.stop()
  const early = first.blocksRead()
  assert.ok(early >= 20 && early < 40, `${early}`)
  clock.jumpWall(21 * day)
  const second = scrubOf(store, clock, first.table)
  const after = new WorkerLoop({ worker: second.scrub, clock, log: silentLog })
  after.start()
  const startMs = clock.monotonicMs()
  await clock.advance(60_000)
  const late = early + second.blocksRead()
  assert.ok(late >= 90 && late < 100, `${late}`)
  const lastMs = second.read.at(-1)!.atMs - startMs
  const bytes = second.read.slice(0, -1).reduce((sum, one) => sum + one.bytes, 0)
  assert.ok(bytes / (lastMs / 1_000) <= limits.scrubBytesPerSecond * 1.01, `${bytes} bytes in ${lastMs} ms`)
  await clock.advance(2.9 * day)
  assert.equal(early + second.blocksRead(), 100)
  await after.stop()
})

test('an empty store costs a look an hour, and small blocks take their time', async () => {
  const clock = new VirtualClock()
  const empty = scrubOf(await memoryStore([]), clock)
  assert.deepEqual(await empty.scrub.step(signal), { next: 'later', delayMs: 0 })
  assert.deepEqual(await empty.scrub.step(signal), { next: 'later', delayMs: times.scrubPollMs })
  assert.match(empty.scrub.status(), /read again in 720 h/)
  const small = scrubOf(await memoryStore(manyBlocks(2_000, 10)), clock)
  const step = await small.scrub.step(signal)
  assert.ok(step.next === 'later' && step.delayMs >= 200, JSON.stringify(step))
})

test('rot is told and set aside, a file of its owner that changed is told, and what is good stays', () =>
  withStore(async (store, directory) => {
    const clock = new VirtualClock()
    const [bad, good, gone] = [raw(randomBytes(200_000)), raw(randomBytes(200_000)), raw(randomBytes(50_000))]
    await putAll(store, [bad, good])
    using lease = store.lease('reference')
    await using writer = store.writer(lease)
    const path = join(directory, 'own file')
    await writeFile(path, gone.bytes)
    await writer.putReference(gone, { path, offset: 0, length: 50_000, mtimeMs: (await stat(path)).mtimeMs })
    await writer.flush()
    const { scrub, rotten } = scrubOf(store, clock)
    await damage(directory, bad)
    await writeFile(path, 'edited by its owner')
    await scrub.step(signal)
    assert.deepEqual(rotten.sort(), [hashOf(bad), hashOf(gone)].sort())
    assert.deepEqual([store.has(bad.cid), store.has(good.cid), store.has(gone.cid)], [false, true, false])
    assert.match(scrub.status(), /2 blocks were unreadable/)
    assert.equal((await readdir(join(directory, 'quarantine'))).length, 1)
  }))

async function damage(directory: string, block: Block): Promise<void> {
  const folder = join(directory, 'blocks')
  const names = await readdir(folder, { recursive: true })
  const key = Buffer.from(block.cid.multihash.bytes).toString('base64url')
  const name = names.find((one) => one.includes(key))!
  const bytes = await readFile(join(folder, name))
  bytes[77]! ^= 4
  await writeFile(join(folder, name), bytes)
}

test('the plan: parts of the cycle are parts of the bytes, and a clock that was wrong does not stop it', () => {
  const cycle: Cycle = { startedMs: 1_000, doneBytes: 50, upTo: Uint8Array.of(1) }
  assert.equal(untilDueMs(cycle, 100, 1_000), times.scrubCycleMs / 2)
  assert.equal(untilDueMs({ ...cycle, doneBytes: 500 }, 100, 1_000), times.scrubCycleMs)
  assert.ok(untilDueMs({ ...cycle, doneBytes: 0, upTo: undefined }, 0, 1_000) <= 0)
  assert.equal(sane(cycle, 1_000), cycle)
  assert.equal(sane(cycle, 999).startedMs, 999)
  const next = cycleAfter(cycle, 2_000)
  assert.equal(next.startedMs, 1_000 + times.scrubCycleMs)
  assert.equal(sane(next, 2_000), next)
  assert.equal(sane(next, 0).startedMs, 0)
  assert.equal(cycleAfter(cycle, 10 * times.scrubCycleMs).startedMs, 10 * times.scrubCycleMs)
})

test('a sector that the disk cannot read is rot as well', async () => {
  const { environment, files } = openMemoryDisk(new MemoryDisk(), async () => {})
  let sound = true
  const failing: BlockFiles = {
    ...bound(files),
    read: async (name) => {
      if (sound) return await files.read(name)
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
    },
  }
  const store = new Store({ clock: new VirtualClock(), linksOf }, new Catalog(environment, 'memory'), failing)
  const block = raw(randomBytes(100_000))
  await putAll(store, [block])
  sound = false
  await assert.rejects(store.get(block.cid), { code: 'CORRUPT', message: /can be fetched again/ })
  assert.equal(store.has(block.cid), false)
})

/** The same files, in an object of their own. */
function bound(files: BlockFiles): BlockFiles {
  return {
    write: (key, bytes) => files.write(key, bytes),
    syncShards: (names) => files.syncShards(names),
    settle: (names) => files.settle(names),
    read: (name) => files.read(name),
    remove: (names) => files.remove(names),
    quarantine: (name) => files.quarantine(name),
    list: () => files.list(),
    isUnderway: (name) => files.isUnderway(name),
  }
}
