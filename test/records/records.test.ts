// Records on a cluster in memory: what callers are promised when all is well, and when members are away.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseVersion } from '../../src/records/record.ts'
import type { Found } from '../../src/records/words.ts'
import { bytes, Cluster, text, values } from './cluster.ts'

test('a value is read back through any member, and the next version replaces it', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd'])
  const first = await cluster.run(cluster.records('a').put('site', bytes('one'), { w: 'all' }))
  assert.equal(first.acks, 3)
  assert.equal(first.wanted, 3)
  assert.equal(first.siblings.length, 1)
  for (const name of ['a', 'b', 'c', 'd']) {
    const found = await cluster.run(cluster.records(name).get('site', { r: 'quorum' }))
    assert.equal(text(found.winner?.value), 'one')
    assert.equal(found.context, first.version)
    assert.equal(found.acks, 2)
  }
  const second = await cluster.run(
    cluster.records('d').put('site', bytes('two'), { context: first.version, w: 'quorum' }),
  )
  assert.deepEqual(values(second), ['two'])
  const found = await cluster.run(cluster.records('b').get('site', { r: 'all' }))
  assert.deepEqual(values(found), ['two'])
  assert.deepEqual(
    (await cluster.run(cluster.records('c').history('site'))).map(({ value }) => text(value)),
    ['one'],
  )
})

test('writes that did not see each other become siblings; one that saw both replaces both', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  const [one, two] = await cluster.run(
    Promise.all([
      cluster.records('a').put('k', bytes('1'), { w: 'all', context: 'none' }),
      cluster.records('b').put('k', bytes('2'), { w: 'all', context: 'none' }),
    ]),
  )
  const found = await cluster.run(cluster.records('c').get('k', { r: 'all' }))
  assert.deepEqual(values(found), ['1', '2'])
  assert.notEqual(one.version, undefined)
  assert.notEqual(two.version, undefined)
  await cluster.run(cluster.records('c').put('k', bytes('3'), { context: found.context }))
  assert.deepEqual(values(await cluster.run(cluster.records('a').get('k', { r: 'all' }))), ['3'])
})

test('puts without a context replace what is there', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd', 'e'])
  for (const value of ['1', '2', '3', '4']) await cluster.run(cluster.records('e').put('k', bytes(value)))
  assert.deepEqual(values(await cluster.run(cluster.records('a').get('k', { r: 'all' }))), ['4'])
})

test('a removed key has no winner, and the removal is a version', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  await cluster.run(cluster.records('a').put('k', bytes('1')))
  const removed = await cluster.run(cluster.records('b').remove('k', { w: 'all' }))
  const found = await cluster.run(cluster.records('c').get('k'))
  assert.equal(found.winner, undefined)
  assert.equal(found.context, removed.version)
  assert.deepEqual((await cluster.run(cluster.records('c').list(''))).entries, [])
})

test('a peer alone writes, and says one of three; the others get it when they are back', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd'])
  cluster.partition(['a'], ['b', 'c', 'd'])
  for (const key of ['k1', 'k2', 'k3', 'k4', 'k5']) {
    const put = await cluster.run(cluster.records('a').put(key, bytes('lone')))
    assert.equal(put.acks, 1)
    assert.equal(put.wanted, 3)
    assert.equal(put.from.owners.length + put.from.standIns.length, 1)
    const found = await cluster.run(cluster.records('a').get(key))
    assert.equal(text(found.winner?.value), 'lone')
    assert.equal(found.stale, true)
    await assert.rejects(cluster.run(cluster.records('a').put(key, bytes('no'), { w: 'quorum' })), {
      code: 'QUORUM_UNAVAILABLE',
    })
    await assert.rejects(cluster.run(cluster.records('a').put(key, bytes('no'), { strict: true })), {
      code: 'QUORUM_UNAVAILABLE',
    })
  }
  assert.ok(cluster.records('a').pendingHints() > 0)
  cluster.heal()
  await cluster.settled()
  assert.equal(cluster.records('a').pendingHints(), 0)
  for (const key of ['k1', 'k2', 'k3', 'k4', 'k5']) {
    const found = await cluster.run(cluster.records('c').get(key, { r: 'all' }))
    assert.ok(values(found).length >= 1)
    assert.equal(found.acks, 3)
  }
})

test('a refusal names what was tried, and advises only what was not', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'], { notices: true })
  cluster.partition(['a'], ['b', 'c'])
  const records = cluster.records('a')
  const refusals: [() => Promise<unknown>, RegExp][] = [
    [() => records.put('k', bytes('no'), { strict: true }), /^this write .* back, or try without --strict$/],
    [() => records.put('k', bytes('no'), { w: 'all' }), /^this write .* ask for fewer with -w\. What was stored stays/],
    [() => records.get('k', { r: 'all' }), /^this read .* or ask for fewer with -r$/],
  ]
  for (const [refused, message] of refusals)
    await assert.rejects(cluster.run(refused()), { code: 'QUORUM_UNAVAILABLE', message })
})

