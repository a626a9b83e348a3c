// Some storms, and what a wiped disk, a crash and a broken rule do.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realLaws } from '../../src/records/laws.ts'
import type { SiblingSet } from '../../src/records/version.ts'
import { bytes, Cluster, values } from './cluster.ts'
import { storm } from './storm.ts'

for (const seed of [1, 2, 3, 4]) {
  test(`storm ${seed} leaves nothing lost, nothing false and nothing undelivered`, async () => {
    assert.deepEqual(await storm({ seed, moves: seed % 2 === 0 }), [])
  })
}

test('a storm shows when the last writer wins by the clock', async () => {
  const last = (set: SiblingSet): SiblingSet => {
    const latest = set.siblings.toSorted((a, b) => b.write.atMs - a.write.atMs)[0]
    return { ...set, siblings: latest ? [latest] : [] }
  }
  const laws = { ...realLaws, merge: (a: SiblingSet, b: SiblingSet) => last(realLaws.merge(a, b)) }
  assert.notDeepEqual(await storm({ seed: 1, laws }), [])
})

test('a hand-off that asks nobody loses what only the old owner had', async () => {
  const lost = async (laws: typeof realLaws) => {
    await using cluster = await Cluster.of(['a', 'b', 'c'], { copies: 1, laws })
    const keys = Array.from({ length: 30 }, (_, index) => `key/${index}`)
    for (const key of keys) await cluster.run(cluster.records('a').put(key, bytes(key), { w: 'all' }))
    cluster.claim('c', { state: 'leaving' })
    await cluster.settled()
    const found = []
    for (const key of keys) found.push((await cluster.run(cluster.records('a').get(key))).winner)
    return found.filter((winner) => !winner).length
  }
  assert.equal(await lost(realLaws), 0)
  assert.ok((await lost({ ...realLaws, groups: (present) => [present], confirmers: () => [] })) > 0)
})

test('a wiped disk is filled again, and does not vouch for anything before', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  await cluster.crash('c')
  const put = await cluster.run(cluster.records('a').put('k', bytes('1'), { ifVersion: 'none' }))
  await cluster.crash('b')
  const store = cluster.records('c').status().store
  await cluster.restart('c', { wiped: true })
  await cluster.settled(5_000)
  assert.notEqual(cluster.records('c').status().store, store)
  // a and c are a majority, and yet c cannot know what it had promised to b.
  await assert.rejects(cluster.run(cluster.records('a').put('k', bytes('2'), { ifVersion: put.version })), {
    code: 'QUORUM_UNAVAILABLE',
  })
  assert.equal((await cluster.run(cluster.records('c').get('k', { strict: true }))).stale, true)
  await cluster.restart('b')
  await cluster.settled(20_000)
  await cluster.run(cluster.records('c').put('k', bytes('2'), { ifVersion: put.version }))
  assert.deepEqual(values(await cluster.run(cluster.records('b').get('k', { r: 'all' }))), ['2'])
})

test('a member that was invited and knows of nobody yet is not alone, and decides nothing', async () => {
  await using cluster = await Cluster.of(['a', 'b'])
  await cluster.run(cluster.records('a').put('k', bytes('1'), { strict: true }))
  const c = await cluster.add('c', [])
  await assert.rejects(cluster.run(c.records.put('k', bytes('2'), { ifVersion: 'none' })), {
    code: 'QUORUM_UNAVAILABLE',
  })
  await assert.rejects(cluster.run(c.records.get('k', { strict: true })), { code: 'QUORUM_UNAVAILABLE' })
  assert.deepEqual((await cluster.run(c.records.put('other', bytes('2')))).from.owners, ['c'])
  await cluster.settled()
  cluster.claim('a', {}, ['c'])
  cluster.claim('b', {}, ['c'])
  cluster.claim('c', {})
  await cluster.settled()
  assert.deepEqual(values(await cluster.run(c.records.get('k', { strict: true }))), ['1'])
  await cluster.run(c.records.put('k', bytes('3'), { strict: true }))
  assert.deepEqual(values(await cluster.run(cluster.records('a').get('other', { r: 'all' }))), ['2'])
})

test('after a crash no dot comes twice, and what was acknowledged is there', async () => {
  await using cluster = await Cluster.of(['a'])
  const versions = new Set<string>()
  for (let turn = 0; turn < 4; turn++) {
    for (const key of ['x', 'y'])
      versions.add((await cluster.run(cluster.records('a').put(key, bytes(`${turn}`)))).version)
    void cluster
      .records('a')
      .put('x', bytes('unheard'))
      .catch(() => {})
    await cluster.crash('a')
    await cluster.restart('a')
    const [x, y] = [await cluster.run(cluster.records('a').get('x')), await cluster.run(cluster.records('a').get('y'))]
    assert.deepEqual(values(y), [`${turn}`])
    assert.ok(values(x).length === 1)
  }
  assert.equal(versions.size, 8)
})

test('a forged record, a stranger and noise get an error and change nothing', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  await cluster.run(cluster.records('a').put('k', bytes('1'), { w: 'all' }))
  const peer = cluster.peer('b')
  const never = { signal: new AbortController().signal }
  const ask = async (request: Uint8Array) =>
    Buffer.from(await peer.answer(request, cluster.peer('a').id, never)).toString('latin1')
  assert.match(await ask(Uint8Array.of(1, 2, 3)), /RECORD_INVALID/)
  peer.membership.strangers.add(cluster.peer('a').id)
  assert.match(await ask(Uint8Array.of(1, 2, 3)), /NOT_MEMBER/)
  assert.deepEqual(values(await cluster.run(cluster.records('b').get('k'))), ['1'])
})
