// Fetching in virtual time: from one provider and from several, from slow, lying, stalling and vanishing ones; what is here
// already; and how a fetch ends when it cannot go on. What counts is what its caller sees: content, report, error, time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Progress } from '../../src/core/progress.ts'
import { times } from '../../src/core/times.ts'
import { dagOf, largeDag, leafOf } from './dags.ts'
import { assertHas, bytesFrom, failureOf, fetchAll, putAll, World, type WorldPeer } from './world.ts'

const MiB = 1024 * 1024

test('a whole DAG comes from one provider, every block once, and is durable', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 500 })
  const provider = await world.provider('provider', dag.blocks)
  const fetcher = await world.peer('fetcher')
  const report = await fetchAll(world, fetcher, dag)
  fetcher.disk.crash()
  await assertHas(fetcher, dag)
  assert.deepEqual(report, { blocks: dag.blocks.length, bytes: dag.bytes, sources: { provider: dag.bytes } })
  assert.equal(provider.exchange.status().bytesSent, dag.bytes)
  assert.equal(fetcher.exchange.status().bytesReceived, dag.bytes)
})

test('a fetch leaves no stream and no timer behind', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 20 })
  await world.provider('provider', dag.blocks)
  await world.provider('lacking', dag.leaves)
  const fetcher = await world.peer('fetcher')
  await fetchAll(world, fetcher, dag)
  await world.clock.settle()
  for (const peer of world.network.peers.values()) assert.equal(peer.channels.size, 0, `streams of ${peer.self}`)
  assert.equal(world.clock.pendingTimers, 0)
})

test('a hint is enough, before any search has found anybody', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 10 })
  const provider = await world.peer('provider', { blocks: dag.blocks })
  const fetcher = await world.peer('fetcher', {
    async *findProviders() {
      await new Promise(() => {})
    },
  })
  using lease = fetcher.store.lease('fetch')
  const session = fetcher.exchange.session(dag.root, lease, { hints: [provider.network.info] })
  await world.clock.until(session.fetchDag(dag.root))
  await assertHas(fetcher, dag)
})

test('three providers all contribute, and little comes twice', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 64, leafBytes: MiB, width: 64 })
  const line = { delayMs: 10, bytesPerSecond: 20 * MiB }
  const providers: WorldPeer[] = []
  for (const name of ['one', 'two', 'three']) providers.push(await world.provider(name, dag.blocks, line))
  const fetcher = await world.peer('fetcher')
  const startMs = world.clock.monotonicMs()
  const report = await fetchAll(world, fetcher, dag)
  const tookMs = world.clock.monotonicMs() - startMs
  await assertHas(fetcher, dag)
  for (const provider of providers) assert.ok(bytesFrom(report, provider) > 0.15 * dag.bytes, provider.network.self)
  assert.ok(tookMs < 2_200, `${tookMs} ms; one alone takes 3,200`)
  const sentBytes = providers.reduce((sum, { exchange }) => sum + exchange.status().bytesSent, 0)
  assert.ok(sentBytes < 1.2 * dag.bytes, `${sentBytes} of ${dag.bytes} bytes were sent`)
})

test('providers that have a half of the blocks each make a whole', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 600 })
  const nodes = dag.blocks.slice(dag.leaves.length)
  const odd = await world.provider(
    'odd',
    dag.leaves.filter((_, at) => at % 2 === 1),
  )
  const even = await world.provider('even', [...nodes, ...dag.leaves.filter((_, at) => at % 2 === 0)])
  const fetcher = await world.peer('fetcher')
  const report = await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
  assert.ok(bytesFrom(report, odd) >= 300_000 && bytesFrom(report, even) >= 300_000)
})

test('a slow provider does not decide when a fetch ends', async () => {
  const took: number[] = []
  for (const hasSlow of [false, true]) {
    await using world = new World()
    const dag = largeDag()
    if (hasSlow) await world.provider('slow', dag.blocks, { delayMs: 100, bytesPerSecond: 100_000 })
    await world.provider('fast', dag.blocks, { delayMs: 10, bytesPerSecond: 50 * MiB })
    const fetcher = await world.peer('fetcher')
    const startMs = world.clock.monotonicMs()
    await fetchAll(world, fetcher, dag)
    await assertHas(fetcher, dag)
    took.push(world.clock.monotonicMs() - startMs)
  }
  const [alone = 0, withSlow = 0] = took
  assert.ok(withSlow < 1.5 * alone + 500, `${withSlow} ms with a slow one, ${alone} ms without`)
})