test('both sides of a partition write, and nothing is lost', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd', 'e'])
  cluster.partition(['a', 'b'], ['c', 'd', 'e'])
  const keys = Array.from({ length: 20 }, (_, index) => `key/${index}`)
  for (const key of keys) {
    await cluster.run(cluster.records('a').put(key, bytes('left'), { context: 'none' }))
    await cluster.run(cluster.records('d').put(key, bytes('right'), { context: 'none' }))
  }
  cluster.heal()
  await cluster.settled(120_000)
  for (const key of keys) {
    const found = await cluster.run(cluster.records('b').get(key, { r: 'all' }))
    assert.deepEqual(values(found), ['left', 'right'], key)
  }
  for (const name of cluster.peers.keys()) assert.equal(cluster.records(name).pendingHints(), 0)
})

test('of strict callers with one version exactly one wins', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd'])
  let version = 'none'
  for (let turn = 0; turn < 5; turn++) {
    const tries = ['a', 'b', 'c', 'd'].map((name) =>
      cluster.records(name).put('lock', bytes(`${name}${turn}`), { ifVersion: version }),
    )
    const results = await cluster.run(Promise.allSettled(tries))
    const won = results.filter((result) => result.status === 'fulfilled')
    assert.equal(won.length, 1)
    for (const result of results)
      if (result.status === 'rejected') assert.equal(result.reason.code, 'VERSION_MISMATCH', result.reason)
    const found = await cluster.run(cluster.records('b').get('lock', { strict: true }))
    assert.deepEqual(values(found), values(won[0]!.value))
    version = found.context
  }
})

test('a minority compares and sets nothing; the majority goes on without the primary', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  for (const lone of ['a', 'b', 'c']) {
    const others = ['a', 'b', 'c'].filter((name) => name !== lone)
    cluster.partition([lone], others)
    const key = `k/${lone}`
    await assert.rejects(cluster.run(cluster.records(lone).put(key, bytes('x'), { ifVersion: 'none' })), {
      code: 'QUORUM_UNAVAILABLE',
    })
    const put = await cluster.run(cluster.records(others[0]!).put(key, bytes('y'), { ifVersion: 'none' }))
    assert.deepEqual(values(put), ['y'])
    cluster.heal()
    await cluster.settled()
    assert.deepEqual(values(await cluster.run(cluster.records(lone).get(key, { r: 'all' }))), ['y'])
  }
})

test('a new member gets its share, and only then is it deleted elsewhere', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'], { copies: 2 })
  const keys = Array.from({ length: 60 }, (_, index) => `key/${index}`)
  for (const key of keys) await cluster.run(cluster.records('a').put(key, bytes(key), { w: 'all' }))
  await cluster.add('d', ['a', 'b', 'c'])
  cluster.claim('d', {})
  for (const key of keys) {
    const found = await cluster.run(cluster.records('d').get(key, { r: 'quorum' }))
    assert.equal(text(found.winner?.value), key)
  }
  await cluster.settled(120_000)
  let held = 0
  for (const name of cluster.peers.keys()) {
    const { keys, partitionsToHandOver, ringsUnsettled } = cluster.records(name).status()
    assert.equal(partitionsToHandOver, 0)
    assert.equal(ringsUnsettled, 0)
    held += keys
  }
  assert.equal(held, 2 * keys.length)
  assert.ok(cluster.records('d').status().keys > 5)
})

test('who follows knows what is here, and forgets what goes to others', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'], { copies: 2 })
  const known = new Map<string, Set<string>>()
  const follow = (name: string) => {
    const keys = new Set<string>()
    known.set(name, keys)
    cluster.records(name).follow('key/', ({ key, siblings }) => {
      if (siblings.length > 0) keys.add(key)
      else keys.delete(key)
    })
  }
  for (const name of cluster.peers.keys()) follow(name)
  const put = (key: string) => cluster.run(cluster.records('a').put(key, bytes(key)))
  for (let index = 0; index < 40; index++) await put(`key/${index}`)
  await cluster.crash('b')
  for (let index = 40; index < 60; index++) await put(`key/${index}`)
  assert.ok([...cluster.records('c').local()].some(({ standIn }) => standIn))
  await cluster.restart('b')
  follow('b')
  await cluster.add('d', ['a', 'b', 'c'])
  follow('d')
  cluster.claim('d', {})
  await cluster.settled(120_000)
  for (const [name, keys] of known) {
    const here = Array.from(cluster.records(name).local(), ({ key }) => key)
    assert.ok(here.length > 0 && here.length < 60)
    assert.deepEqual([...keys].sort(), here.sort(), name)
  }
})

test('a member that leaves hands everything over', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd'], { copies: 2 })
  const keys = Array.from({ length: 40 }, (_, index) => `key/${index}`)
  for (const key of keys) await cluster.run(cluster.records('a').put(key, bytes(key), { w: 'all' }))
  cluster.claim('b', { state: 'leaving' })
  await cluster.settled(120_000)
  assert.equal(cluster.records('b').drained(), true)
  assert.equal(cluster.records('b').status().keys, 0)
  await cluster.crash('b')
  for (const key of keys) {
    const found = await cluster.run(cluster.records('c').get(key, { r: 'all' }))
    assert.equal(text(found.winner?.value), key)
  }
})

