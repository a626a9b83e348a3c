// The announcer on a simulated DHT, in virtual time: what is announced where and when, and what failures and restarts do.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { dhtKey } from '../../src/core/dht-key.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { openAnnouncer } from '../../src/routing/announcer.ts'
import { positionOf } from '../../src/routing/keyspace.ts'
import { VirtualClock } from '../twins/clock.ts'
import { newPeerId, SimulatedDht } from '../twins/dht.ts'
import { MemoryTable } from '../twins/table.ts'

const hourMs = 3_600_000

async function setUp({ servers, seed = 1 }: { servers: number; seed?: number }) {
  const random = seededRandom(seed)
  const clock = new VirtualClock()
  const dht = new SimulatedDht(clock)
  dht.addServers(servers, random)
  const self = newPeerId(random)
  const table = new MemoryTable()
  const open = () => openAnnouncer({ dht: dht.portOf(self), table, clock, random, log: silentLog, self })
  const newRoot = () => CID.createV1(0x55, Digest.create(0x12, random.bytes(32)))
  /** When a root's true nearest servers were last told of it, the one told longest ago first; undefined if one never was. */
  const toldMs = (root: CID) => {
    const key = dhtKey(root.multihash.bytes)
    const told = dht.nearest(key).map(({ peer }) => dht.toldMs(peer, key, self))
    return told.includes(undefined) ? undefined : Math.min(...(told as number[]))
  }
  const announcer = await open()
  return { random, clock, dht, self, table, open, newRoot, toldMs, announcer }
}

/** Runs the worker for a while, as its loop would; the steps take no time. */
async function run(clock: VirtualClock, announcer: Awaited<ReturnType<typeof openAnnouncer>>, forMs: number) {
  const loop = new WorkerLoop({ worker: announcer.worker, clock, log: silentLog })
  loop.start()
  await clock.advance(forMs)
  await loop.stop()
  return loop
}

test('every root is told to its true nearest servers at least every cycle, whatever the size of the network', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 120 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer(),
      async (servers, count, seed) => {
        const { clock, announcer, newRoot, toldMs } = await setUp({ servers, seed })
        const roots = Array.from({ length: count }, newRoot)
        for (const root of roots) await announcer.announce(root)
        await run(clock, announcer, 1_000)
        for (let quarter = 0; quarter < 10; quarter++) {
          for (const root of roots) {
            const lastMs = toldMs(root)
            assert.ok(lastMs !== undefined, 'one of the nearest servers was never told')
            assert.ok(clock.nowMs() - lastMs <= times.announceEveryMs + times.announcePollMs)
          }
          await run(clock, announcer, times.announceEveryMs / 4)
        }
      },
    ),
    { numRuns: 12 },
  )
})

test('the servers that come to be nearest are told within a cycle', async () => {
  const { clock, dht, random, announcer, newRoot, toldMs } = await setUp({ servers: 40 })
  const roots = Array.from({ length: 30 }, newRoot)
  for (const root of roots) await announcer.announce(root)
  await run(clock, announcer, hourMs)
  dht.addServers(100, random)
  const gone = [...dht.servers.keys()].slice(0, 20)
  for (const peer of gone) dht.servers.delete(peer)
  assert.ok(
    roots.some((root) => toldMs(root) === undefined),
    'the network has changed',
  )
  await run(clock, announcer, times.announceEveryMs + times.announcePollMs)
  for (const root of roots) assert.ok(toldMs(root))
})

test('announcing costs by the size of the network, not by the number of roots', async () => {
  const { clock, dht, announcer, newRoot } = await setUp({ servers: 200 })
  for (let count = 0; count < 3_000; count++) await announcer.announce(newRoot())
  await run(clock, announcer, 1_000)
  assert.equal(announcer.worker.status().startsWith('announced 3000 of 3000 roots; next region in '), true)
  assert.ok(dht.lookups < 0.3 * 200, `${dht.lookups} lookups`)
  assert.ok(dht.streams < 3 * 200, `${dht.streams} streams`)
  const first = { lookups: dht.lookups, records: dht.records }
  assert.equal(first.records, 3_000 * 20)
  await run(clock, announcer, times.announceEveryMs)
  assert.ok(dht.lookups - first.lookups < 0.3 * 200, `${dht.lookups - first.lookups} lookups in a cycle`)
  assert.equal(dht.records - first.records, 3_000 * 20, 'once in a cycle is enough')
})