test('a provider that sends something else is asked no more, and nothing of it is kept', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 100, leafBytes: 10_000 })
  const liar = await world.provider('liar', dag.blocks, { lies: true })
  const honest = await world.provider('honest', dag.blocks, { delayMs: 20, bytesPerSecond: MiB })
  const fetcher = await world.peer('fetcher')
  const report = await fetchAll(world, fetcher, dag)
  assert.equal(bytesFrom(report, liar), 0)
  assert.equal(bytesFrom(report, honest), dag.bytes)
  await assertHas(fetcher, dag)
  assert.deepEqual((await fetcher.store.verify()).problems, [])
})

test('with nobody but a liar it fails, says so, and keeps nothing', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 10 })
  const liar = await world.provider('liar', dag.blocks, { lies: true })
  const fetcher = await world.peer('fetcher')
  const failure = await failureOf(fetchAll(world, fetcher, dag))
  assert.equal(failure.code, 'NO_PROVIDERS')
  assert.match(failure.message, /liar: these bytes are not block/)
  assert.equal(fetcher.store.stats().blocks, 0)
  const wastedBytes = liar.exchange.status().bytesSent
  assert.ok(wastedBytes < 20 * dag.blocks.at(-1)!.bytes.byteLength, `${wastedBytes} bytes were wasted on it`)
})

test('bytes that are garbled on their way do not get through either', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 50, leafBytes: 50_000 })
  const garbler = await world.provider('garbler', dag.blocks)
  garbler.network.garble = (bytes) => bytes.map((byte, at) => (at % 5_000 === 0 ? byte ^ 255 : byte))
  await world.provider('honest', dag.blocks, { delayMs: 50 })
  const fetcher = await world.peer('fetcher')
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
})

test('a provider that vanishes midway is made up for by the other', async () => {
  await using world = new World()
  const dag = largeDag()
  const line = { delayMs: 10, bytesPerSecond: 10 * MiB }
  const leaver = await world.provider('leaver', dag.blocks, line)
  await world.provider('stayer', dag.blocks, line)
  const fetcher = await world.peer('fetcher')
  world.clock.timer(700, () => leaver.network.vanish())
  const report = await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
  assert.ok(bytesFrom(report, leaver) > 0 && bytesFrom(report, leaver) < dag.bytes)
})

test('the only provider may vanish and come back', async () => {
  await using world = new World()
  const dag = largeDag()
  const { network } = await world.provider('only', dag.blocks, { bytesPerSecond: 10 * MiB })
  const fetcher = await world.peer('fetcher')
  world.clock.timer(1_000, () => network.vanish())
  world.clock.timer(1_000 + times.lookUpMs / 2, () => {
    network.refuses = false
  })
  const report = await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
  assert.equal(report.blocks, dag.blocks.length, 'no block was fetched again')
})

test('a provider that stalls is made up for by the other', async () => {
  await using world = new World()
  const dag = largeDag()
  const line = { delayMs: 10, bytesPerSecond: 10 * MiB }
  const staller = await world.provider('staller', dag.blocks, line)
  await world.provider('steady', dag.blocks, line)
  const fetcher = await world.peer('fetcher')
  world.clock.timer(700, () => {
    staller.network.stalled = true
  })
  const startMs = world.clock.monotonicMs()
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
  const tookMs = world.clock.monotonicMs() - startMs
  assert.ok(tookMs < times.stallMs, `${tookMs} ms: it waited for the one that stalls`)
})

test('two that stall with the same blocks are given up for a third', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3 })
  for (const name of ['one', 'two']) (await world.provider(name, dag.blocks)).network.stalled = true
  const fetcher = await world.peer('fetcher')
  world.clock.timer(5_000, () => void world.provider('three', dag.blocks))
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
})

test('however many hold up a block, a good provider that is there brings it', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 1, leafBytes: 300_000 })
  for (const name of ['one', 'two', 'three', 'four']) {
    const { network } = await world.provider(name, dag.blocks, { bytesPerSecond: 5_000 })
    if (name > 'p') network.stalled = true
  }
  await world.provider('good', dag.blocks, { bytesPerSecond: MiB })
  const fetcher = await world.peer('fetcher')
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
  const tookMs = world.clock.monotonicMs()
  assert.ok(tookMs < times.stallMs + 5_000, `${tookMs} ms`)
})

test('a slow line is not a stall: bytes count, not only blocks', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3, leafBytes: MiB })
  const modem = await world.provider('modem', dag.blocks, { bytesPerSecond: 20_000 })
  const fetcher = await world.peer('fetcher')
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
  assert.equal(modem.exchange.status().bytesSent, dag.bytes, 'nothing was sent again')
})