test('everybody who watches hears of every version, once', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd', 'e'])
  const heard = new Map<string, Found[]>()
  for (const name of cluster.peers.keys()) {
    heard.set(name, [])
    cluster.records(name).watch('w/', (found) => heard.get(name)!.push(found))
  }
  for (const value of ['1', '2', '3']) {
    await cluster.run(cluster.records('a').put('w/x', bytes(value)))
    await cluster.run(cluster.records('b').put('not/x', bytes(value)))
    await cluster.clock.advance(2_000)
  }
  for (const [name, found] of heard)
    assert.deepEqual(
      found.map(({ winner }) => text(winner?.value)),
      ['1', '2', '3'],
      name,
    )
})

test('listing merges what the members hold, page by page', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c', 'd', 'e'], { copies: 2 })
  // Characters whose order by code point is not that by code unit.
  const keys = ['0', '\uffee', '\u{1f3b2}'].flatMap((first) =>
    Array.from({ length: 10 }, (_, index) => `l/${first}${index}`),
  )
  for (const key of keys) await cluster.run(cluster.records('a').put(key, bytes(key)))
  await cluster.run(cluster.records('a').put('m/other', bytes('x')))
  const listed: string[] = []
  let after: string | undefined
  do {
    const page = await cluster.run(cluster.records('c').list('l/', { limit: 7, ...(after !== undefined && { after }) }))
    assert.deepEqual(page.unreached, [])
    listed.push(...page.entries.map(({ key }) => key))
    after = page.next
  } while (after !== undefined)
  assert.deepEqual(listed, keys)
})

test('bad input gets a clear error', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  const records = cluster.records('a')
  await assert.rejects(records.put('k', new Uint8Array(64 * 1024 + 1)), { code: 'VALUE_TOO_LARGE' })
  await assert.rejects(records.put('', bytes('x')), { code: 'KEY_INVALID' })
  await assert.rejects(records.put('a\u0000b', bytes('x')), { code: 'KEY_INVALID' })
  await assert.rejects(records.put('x'.repeat(513), bytes('x')), { code: 'KEY_INVALID' })
  await assert.rejects(records.put('k', bytes('x'), { context: 'rubbish' }), { code: 'VERSION_INVALID' })
  await assert.rejects(cluster.run(records.put('k', bytes('x'), { w: 4 })), {
    code: 'QUORUM_UNAVAILABLE',
    message: /3 members/,
  })
  const put = await cluster.run(records.put('k', bytes('x')))
  await assert.rejects(cluster.run(records.put('k', bytes('y'), { ifVersion: 'none' })), {
    code: 'VERSION_MISMATCH',
    message: new RegExp(put.version),
  })
})

test('a write that others hold and its issuer lost in a crash is not taken for replaced by what the issuer writes next', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  const first = await cluster.run(cluster.records('a').put('k', bytes('1'), { w: 'all' }))
  // What is written to the disk of `a` takes long enough for the others to be done.
  cluster.peer('a').table.delayMs = 500
  const lost = cluster.records('a').put('k', bytes('2'), { context: first.version })
  lost.catch(() => {})
  await cluster.clock.advance(200)
  assert.deepEqual(values(await cluster.run(cluster.records('b').get('k', { r: 'one' }))), ['2'])
  await cluster.crash('a')
  cluster.partition(['a'], ['b', 'c'])
  await cluster.restart('a')
  await cluster.run(cluster.records('a').put('k', bytes('3'), { context: first.version }))
  cluster.heal()
  await cluster.settled()
  for (const name of ['a', 'b', 'c'])
    assert.deepEqual(values(await cluster.run(cluster.records(name).get('k', { r: 'all' }))), ['2', '3'])
})

test('the same after a disk that failed for a while; a store closed in order goes on under its id', async () => {
  await using cluster = await Cluster.of(['a', 'b', 'c'])
  const first = await cluster.run(cluster.records('a').put('k', bytes('1'), { w: 'all' }))
  cluster.peer('a').table.fail = new Error('the disk is full')
  await assert.rejects(cluster.run(cluster.records('a').put('k', bytes('2'), { context: first.version })))
  cluster.partition(['a'], ['b', 'c'])
  cluster.peer('a').table.fail = undefined
  await cluster.run(cluster.records('a').put('k', bytes('3'), { context: first.version }))
  cluster.heal()
  await cluster.settled()
  const both = await cluster.run(cluster.records('b').get('k', { r: 'all' }))
  assert.deepEqual(values(both), ['2', '3'])
  const seenBy = (version: string) => [...parseVersion(version).seen.keys()].sort()
  const merged = await cluster.run(cluster.records('a').put('k', bytes('4'), { context: both.context }))
  await cluster.run(Promise.resolve(cluster.records('a')[Symbol.asyncDispose]()))
  await cluster.restart('a')
  const next = await cluster.run(cluster.records('a').put('k', bytes('5'), { context: merged.version }))
  assert.deepEqual(seenBy(next.version), seenBy(merged.version))
})
