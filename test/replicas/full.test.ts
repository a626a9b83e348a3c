// Disks that fill up, whatever their members give: copies go where there is room, and what is there already counts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/store/errors.ts'
import { World } from './world.ts'

const hourMs = 3_600_000

test('a member whose disk is full is passed over, also by pins that nobody else holds, until there is room', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0 })
  for (const name of ['B', 'C']) await world.join(name)
  world.peer('B').isFull = true
  const pins = Array.from({ length: 8 }, () => world.dag())
  for (const dag of pins) await world.pin('A', dag, { copies: 1 })
  await world.rest()
  for (const dag of pins) assert.deepEqual(world.named(dag), ['C'])
  const both = world.dag()
  await world.pin('A', both, { copies: 2 })
  await world.rest()
  const status = await world.status(both)
  assert.equal(status?.places.find(({ peer }) => peer === 'B')?.state, 'full')
  assert.match(status?.why ?? '', /1 member has no room for it/)
  await assert.rejects(world.run(world.peer('A').replicas.wait(both.root, 2)), { code: 'COPIES_UNAVAILABLE' })
  world.peer('B').isFull = false
  await world.rest(hourMs)
  assert.equal((await world.status(both))?.held, 2)
  assert.ok(pins.some((dag) => world.named(dag).includes('B')))
})

test('a disk that takes no notes says so of what is new, and what it holds counts', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const old = world.dag()
  await world.pin('A', old)
  await world.run(world.peer('A').replicas.wait(old.root, 3))
  await world.rest()
  const { table } = world.peer('C')
  table.failWrites = new StoreError('STORE_FULL', 'the disk is full')
  const fresh = world.dag()
  // Asked about both in one message, and the record of the old one has changed.
  await Promise.all([world.pin('B', old, { copies: 3 }), world.pin('A', fresh)])
  for (let look = 0; look < 10; look++) {
    assert.equal((await world.status(old))?.held, 3)
    await world.rest(500)
  }
  const status = await world.status(fresh)
  assert.deepEqual(
    status?.places.flatMap(({ peer, state }) => (state === 'full' ? [peer] : [])),
    ['C'],
  )
})

test('what a full disk could not let go of goes soon after there is room', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const dag = world.dag()
  await world.pin('A', dag)
  await world.run(world.peer('A').replicas.wait(dag.root, 3))
  const { table, store } = world.peer('C')
  table.failWrites = new StoreError('STORE_FULL', 'the disk is full')
  await world.run(world.peer('B').replicas.unpin(dag.root))
  await world.rest(30 * 60_000)
  assert.ok(world.peer('C').replicas.summary().pins > 0)
  table.failWrites = undefined
  await world.rest(2 * 60_000)
  assert.equal(world.peer('C').replicas.summary().pins, 0)
  assert.equal(store.pins.get(dag.root), undefined)
})