test('one that dribbles is given up all the same', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 1, leafBytes: MiB })
  await world.provider('dribbler', dag.blocks, { bytesPerSecond: 900 })
  const fetcher = await world.peer('fetcher')
  const failure = await failureOf(fetchAll(world, fetcher, dag))
  assert.equal(failure.code, 'NO_PROVIDERS')
  assert.ok(world.clock.monotonicMs() < 2 * (times.stallMs + times.lookUpMs))
})

test('with nobody but one that stalls it gives up in bounded time, and says so', async () => {
  await using world = new World()
  const dag = largeDag()
  const staller = await world.provider('staller', dag.blocks)
  staller.network.stalled = true
  const fetcher = await world.peer('fetcher')
  const startMs = world.clock.monotonicMs()
  const failure = await failureOf(fetchAll(world, fetcher, dag))
  assert.equal(failure.code, 'NO_PROVIDERS')
  assert.match(failure.message, new RegExp(`${dag.root}: of 1 providers 1 sent nothing .staller`))
  const tookMs = world.clock.monotonicMs() - startMs
  assert.ok(tookMs < times.dialMs + times.stallMs + times.lookUpMs, `${tookMs} ms`)
})

test('when the only provider goes for good, the waiting is shown, and the end says what came and how to go on', async () => {
  await using world = new World()
  const dag = largeDag()
  const { network } = await world.provider('only', dag.blocks, { bytesPerSecond: 10 * MiB })
  const fetcher = await world.peer('fetcher')
  world.clock.timer(1_000, () => {
    network.refuses = true
    network.vanish()
  })
  const shown: { atMs: number; note: string }[] = []
  const onProgress = ({ note = '' }: Progress) => void shown.push({ atMs: world.clock.monotonicMs(), note })
  const failure = await failureOf(fetchAll(world, fetcher, dag, { onProgress }))
  assert.equal(failure.code, 'NO_PROVIDERS')
  assert.match(failure.message, / \d+ blocks \(.*\) came and are kept: the same command goes on from there/)
  assert.ok(shown.some(({ note }) => /^lost only: .*; looking for others, giving up in 2\d/.test(note)))
  const gaps = shown.map(({ atMs }, index) => atMs - (shown[index - 1]?.atMs ?? 0))
  assert.ok(Math.max(...gaps) <= 3_000, `${Math.max(...gaps)} ms of silence`)
})

test('without any provider it says so, when it has looked for long enough', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3 })
  const fetcher = await world.peer('fetcher')
  const startMs = world.clock.monotonicMs()
  const failure = await failureOf(fetchAll(world, fetcher, dag))
  const tookMs = world.clock.monotonicMs() - startMs
  assert.equal(failure.code, 'NO_PROVIDERS')
  assert.match(failure.message, new RegExp(`${dag.root}: no provider was found`))
  assert.ok(tookMs >= times.lookUpMs && tookMs < times.lookUpMs + times.dialMs, `${tookMs} ms`)
})

test('providers that are dead or have nothing are named or counted in the reason', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3 })
  const dead = await world.provider('dead', dag.blocks)
  dead.network.refuses = true
  await world.provider('empty', [])
  const fetcher = await world.peer('fetcher')
  const failure = await failureOf(fetchAll(world, fetcher, dag))
  assert.equal(failure.code, 'NO_PROVIDERS')
  assert.match(failure.message, /of 2 providers 1 lack it and 1 failed \(dead: nobody answers there\)/)
})

test('dead providers, however many, do not keep a live one from being asked', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3 })
  for (let index = 0; index < 20; index++) {
    const { network } = await world.provider(`dead ${index}`, [])
    if (index % 2 === 0) network.refuses = true
    else network.hangs = true
  }
  await world.provider('live', dag.blocks)
  const fetcher = await world.peer('fetcher')
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
})

test('a provider that comes late is found, and one that gets the missing block later is asked again', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 20 })
  const late = leafOf(1_000)
  const [first, ...rest] = dag.blocks
  const fetcher = await world.peer('fetcher')
  world.clock.timer(8_000, () => void world.provider('late', [...rest, late]))
  world.clock.timer(16_000, () => void putAll(world.providers[0]!.store, [first!]))
  await fetchAll(world, fetcher, dag)
  await assertHas(fetcher, dag)
})

test('a signal ends it with its reason; what had come is kept and not fetched again', async () => {
  await using world = new World()
  const dag = largeDag()
  const provider = await world.provider('provider', dag.blocks, { bytesPerSecond: 10 * MiB })
  const fetcher = await world.peer('fetcher')
  const stop = new AbortController()
  const reason = new Error('enough')
  world.clock.timer(1_500, () => stop.abort(reason))
  assert.equal(await failureOf(fetchAll(world, fetcher, dag, { signal: stop.signal })), reason)
  await world.clock.settle()
  assert.equal(provider.network.channels.size, 0, 'the provider is let go')
  const { blocks } = fetcher.store.stats()
  assert.ok(blocks > 5 && blocks < dag.blocks.length, `${blocks} blocks had come`)
  const report = await fetchAll(world, fetcher, dag)
  assert.equal(report.blocks, dag.blocks.length - blocks)
  await assertHas(fetcher, dag)
})