test('a cycle spreads the work', async () => {
  const { clock, dht, announcer, newRoot } = await setUp({ servers: 300 })
  for (let count = 0; count < 300; count++) await announcer.announce(newRoot())
  await run(clock, announcer, 1_000)
  const busy: boolean[] = []
  for (let hour = 0; hour < 22; hour++) {
    const before = dht.records
    await run(clock, announcer, hourMs)
    busy.push(dht.records - before > 0)
    assert.ok(dht.records - before < 300 * 20 * 0.3, 'no hour has a third of the work')
  }
  assert.ok(busy.filter(Boolean).length > 5, 'many hours have some')
})

test('a new root is announced at once, and does not drag others along', async () => {
  const { clock, dht, announcer, newRoot, toldMs } = await setUp({ servers: 8 })
  for (let count = 0; count < 50; count++) await announcer.announce(newRoot())
  const loop = new WorkerLoop({ worker: announcer.worker, clock, log: silentLog })
  loop.start()
  await clock.advance(hourMs)
  const before = dht.records
  const root = newRoot()
  await announcer.announce(root)
  await clock.settle()
  assert.equal(toldMs(root), clock.nowMs())
  assert.equal(dht.records - before, 8)
  await loop.stop()
})

test('a root that is already ours is not announced again', async () => {
  const { clock, dht, table, announcer, newRoot } = await setUp({ servers: 5 })
  const root = newRoot()
  await announcer.announce(root)
  await run(clock, announcer, 1_000)
  const before = { records: dht.records, writes: table.writes }
  await announcer.announce(root)
  await announcer.announce(CID.createV1(0x71, root.multihash))
  await run(clock, announcer, 1_000)
  assert.deepEqual({ records: dht.records, writes: table.writes }, before)
})

test('without servers it waits, and announces within a second of meeting one', async () => {
  const { clock, dht, random, announcer, newRoot, toldMs } = await setUp({ servers: 0 })
  assert.equal(announcer.worker.status(), 'nothing to announce')
  const root = newRoot()
  await announcer.announce(root)
  const loop = new WorkerLoop({ worker: announcer.worker, clock, log: silentLog })
  loop.start()
  await clock.advance(hourMs)
  assert.equal(announcer.worker.status(), 'announced 0 of 1 roots; waiting for a server of the DHT')
  assert.equal(loop.status().errors, 0, 'being alone is no failure')
  dht.addServers(1, random)
  await clock.advance(1_000)
  assert.ok(toldMs(root))
  await loop.stop()
})

test('after a restart it goes on: what is late comes first, what is not waits for its slot', async () => {
  const { clock, dht, table, open, announcer, newRoot, toldMs } = await setUp({ servers: 150 })
  const early = Array.from({ length: 10 }, newRoot)
  for (const root of early) await announcer.announce(root)
  await run(clock, announcer, 1_000)
  await clock.advance(times.announceEveryMs + hourMs)
  const late = newRoot()
  await announcer.announce(late)

  const again = await open()
  assert.equal(again.worker.status(), 'announced 10 of 11 roots; next region now')
  const { signal } = new AbortController()
  await again.worker.step(signal)
  assert.equal(toldMs(late), clock.nowMs(), 'the one that was never announced is first')
  await run(clock, again, 1_000)
  for (const root of early) assert.ok(clock.nowMs() - toldMs(root)! < hourMs)

  const before = { records: dht.records, writes: table.writes }
  await run(clock, await open(), 60_000)
  assert.ok(dht.records - before.records < 11 * 20, 'a restart alone announces nothing')
})

