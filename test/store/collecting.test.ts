// Collection by itself, in virtual time over the store in memory: it begins when room runs short or pins went, not again and
// again for nothing, never takes what a pin or a running operation needs, and stops when it is told to.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { silentLog } from '../../src/base/log.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import type { Block } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { linksOf } from '../../src/files/links.ts'
import { Collecting, type LastCollection, pressure, untilWorthwhileMs } from '../../src/store/collecting.ts'
import { type DiskSpace, diskSpace } from '../../src/store/disk-space.ts'
import { openMemoryStore } from '../../src/store/memory.ts'
import { MemoryDisk } from '../../src/store/memory-disk.ts'
import type { Store } from '../../src/store/open.ts'
import { VirtualClock } from '../twins/clock.ts'
import { node, putAll, raw, withFolder } from './stores.ts'

const hour = 3_600_000
const day = 24 * hour
const roomy: DiskSpace = { freeBytes: 50, totalBytes: 100 }

let made = 0
function blockOf(sizeBytes: number): Block {
  const bytes = Buffer.alloc(sizeBytes)
  bytes.writeUInt32BE(++made)
  return raw(bytes)
}

/** A store of 1,000,000 bytes at most that collects by itself, and how often it does. */
async function collectingStore(work: (world: CollectingWorld) => Promise<void>): Promise<void> {
  const clock = new VirtualClock()
  const store = await openMemoryStore({ disk: new MemoryDisk(), linksOf, clock })
  const world: CollectingWorld = { clock, store, space: roomy, startedMs: [], collecting: undefined as never }
  const counted = {
    stats: () => store.stats(),
    releases: () => store.releases(),
    gc: (options: Parameters<Store['gc']>[0]) => {
      world.startedMs.push(clock.monotonicMs())
      return store.gc(options)
    },
  }
  const deps = { store: counted, space: async () => world.space, clock, log: silentLog }
  world.collecting = new Collecting(deps, { capacity: 1_000_000 })
  const loop = new WorkerLoop({ worker: world.collecting, clock, log: silentLog })
  loop.start()
  await work(world)
  await loop.stop()
  assert.equal(clock.pendingTimers, 0)
}

interface CollectingWorld {
  clock: VirtualClock
  store: Store
  space: DiskSpace
  /** When collections began. */
  startedMs: number[]
  collecting: Collecting
}

async function pinned(store: Store, blocks: Block[]): Promise<Block> {
  const root = node(
    blocks.map(({ cid }) => cid),
    `root ${++made}`,
  )
  using lease = store.lease('adding')
  await using writer = store.writer(lease)
  for (const block of [...blocks, root]) await writer.put(block)
  await writer.flush()
  await store.pins.add(root.cid, { recursive: true })
  return root
}

test('what nobody needs goes when the store is nearly full, and not before; pins stay', () =>
  collectingStore(async ({ clock, store, startedMs, collecting }) => {
    const kept = Array.from({ length: 5 }, () => blockOf(100_000))
    await pinned(store, kept)
    await putAll(store, [blockOf(300_000)])
    await clock.advance(hour)
    assert.equal(startedMs.length, 0)
    assert.match(collecting.status(), /not needed: the store has 781 KiB of 977 KiB/)
    await putAll(store, [blockOf(150_000)])
    await clock.advance(times.collectPollMs)
    assert.equal(startedMs.length, 1)
    assert.match(collecting.status(), /^2 blocks \(439 KiB\) were deleted$/)
    for (const { cid } of kept) assert.ok(store.has(cid))
  }))

test('so it does when the disk is nearly full, whoever fills it', () =>
  collectingStore(async (world) => {
    const { clock, store, startedMs } = world
    await putAll(store, [blockOf(1_000)])
    await clock.advance(hour)
    assert.equal(startedMs.length, 0)
    world.space = { freeBytes: 4, totalBytes: 100 }
    await clock.advance(times.collectPollMs)
    assert.equal(store.stats().blocks, 0)
  }))

test('a store that is full of what is pinned is not collected again and again', () =>
  collectingStore(async ({ clock, store, startedMs, collecting }) => {
    const root = await pinned(
      store,
      Array.from({ length: 10 }, () => blockOf(100_000)),
    )
    await clock.advance(30 * day)
    assert.equal(startedMs.length, 1)
    assert.match(collecting.status(), /nothing more can be collected for now/)
    // Operations that bring nothing come and go.
    for (let minute = 0; minute < 7 * 24 * 60; minute++) {
      store.lease('reading')[Symbol.dispose]()
      await clock.advance(60_000)
    }
    assert.ok(startedMs.length < 25, `${startedMs.length} collections in a week`)
    assert.ok(startedMs.length > 10, `${startedMs.length} collections in a week`)
    const before = startedMs.length
    await store.pins.remove(root.cid)
    await clock.advance(times.collectPollMs)
    assert.deepEqual([startedMs.length, store.stats().blocks], [before + 1, 0])
  }))