test('after a crash of the fetcher the next fetch brings what is missing', async () => {
  await using world = new World()
  const dag = largeDag()
  await world.provider('provider', dag.blocks)
  const before = await world.peer('before')
  await putAll(before.store, dag.blocks.slice(0, 20))
  using lease = before.store.lease('fetch')
  const writer = before.store.writer(lease)
  for (const block of dag.blocks.slice(20)) await writer.put(block)
  before.disk.crash()
  const after = await world.peer('after', { disk: before.disk })
  const report = await fetchAll(world, after, dag)
  assert.equal(report.blocks, dag.blocks.length - 20)
  await assertHas(after, dag)
})

test('a crash in the middle of a slow fetch costs a second of it', async () => {
  await using world = new World()
  const dag = largeDag()
  await world.provider('provider', dag.blocks, { bytesPerSecond: 10 * MiB })
  const before = await world.peer('before')
  const stop = new AbortController()
  const crash = new Error('power cut')
  world.clock.timer(2_500, () => {
    before.disk.crash()
    stop.abort(crash)
  })
  assert.equal(await failureOf(fetchAll(world, before, dag, { signal: stop.signal })), crash)
  const after = await world.peer('after', { disk: before.disk })
  const { bytes } = await fetchAll(world, after, dag)
  assert.ok(bytes < dag.bytes - 10 * MiB, `${bytes} of ${dag.bytes} bytes came again`)
  await assertHas(after, dag)
})

test('one block is given verified, one that nobody has does not hold up the others', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 3 })
  await world.provider('provider', dag.blocks)
  const fetcher = await world.peer('fetcher')
  using lease = fetcher.store.lease('fetch')
  const session = fetcher.exchange.session(dag.root, lease)
  const stop = new AbortController()
  const missing = failureOf(session.get(leafOf(10).cid, { signal: stop.signal }))
  for (const { cid, bytes } of dag.blocks)
    assert.deepEqual(Buffer.from((await world.clock.until(session.get(cid))).bytes), Buffer.from(bytes))
  const reason = new Error('not that important')
  stop.abort(reason)
  assert.equal(await missing, reason)
  await world.clock.until(session[Symbol.asyncDispose]())
})

test('a block that somebody waits for does not wait behind the rest of a large fetch', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 64, leafBytes: MiB, width: 64 })
  await world.provider('provider', dag.blocks, { bytesPerSecond: 8 * MiB })
  const fetcher = await world.peer('fetcher')
  using lease = fetcher.store.lease('fetch')
  const session = fetcher.exchange.session(dag.root, lease)
  const all = session.fetchDag(dag.root)
  await world.clock.advance(500)
  await world.clock.until(session.get(dag.leaves.at(-1)!.cid))
  const tookMs = world.clock.monotonicMs()
  assert.ok(tookMs < 4_000, `${tookMs} ms, where all of it takes 8,000`)
  await world.clock.until(all)
  await world.clock.until(session[Symbol.asyncDispose]())
  await assertHas(fetcher, dag)
})

test('a provider does not send faster than its line carries', async () => {
  await using world = new World()
  const dag = largeDag()
  await world.provider('provider', dag.blocks, { bytesPerSecond: 10 * MiB })
  const fetcher = await world.peer('fetcher')
  await fetchAll(world, fetcher, dag)
  const { peakBytes } = fetcher.network
  assert.ok(peakBytes > 0 && peakBytes < 3 * MiB, `${peakBytes} bytes were on their way at once`)
})

test('a fetch goes on over a better line as soon as there is one, and nothing is lost by that', async () => {
  await using world = new World()
  const dag = dagOf({ leaves: 64, leafBytes: MiB / 4, width: 64 })
  const provider = await world.provider('provider', dag.blocks, { delayMs: 10, bytesPerSecond: MiB })
  const fetcher = await world.peer('fetcher')
  const done = fetchAll(world, fetcher, dag)
  await world.clock.advance(3_000)
  const [before] = provider.network.channels
  fetcher.network.tellDirect(provider.network.self)
  await world.clock.advance(1_000)
  assert.ok(before && !provider.network.channels.has(before), 'the old stream is dropped')
  const { sources, bytes } = await done
  assert.equal(bytes, dag.bytes)
  assert.deepEqual(sources, { provider: dag.bytes })
  await assertHas(fetcher, dag)
})