test('what was withdrawn is not announced again, even if that happens while it is being announced', async () => {
  const { clock, dht, self, open, table, newRoot } = await setUp({ servers: 6 })
  const port = dht.portOf(self)
  const gate = Promise.withResolvers<void>()
  const slow = {
    ...port,
    addProviders: async (...[server, keys]: Parameters<typeof port.addProviders>) => {
      await gate.promise
      await port.addProviders(server, keys)
    },
  }
  const random = seededRandom(2)
  const announcer = await openAnnouncer({ dht: slow, table, clock, random, log: silentLog, self })
  const [kept, dropped] = [newRoot(), newRoot()]
  await announcer.announce(kept)
  await announcer.announce(dropped)
  const { signal } = new AbortController()
  const step = announcer.worker.step(signal)
  await clock.settle()
  assert.equal(announcer.worker.status(), 'announced 0 of 2 roots; telling 6 servers of 2')
  await announcer.withdraw(dropped)
  gate.resolve()
  await step
  assert.match(announcer.worker.status(), /^announced 1 of 1 roots; next region in /)
  const before = dht.records
  await run(clock, await open(), times.announceEveryMs + hourMs)
  assert.ok(dht.records > before)
  assert.equal((dht.records - before) % 6, 0)
  await announcer.withdraw(newRoot())
  assert.match((await open()).worker.status(), /^announced 1 of 1 roots/)
})

test('a server that refuses or hangs costs its own share only', async () => {
  const { clock, dht, self, announcer, newRoot } = await setUp({ servers: 10 })
  const [refusing, hanging] = [...dht.servers.values()]
  refusing!.refuses = true
  hanging!.hangs = true
  const root = newRoot()
  await announcer.announce(root)
  await run(clock, announcer, 2 * times.announceServerMs)
  const key = dhtKey(root.multihash.bytes)
  const told = [...dht.servers.values()].filter(({ peer }) => dht.toldMs(peer, key, self) !== undefined)
  assert.equal(told.length, 8)
  assert.match(announcer.worker.status(), /^announced 1 of 1 roots/)
})

test('a server that failed is passed over for the rest of its region: the next nearest take its place', async () => {
  const { clock, dht, announcer, newRoot, toldMs } = await setUp({ servers: 21 })
  // Roots of one time are announced in the order of the keyspace: the last server is wanted by the last roots.
  const refusing = [...dht.servers.values()].sort((a, b) => Buffer.compare(a.position, b.position)).at(-1)
  refusing!.refuses = true
  const roots = Array.from({ length: limits.sweepRootsMax + 100 }, newRoot)
  for (const root of roots) await announcer.announce(root)
  await run(clock, announcer, 1_000)
  dht.servers.delete(refusing!.peer)
  const inOrder = roots
    .map((root) => ({ root, position: positionOf(root.multihash.bytes) }))
    .sort((a, b) => Buffer.compare(a.position, b.position))
  const wasTold = inOrder.map(({ root }) => toldMs(root) !== undefined)
  assert.ok(wasTold.includes(false), 'it was missed by those that were on their way when it failed')
  assert.ok(!wasTold.slice(limits.sweepRootsMax).includes(false))
})

test('when most servers of a region are gone, it is explored again', async () => {
  const { clock, dht, random, announcer, newRoot, toldMs } = await setUp({ servers: 10 })
  for (const root of [newRoot(), newRoot()]) await announcer.announce(root)
  await run(clock, announcer, 1_000)
  dht.servers.clear()
  dht.addServers(10, random)
  const root = newRoot()
  await announcer.announce(root)
  await run(clock, announcer, 60_000)
  assert.ok(toldMs(root))
})

test('a root that too few servers took is announced again, soon at first and then less often', async () => {
  const { clock, dht, announcer, newRoot, toldMs } = await setUp({ servers: 10 })
  for (const server of dht.servers.values()) server.refuses = true
  const root = newRoot()
  await announcer.announce(root)
  await run(clock, announcer, 1_000)
  assert.match(announcer.worker.status(), /^announced 0 of 1 roots; next region in (29|30)/)
  await run(clock, announcer, 24 * hourMs)
  assert.ok(dht.streams < 10 * 40, `${dht.streams} streams to servers that refuse`)
  for (const server of dht.servers.values()) server.refuses = false
  await run(clock, announcer, times.announceRetryMostMs)
  assert.ok(toldMs(root))
})

