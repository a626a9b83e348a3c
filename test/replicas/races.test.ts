// Two things at once, on one member and on several: what one of them was told stands, whatever the other does meanwhile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sleep } from '../../src/base/clock.ts'
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
