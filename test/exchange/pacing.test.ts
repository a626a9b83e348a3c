// Background fetches in virtual time: they keep to their budget whatever its size, share it fairly, let the fetches of people
// go first, and run at full speed when they are alone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Bucket, filled, type Pace, Pacing } from '../../src/exchange/pacing.ts'
import { VirtualClock } from '../twins/clock.ts'
import { type Dag, dagOf, largeDag } from './dags.ts'
import { assertHas, failureOf, fetchAll, World, type WorldPeer } from './world.ts'

const KiB = 1024
const MiB = 1024 * KiB

/** Fetches and says when it was done, on the clock of the world. */
async function timed(world: World, peer: WorldPeer, dag: Dag, options: { background: boolean }): Promise<number> {
  const startMs = world.clock.monotonicMs()
  await fetchAll(world, peer, dag, options)
  return world.clock.monotonicMs() - startMs
}

test('a bucket never gives more than its rate and what it saved, however often it is asked', () => {
  const step = fc.record({ waitMs: fc.nat(5_000), takes: fc.nat(3_000_000) })
  fc.assert(
    fc.property(fc.array(step), fc.integer({ min: 1, max: 10_000_000 }), (steps, rate) => {
      let bucket: Bucket = { bytes: 0, atMs: 0 }
      let [taken, last] = [0, 0]
      for (const { waitMs, takes } of steps) {
        bucket = filled(bucket, bucket.atMs + waitMs, rate)
        if (bucket.bytes <= 0) continue
        bucket.bytes -= takes
        taken += takes
        last = takes
      }
      assert.ok(taken - last <= (rate * bucket.atMs) / 1_000 + rate + 1, `${taken} bytes in ${bucket.atMs} ms`)
    }),
  )
})

test('a background fetch with a budget takes as long as the budget says', async () => {
  await using world = new World()
  const dag = largeDag()
  await world.provider('provider', dag.blocks, { delayMs: 10, bytesPerSecond: 50 * MiB })
  const fetcher = await world.peer('fetcher', { backgroundRate: 4 * MiB })
  const tookMs = await timed(world, fetcher, dag, { background: true })
  await assertHas(fetcher, dag)
  assert.ok(tookMs > 7_000 && tookMs < 8_500, `${tookMs} ms`)
})

test('small blocks keep to the budget as well, and use all of it', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 4_000, leafBytes: 1_000, width: 100 })
  await world.provider('provider', dag.blocks, { delayMs: 20 })
  const fetcher = await world.peer('fetcher', { backgroundRate: 500_000 })
  const tookMs = await timed(world, fetcher, dag, { background: true })
  assert.ok(tookMs > 7_000 && tookMs < 9_500, `${tookMs} ms`)
})

test('a budget far below a block a second is kept, and no supplier is blamed for it', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 6, leafBytes: MiB })
  const provider = await world.provider('provider', dag.blocks, { delayMs: 10, bytesPerSecond: 10 * MiB })
  const other = await world.provider('other', dag.blocks, { delayMs: 10, bytesPerSecond: 10 * MiB })
  let dials = 0
  for (const { network } of [provider, other]) network.onPeer(() => dials++)
  const fetcher = await world.peer('fetcher', { backgroundRate: 10 * KiB })
  const tookMs = await timed(world, fetcher, dag, { background: true })
  await assertHas(fetcher, dag)
  assert.ok(tookMs > 500_000 && tookMs < 650_000, `${tookMs} ms`)
  assert.equal(dials, 2)
  const sentBytes = provider.exchange.status().bytesSent + other.exchange.status().bytesSent
  assert.equal(sentBytes, dag.bytes)
})

test('a supplier that stalls is noticed within a budget too', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 12, leafBytes: MiB })
  const bad = await world.provider('bad', dag.blocks, { delayMs: 10, bytesPerSecond: 10 * MiB })
  await world.provider('good', dag.blocks, { delayMs: 10, bytesPerSecond: 10 * MiB })
  bad.network.stalled = true
  const fetcher = await world.peer('fetcher', { backgroundRate: 256 * KiB })
  const tookMs = await timed(world, fetcher, dag, { background: true })
  await assertHas(fetcher, dag)
  assert.ok(tookMs < 90_000, `${tookMs} ms`)
})