test('lookups that fail are tried again with patience, and stand in nobody else’s way', async () => {
  const { clock, dht, announcer, newRoot, toldMs } = await setUp({ servers: 10 })
  dht.failLookups = new Error('all connections are gone')
  const roots = [newRoot(), newRoot()]
  for (const root of roots) await announcer.announce(root)
  const loop = await run(clock, announcer, hourMs)
  assert.match(loop.status().lastError!, /all connections are gone/)
  assert.ok(dht.lookups < 100, `${dht.lookups} lookups`)
  assert.match(announcer.worker.status(), /^announced 0 of 2 roots/)
  dht.failLookups = undefined
  await run(clock, announcer, times.announceRetryMostMs)
  for (const root of roots) assert.ok(toldMs(root))
})

test('a clock that was set back does not stop announcing', async () => {
  const { clock, announcer, newRoot, toldMs } = await setUp({ servers: 10 })
  const root = newRoot()
  await announcer.announce(root)
  await run(clock, announcer, 1_000)
  clock.jumpWall(-365 * 24 * hourMs)
  await run(clock, announcer, times.announcePollMs)
  assert.ok(toldMs(root)! <= clock.nowMs())
})

test('announcing is durable or it fails', async () => {
  const { table, announcer, open, newRoot } = await setUp({ servers: 1 })
  table.failWrites = new Error('the disk is full')
  await assert.rejects(announcer.announce(newRoot()), /the disk is full/)
  table.failWrites = undefined
  await announcer.announce(newRoot())
  assert.match((await open()).worker.status(), /^announced 0 of 1 roots/)
})

test('changes made at the same time take effect in their order, and what is added together is written together', async () => {
  const { table, announcer, open, newRoot } = await setUp({ servers: 1 })
  const roots = Array.from({ length: 500 }, newRoot)
  const [first, second] = [roots[0]!, roots[1]!]
  await Promise.all(roots.map((root) => announcer.announce(root)))
  assert.ok(table.writes <= 2, `${table.writes} writes`)
  await Promise.all([
    announcer.withdraw(first),
    announcer.announce(first),
    announcer.announce(first),
    announcer.announce(second),
    announcer.withdraw(second),
  ])
  assert.match(announcer.worker.status(), /^announced 0 of 499 roots/)
  assert.match((await open()).worker.status(), /^announced 0 of 499 roots/)
  assert.equal(table.size, 2 * 499 + 1)
  await announcer.announce(first)
  assert.match(announcer.worker.status(), /^announced 0 of 499 roots/, 'it was there')
})

test('content that is inside its CID is not announced; other hashes are, under a key that servers keep', async () => {
  const { clock, dht, announcer, newRoot, toldMs } = await setUp({ servers: 3 })
  await announcer.announce(CID.createV1(0x55, Digest.create(0x00, Uint8Array.of(1, 2, 3))))
  assert.equal(announcer.worker.status(), 'nothing to announce')
  const sha512 = CID.createV1(0x55, Digest.create(0x13, new Uint8Array(64).fill(7)))
  await announcer.announce(sha512)
  await announcer.announce(newRoot())
  await run(clock, announcer, 1_000)
  assert.ok(toldMs(sha512))
  const found: string[] = []
  for await (const { peer } of dht.portOf(newPeerId(seededRandom(9))).findProviders(sha512)) found.push(peer)
  assert.equal(found.length, 1)
})

test('a stop ends a step that waits for servers', async () => {
  const { clock, dht, announcer, newRoot, toldMs } = await setUp({ servers: 4 })
  for (const server of dht.servers.values()) server.hangs = true
  const root = newRoot()
  await announcer.announce(root)
  await run(clock, announcer, 1_000)
  assert.equal(clock.pendingTimers, 0)
  for (const server of dht.servers.values()) server.hangs = false
  await run(clock, announcer, 1_000)
  assert.ok(toldMs(root), 'a stop is no failure: the next run goes on at once')
})
