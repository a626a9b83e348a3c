// Removals over weeks: they go in the end, and what was removed does not come back, whoever was away.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, Cluster, values } from './cluster.ts'

const dayMs = 24 * 3_600_000
const keys = Array.from({ length: 12 }, (_, index) => `key/${index}`)

async function removeAll(cluster: Cluster, by: string): Promise<void> {
  for (const key of keys) await cluster.run(cluster.records(by).remove(key))
}

test('a removal is deleted after thirty days, when all owners have it', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  for (const key of keys) await cluster.run(cluster.records('a').put(key, bytes('x'), { w: 'all' }))
  await removeAll(cluster, 'b')
  cluster.clock.jumpWall(29 * dayMs)
  await cluster.settled(3_700_000)
  assert.equal(cluster.records('a').status().keys, keys.length)
  cluster.clock.jumpWall(2 * dayMs)
  await cluster.settled(3_700_000)
  for (const name of ['a', 'b', 'c']) {
    assert.equal(cluster.records(name).status().keys, 0)
    assert.deepEqual([...cluster.records(name).local()], [])
  }
})

test('an owner that is away keeps removals alive, and gets them when it is back', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  for (const key of keys) await cluster.run(cluster.records('a').put(key, bytes('x'), { w: 'all' }))
  await cluster.crash('c')
  await removeAll(cluster, 'a')
  cluster.clock.jumpWall(40 * dayMs)
  await cluster.settled(3_700_000)
  assert.equal(cluster.records('a').status().keys, keys.length)
  await cluster.restart('c')
  await cluster.settled(3_700_000)
  for (const name of ['a', 'b', 'c'])
    for (const key of keys) assert.equal((await cluster.run(cluster.records(name).get(key))).winner, undefined, name)
})

test('a member that lost its part of the ring while it was away does not bring back what was removed', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd'], { copies: 2 })
  for (const key of keys) await cluster.run(cluster.records('a').put(key, bytes('x'), { w: 'all' }))
  await cluster.settled()
  await cluster.crash('d')
  const rest = ['a', 'b', 'c']
  cluster.claim('d', { state: 'left' }, rest)
  await cluster.settled()
  await removeAll(cluster, 'a')
  cluster.clock.jumpWall(40 * dayMs)
  await cluster.settled(3_700_000)
  assert.deepEqual(
    rest.flatMap((name) => [...cluster.records(name).local()]),
    [],
  )
  await cluster.restart('d')
  cluster.claim('d', { state: 'left', incarnation: 9 }, ['d'])
  await cluster.settled(3_700_000)
  assert.equal(cluster.records('d').drained(), true)
  for (const name of rest)
    for (const key of keys) assert.deepEqual(values(await cluster.run(cluster.records(name).get(key))), [], name)
})
