// Members that leave while somebody writes through them: whatever they acknowledge is with others before they are gone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { partitionOf } from '../../src/core/keyspace.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { ringOf, viewOf } from '../../src/placement/ring.ts'
import { bytes, Cluster, values } from './cluster.ts'

const rest = ['a', 'b', 'c']
const copies = 1

/** A key that `d` owns, or does not. */
function keyOf(cluster: Cluster, { isOwned }: { isOwned: boolean }): string {
  for (let index = 0; ; index++) {
    const key = `key/${index}`
    if ((ownerOf(cluster, key, [...rest, 'd']) === 'd') === isOwned) return key
  }
}

/** Who owns a key once these are all the members. */
function ownerOf(cluster: Cluster, key: string, members: string[]): string {
  const view = viewOf(
    cluster
      .peer('d')
      .membership.members()
      .filter(({ peer }) => members.includes(peer)),
  )
  return ringOf(view).owners(partitionOf(key), copies)[0]!
}

test('a write that its last resort has not on its disk yet keeps it from having left', async () => {
  await using cluster = await Cluster.of([...rest, 'd'], { copies })
  const key = keyOf(cluster, { isOwned: false })
  cluster.partition(['d'], rest)
  cluster.peer('d').table.delayMs = 500
  const put = cluster.records('d').put(key, bytes('1'), { context: 'none' })
  await cluster.clock.advance(100)
  cluster.claim('d', { state: 'leaving' }, ['d'])
  assert.equal(cluster.records('d').drained(), false)
  assert.deepEqual((await cluster.run(put)).from, { owners: [], standIns: ['d'] })
  assert.equal(cluster.records('d').drained(), false)
  cluster.heal()
  await cluster.settled()
  assert.equal(cluster.records('d').drained(), true)
  await cluster.crash('d')
  assert.deepEqual(values(await cluster.run(cluster.records('a').get(key))), ['1'])
})

test('a write that waits for another one at an owner that begins to leave is handed over with it', async () => {
  await using cluster = await Cluster.of([...rest, 'd'], { copies, gossip: false })
  const key = keyOf(cluster, { isOwned: true })
  const next = ownerOf(cluster, key, rest)
  const through = rest.find((name) => name !== next)!
  cluster.peer('d').table.delayMs = 500
  const puts = ['1', '2'].map((value) => cluster.records(through).put(key, bytes(value), { context: 'none' }))
  await cluster.clock.advance(100)
  cluster.claim('d', { state: 'leaving' })
  assert.equal(cluster.records('d').drained(), false)
  for (const { from } of await cluster.run(Promise.all(puts))) assert.deepEqual(from.owners, ['d'])
  await cluster.settled()
  assert.equal(cluster.records('d').drained(), true)
  await cluster.crash('d')
  assert.deepEqual(values(await cluster.run(cluster.records(next).get(key))), ['1', '2'])
})

test('whoever has begun to leave when its turn comes to stand in keeps nothing', async () => {
  await using cluster = await Cluster.of([...rest, 'd'], { copies, notices: false })
  const key = keyOf(cluster, { isOwned: false })
  cluster.partition(['d'], rest)
  const put = cluster.records('d').put(key, bytes('1'), { context: 'none' })
  put.catch(() => {})
  await cluster.clock.advance(100)
  cluster.claim('d', { state: 'leaving' }, ['d'])
  await assert.rejects(cluster.run(put), { code: 'QUORUM_UNAVAILABLE' })
  assert.equal(cluster.records('d').drained(), true)
  assert.deepEqual([...cluster.records('d').local()], [])
})

test('whoever has handed records over keeps nothing of them, also if their new owners had more', async () => {
  await using cluster = await Cluster.of([...rest, 'd'], { copies: 2, gossip: false })
  const ring = ringOf(cluster.peer('d').membership.view())
  const all = Array.from({ length: 20 }, (_, index) => `key/${index}`)
  const keys = all.filter((key) => ring.owners(partitionOf(key), 2).includes('d' as PeerId))
  cluster.partition(['d'], rest)
  for (const key of keys)
    for (const name of ['a', 'd']) await cluster.run(cluster.records(name).put(key, bytes(name), { context: 'none' }))
  cluster.claim('d', { state: 'leaving' })
  cluster.heal()
  await cluster.settled()
  assert.deepEqual([...cluster.records('d').local()], [])
  for (const key of keys) assert.deepEqual(values(await cluster.run(cluster.records('a').get(key))), ['a', 'd'])
})