test('background fetches share one budget, and each has its turn', async () => {
  await using world = new World()
  const dags = [largeDag(), largeDag()]
  await world.provider(
    'provider',
    dags.flatMap(({ blocks }) => blocks),
    { delayMs: 10, bytesPerSecond: 50 * MiB },
  )
  const fetcher = await world.peer('fetcher', { backgroundRate: 4 * MiB })
  const took = await Promise.all(dags.map((dag) => timed(world, fetcher, dag, { background: true })))
  const [first = 0, last = 0] = took.sort((a, b) => a - b)
  assert.ok(last > 15_000 && last < 17_000, `${last} ms`)
  assert.ok(first > 0.8 * last, `${first} ms for the one, ${last} ms for the other`)
})

test('one that asks all the time does not keep another from its turn', async () => {
  const clock = new VirtualClock()
  const pacing = new Pacing({ clock }, { bytesPerSecond: 100_000 })
  const got = { greedy: 0, patient: 0 }
  const take = (pace: Pace, who: keyof typeof got) => {
    const blocks = pace.most(100, 100)
    pace.spend(100 * blocks)
    got[who] += 100 * blocks
  }
  const greedy: Pace = pacing.pace({ background: true, wake: () => take(greedy, 'greedy') })
  const patient: Pace = pacing.pace({
    background: true,
    wake: () => {
      take(patient, 'patient')
      patient.most(1, 100)
    },
  })
  patient.most(1, 100)
  for (let ms = 0; ms < 10_000; ms++) {
    take(greedy, 'greedy')
    await clock.advance(1)
  }
  assert.ok(got.greedy + got.patient > 900_000, JSON.stringify(got))
  assert.ok(got.patient > 400_000, JSON.stringify(got))
  greedy.close()
  patient.close()
  assert.equal(clock.pendingTimers, 0)
})

test('without a budget and alone, a background fetch is as fast as any', async () => {
  const took: number[] = []
  for (const background of [false, true]) {
    await using world = new World()
    const dag = largeDag()
    await world.provider('provider', dag.blocks, { delayMs: 10, bytesPerSecond: 20 * MiB })
    took.push(await timed(world, await world.peer('fetcher'), dag, { background }))
  }
  assert.equal(took[0], took[1])
})

test('without a budget it leaves a fetch of people most of the line, and then takes all of it', async () => {
  const line = { delayMs: 10, bytesPerSecond: 20 * MiB }
  const wanted = dagOf({ leaves: 96, leafBytes: MiB, width: 100 })
  const rest = dagOf({ leaves: 96, leafBytes: MiB, width: 100 })
  const run = async (hasBackground: boolean) => {
    await using world = new World()
    await world.provider('provider', [...wanted.blocks, ...rest.blocks], line)
    const fetcher = await world.peer('fetcher')
    const background = hasBackground ? timed(world, fetcher, rest, { background: true }) : undefined
    const wantedMs = await timed(world, fetcher, wanted, { background: false })
    return { wantedMs, restMs: await background }
  }
  const alone = await run(false)
  const beside = await run(true)
  assert.ok(beside.wantedMs < alone.wantedMs / 0.8, `${beside.wantedMs} ms beside, ${alone.wantedMs} ms alone`)
  assert.ok(beside.restMs! < 2 * alone.wantedMs + 1_500, `${beside.restMs} ms, of ${2 * alone.wantedMs} ms for both`)
})

test('its signal ends a fetch that is held by its budget, and nothing is left behind', async () => {
  await using world = new World()
  const dag = largeDag()
  const provider = await world.provider('provider', dag.blocks)
  const fetcher = await world.peer('fetcher', { backgroundRate: 1 })
  const controller = new AbortController()
  world.clock.timer(3_600_000, () => controller.abort(new Error('enough of this')))
  const failure = await failureOf(fetchAll(world, fetcher, dag, { background: true, signal: controller.signal }))
  assert.match(failure.message, /enough of this/)
  assert.ok(provider.exchange.status().bytesSent < 3 * MiB)
  await world.clock.settle()
  assert.equal(world.clock.pendingTimers, 0)
  for (const peer of world.network.peers.values()) assert.equal(peer.channels.size, 0, `streams of ${peer.self}`)
})
