// Fetching in virtual time, continued: over Bitswap, and from any mixture of peers that fail in any way, beside a good one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { bitswapProtocol, blockPart, messageOf } from '../../src/exchange/bitswap-message.ts'
import { type Dag, dagOf, largeDag, leafOf } from './dags.ts'
import { assertHas, bytesFrom, failureOf, fetchAll, World } from './world.ts'

const MiB = 1024 * 1024

test('Bitswap alone brings a DAG too, beside a peer of our own protocol or not', async () => {
  for (const others of [0, 1]) {
    await using world = new World()
    const dag = largeDag()
    const line = { delayMs: 20, bytesPerSecond: 10 * MiB }
    const bitswap = await world.provider('bitswap', dag.blocks, { ...line, onlyBitswap: true })
    for (let other = 0; other < others; other++) await world.provider(`other ${other}`, dag.blocks, line)
    const fetcher = await world.peer('fetcher')
    const report = await fetchAll(world, fetcher, dag)
    await assertHas(fetcher, dag)
    assert.ok(bytesFrom(report, bitswap) > 0)
  }
})

test('Bitswap over a slow line brings it too', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3, leafBytes: MiB })
  await world.provider('modem', dag.blocks, { onlyBitswap: true, bytesPerSecond: 60_000 })
  const fetcher = await world.peer('fetcher')
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
})

test('one that sends block after block that nobody asked for is given up', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3 })
  const chatterer = await world.provider('chatterer', [], { onlyBitswap: true, bytesPerSecond: 100_000 })
  await chatterer.network.handle(bitswapProtocol, { streamsMax: 9 }, async () => {
    const channel = await chatterer.network.open('fetcher' as PeerId, [bitswapProtocol])
    const { cid, bytes } = leafOf(100_000)
    for (;;) await channel.write(messageOf([blockPart(cid, bytes)]))
  })
  const fetcher = await world.peer('fetcher')
  const failure = await failureOf(fetchAll(world, fetcher, dag))
  assert.equal(failure.code, 'NO_PROVIDERS')
  const noiseMs = (limits.fetchBytesMax / 100_000) * 1_000
  assert.ok(world.clock.monotonicMs() < noiseMs + 2 * (times.stallMs + times.lookUpMs))
})

const faults = [
  'none',
  'slow',
  'stalls',
  'vanishes',
  'comes back',
  'lies',
  'garbles',
  'refuses',
  'hangs',
  'has half',
] as const

const fault = fc.record({
  fault: fc.constantFrom(...faults),
  atMs: fc.nat(3_000),
  delayMs: fc.nat(300),
  bytesPerSecond: fc.constantFrom(MiB, 10 * MiB),
})

type FaultPlan = typeof fault extends fc.Arbitrary<infer Plan> ? Plan : never

async function addFaulty(world: World, name: string, dag: Dag, plan: FaultPlan): Promise<void> {
  const { fault: what, atMs, delayMs, bytesPerSecond } = plan
  const blocks = what === 'has half' ? dag.blocks.filter((_, at) => at % 2 === 0) : dag.blocks
  const line = { delayMs, bytesPerSecond: what === 'slow' ? 5_000 : bytesPerSecond }
  const { network } = await world.provider(name, blocks, { ...line, lies: what === 'lies' })
  if (what === 'refuses') network.refuses = true
  if (what === 'hangs') network.hangs = true
  if (what === 'garbles') network.garble = (bytes) => bytes.map((byte, at) => (at % 7_777 === 0 ? byte ^ 64 : byte))
  world.clock.timer(atMs, () => {
    if (what === 'stalls') network.stalled = true
    if (what === 'vanishes' || what === 'comes back') network.vanish()
  })
  world.clock.timer(atMs + 5_000, () => {
    if (what === 'comes back') network.refuses = false
  })
}

test('whatever goes wrong with the others, one good provider is enough', async () => {
  const shape = fc.record({ leaves: fc.integer({ min: 1, max: 60 }), leafBytes: fc.constantFrom(100, 40_000, 300_000) })
  await fc.assert(
    fc.asyncProperty(
      shape,
      fc.array(fault, { maxLength: 6 }),
      fc.nat(6),
      fc.nat(4_000),
      async (size, plans, place, comesMs) => {
        await using world = new World()
        const dag = dagOf(size)
        const good = () => world.provider('good', dag.blocks, { delayMs: 30, bytesPerSecond: 2 * MiB })
        for (const [index, plan] of plans.entries()) {
          if (index === place) await good()
          await addFaulty(world, `peer ${index}`, dag, plan)
        }
        if (place >= plans.length) world.clock.timer(comesMs, () => void good())
        const fetcher = await world.peer('fetcher')
        const report = await fetchAll(world, fetcher, dag)
        await assertHas(fetcher, dag)
        assert.deepEqual((await fetcher.store.verify()).problems, [])
        assert.equal(report.blocks, dag.blocks.length)
        const tookMs = world.clock.monotonicMs()
        const mostMs = comesMs + (dag.bytes / MiB) * 1_000 + times.dialMs + 2 * times.stallMs
        assert.ok(tookMs < mostMs, `it took ${tookMs} of at most ${mostMs} ms`)
      },
    ),
    { numRuns: 60 },
  )
})
