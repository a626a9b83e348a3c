// Two things at once, on one member and on several: what one of them was told stands, whatever the other does meanwhile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sleep } from '../../src/base/clock.ts'
import { Block, codecs } from '../../src/core/block.ts'
import { World } from './world.ts'

const hourMs = 3_600_000

test('what is pinned anew while it is unpinned, or let go of, stays', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0 })
  for (const name of ['B', 'C']) await world.join(name)
  const { store, replicas } = world.peer('A')
  const dag = world.dag()
  const isHere = () => store.pins.get(dag.root) !== undefined
  await world.pin('A', dag, { copies: 2 })
  await world.run(replicas.wait(dag.root, 2))

  world.records.writesSlowly = () => sleep(world.clock, 5_000, undefined)
  const unpinning = replicas.unpin(dag.root)
  await world.rest(1_000)
  world.records.writesSlowly = undefined
  await world.pin('A', dag, { copies: 1 })
  assert.equal(await world.run(unpinning), true)
  await world.rest(hourMs)
  assert.ok(isHere())
  assert.equal((await world.status(dag))?.held, 1)

  world.records.slowly = () => sleep(world.clock, 5_000, undefined)
  const lettingGo = replicas.letGo(dag.root)
  await world.rest(1_000)
  world.records.slowly = undefined
  await world.pin('A', dag, { copies: 2 })
  assert.equal(await world.run(lettingGo), false)
  assert.ok(isHere())
  await world.rest(hourMs)
  assert.ok(isHere())
  assert.equal(await world.run(replicas.letGo(dag.root)), true)
  assert.ok(!isHere())
})

test('what is pinned while this peer leaves does not leave with it, however small it is', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0 })
  for (const name of ['B', 'C']) await world.join(name)
  const { replicas } = world.peer('A')
  world.set('A', { state: 'leaving' })
  await world.rest(1_000)
  assert.ok(replicas.drained())
  // Nobody can take it yet.
  for (const name of ['B', 'C']) world.away(name, 'alive')
  const empty = Block.of(codecs.raw, new Uint8Array(0))
  await world.pin('A', { root: empty.cid, blocks: [empty], leaves: [empty], bytes: 0 }, { copies: 2 })
  assert.ok(!replicas.drained())
  await world.rest(10_000)
  assert.ok(!replicas.drained())
  for (const name of ['B', 'C']) world.back(name)
  await world.rest(5 * 60_000)
  assert.ok(replicas.drained())
})

test('many pins that are let go at once wait for their records together', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const pins = Array.from({ length: 12 }, () => world.dag(1))
  for (const dag of pins) await world.pin('A', dag)
  await world.rest()
  world.records.slowly = () => sleep(world.clock, 5_000, undefined)
  await world.run(Promise.all(pins.map(({ root }) => world.peer('B').replicas.unpin(root))))
  await world.rest(20_000)
  for (const name of ['A', 'B', 'C']) assert.deepEqual([...world.peer(name).store.pins.list()], [], name)
})

test('a member that starts with a wrong clock ends no pin before it has heard other clocks', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const pins = []
  for (let index = 0; index < 9; index++) {
    const dag = world.dag()
    await world.pin('A', dag, { copies: (index % 3) + 1, expiresMs: world.clock.nowMs() + 12 * hourMs })
    pins.push(dag)
  }
  await world.rest()
  for (const name of ['A', 'B', 'C']) {
    await world.restart(name, { skewMs: 24 * hourMs })
    await world.rest(2 * hourMs)
    await world.restart(name, { skewMs: 0 })
    await world.rest()
    for (const dag of pins) assert.ok(await world.status(dag), name)
  }
  await world.rest(7 * hourMs)
  for (const dag of pins) assert.equal(await world.status(dag), undefined)
})