test('whatever comes and goes, collections keep their distance', () =>
  collectingStore(async ({ clock, store, startedMs, collecting }) => {
    for (let round = 0; round < 100; round++) {
      await putAll(store, [blockOf(950_000)])
      collecting.soon()
      await clock.advance(20_000)
    }
    const gaps = startedMs.slice(1).map((atMs, index) => atMs - startedMs[index]!)
    assert.ok(gaps.length >= 5 && gaps.every((gap) => gap >= times.collectSoonMs), gaps.join(' '))
  }))

test('after pins went, what only they kept goes soon, however much room there is', () =>
  collectingStore(async ({ clock, store, startedMs, collecting }) => {
    const [first, second] = [await pinned(store, [blockOf(1_000)]), await pinned(store, [blockOf(1_000)])]
    await clock.advance(hour)
    await store.pins.remove(first.cid)
    collecting.soon()
    await clock.advance(times.collectSoonMs - 1)
    assert.equal(startedMs.length, 0)
    assert.match(collecting.status(), /in a moment/)
    await store.pins.remove(second.cid)
    collecting.soon()
    await clock.advance(1)
    assert.deepEqual([startedMs.length, store.stats().blocks], [1, 0])
    await clock.advance(day)
    assert.equal(startedMs.length, 1)
  }))

test('what a running operation has brought stays, and goes once it has ended without a pin', () =>
  collectingStore(async ({ clock, store, startedMs, collecting }) => {
    const lease = store.lease('fetching')
    const writer = store.writer(lease)
    const blocks = Array.from({ length: 10 }, () => blockOf(100_000))
    for (const block of blocks.slice(0, 5)) await writer.put(block)
    await writer.flush()
    collecting.soon()
    await clock.advance(times.collectSoonMs)
    for (const block of blocks.slice(5)) await writer.put(block)
    await writer.flush()
    await clock.advance(hour)
    assert.ok(startedMs.length >= 1)
    for (const { cid } of blocks) assert.ok(store.has(cid))
    lease[Symbol.dispose]()
    await clock.advance(hour)
    assert.equal(store.stats().blocks, 0)
  }))

test('it stops in the middle, and nothing that is pinned is hurt', async () => {
  const clock = new VirtualClock()
  const waits: (() => void)[] = []
  let slow = false
  const commit = () => (slow ? new Promise<void>((resolve) => waits.push(resolve)) : Promise.resolve())
  const disk = new MemoryDisk()
  const store = await openMemoryStore({ disk, linksOf, clock, commit })
  const leaves = Array.from({ length: 10 }, () => blockOf(100_000))
  await pinned(store, leaves)
  const collecting = new Collecting({ store, space: async () => roomy, clock, log: silentLog }, { capacity: 1_000_000 })
  const loop = new WorkerLoop({ worker: collecting, clock, log: silentLog })
  slow = true
  loop.start()
  await clock.settle()
  assert.match(collecting.status(), /^collecting, because the store has/)
  const stopped = loop.stop()
  slow = false
  for (const release of waits) release()
  await clock.until(stopped)
  for (const { cid } of leaves) assert.ok(store.has(cid))
  assert.equal(loop.status().errors, 0)
  assert.equal(clock.pendingTimers, 0)
})

test('the rule: never without a release, never too soon, and sooner or later after each', () => {
  const figures = fc.record({
    pins: fc.nat(3),
    leases: fc.nat(3),
    ownBytes: fc.nat(1_000_000),
    fruitless: fc.nat(2_000),
    endedMs: fc.nat(1_000_000),
  })
  fc.assert(
    fc.property(
      figures,
      fc.nat(3),
      fc.nat(3),
      fc.nat(1_000_000),
      fc.nat(day),
      (before, pins, leases, came, passedMs) => {
        const { endedMs, fruitless, ownBytes } = before
        const last: LastCollection = {
          endedMs,
          fruitless,
          tookMs: 0,
          ownBytes,
          releases: { pins: before.pins, leases: before.leases },
        }
        const releases = { pins: before.pins + pins, leases: before.leases + leases }
        const wait = untilWorthwhileMs(last, { ownBytes: ownBytes + came, releases }, endedMs + passedMs)
        if (pins + leases === 0) assert.equal(wait, Number.POSITIVE_INFINITY)
        else {
          assert.ok(wait + passedMs >= times.collectEveryMs && wait + passedMs <= times.collectMostMs)
          if (pins > 0 || came > (ownBytes + came) / limits.collectPart)
            assert.equal(wait + passedMs, times.collectEveryMs)
        }
      },
    ),
  )
  assert.equal(untilWorthwhileMs(undefined, { ownBytes: 0, releases: { pins: 0, leases: 0 } }, 0), 0)
})

test('pressure: by what the store may have, by what the disk has left, or none', () => {
  const unbounded = Number.POSITIVE_INFINITY
  assert.equal(pressure(900, 1_000, roomy), undefined)
  assert.match(pressure(901, 1_000, roomy) ?? '', /901 B of 1000 B/)
  assert.equal(pressure(2 ** 50, unbounded, roomy), undefined)
  assert.match(pressure(0, unbounded, { freeBytes: 49, totalBytes: 1_000 }) ?? '', /the disk has only 49 B left/)
})

test('the space of a real disk', () =>
  withFolder(async (directory) => {
    const { freeBytes, totalBytes } = await diskSpace(directory)
    assert.ok(freeBytes > 0 && freeBytes <= totalBytes)
  }))
