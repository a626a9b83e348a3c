// Gossip between real hosts: to few, to many on one machine, and to nobody.
import assert from 'node:assert/strict'
import test from 'node:test'
import { Scope } from '../../src/base/scope.ts'
import { limits } from '../../src/core/limits.ts'
import { deriveKeys } from '../../src/net/admission.ts'
import { secretsOf } from '../../src/net/secrets.ts'
import { until } from '../twins/until.ts'
import { addressOf, secret, star, testHost } from './hosts.ts'

for (const count of [3, 16]) {
  test(`${count} peers hear what one of them says, each once and from its author`, async () => {
    await using scope = new Scope()
    const hosts = await star((host) => scope.use(host), count)
    const heard = hosts.map((host) => {
      const messages: string[] = []
      host.broadcast.subscribe('test', ({ from, bytes }) => messages.push(`${from} ${Buffer.from(bytes)}`))
      return messages
    })
    const speakers = [hosts[0], hosts.at(-1)!]
    // The hub hears of all; the others may hear of each other a little later.
    await until('all listen', () => hosts[0].broadcast.listenersTo('test').length === count - 1)
    await until('the last knows the hub', () => speakers[1]!.broadcast.listenersTo('test').length > 0)
    for (const speaker of speakers) await speaker!.broadcast.publish('test', Buffer.from('hello'))
    const expected = (index: number) => {
      const others = speakers.filter((speaker) => speaker !== hosts[index])
      return others.map((speaker) => `${speaker!.network.self} hello`).sort()
    }
    await until('all have heard', () => heard.every((messages, index) => messages.length >= expected(index).length))
    assert.deepEqual(
      heard.map((messages) => messages.sort()),
      heard.map((_, index) => expected(index)),
    )
  })
}

test('nobody listening is no error; too much is; who stopped listening hears nothing', async () => {
  await using scope = new Scope()
  const [here, there] = await star((host) => scope.use(host), 2)
  assert.equal(await here.broadcast.publish('test', new Uint8Array(10)), 0)
  const tooLarge = new Uint8Array(limits.gossipBytesMax + 1)
  await assert.rejects(here.broadcast.publish('test', tooLarge), { code: 'GOSSIP_TOO_LARGE' })
  let heard = 0
  const stop = there!.broadcast.subscribe('test', () => {
    heard++
    throw new Error('a bug in a listener')
  })
  await until('it listens', () => here.broadcast.listenersTo('test').length === 1)
  assert.equal(await here.broadcast.publish('test', tooLarge.subarray(1)), 1)
  await until('it hears', () => heard === 1)
  stop()
  await until('it has stopped', () => here.broadcast.listenersTo('test').length === 0)
})

test('a peer alone may publish', async () => {
  await using alone = await testHost()
  assert.equal(await alone.broadcast.publish('test', new Uint8Array(1)), 0)
})

test('a hub passes on what it cannot read, and its own words are heard by nobody', async () => {
  const { networkKey } = deriveKeys(secret)
  const hubNetwork = { kind: 'private' as const, secrets: secretsOf({ kind: 'hub', bytes: networkKey }) }
  await using hub = await testHost({ network: hubNetwork })
  await using ann = await testHost({ bootstrap: [addressOf(hub)] })
  await using ben = await testHost({ bootstrap: [addressOf(hub)] })
  const heard: string[] = []
  hub.broadcast.subscribe('test', () => heard.push('hub'))
  ann.broadcast.subscribe('test', () => heard.push('ann'))
  ben.broadcast.subscribe('test', ({ bytes }) => heard.push(`ben ${Buffer.from(bytes)}`))
  await until('the hub knows both', () => hub.broadcast.listenersTo('test').length === 2)
  await until('both know the hub', () => ann.broadcast.listenersTo('test').length === 1)
  // What is said before the mesh stands may be lost.
  await until('it is heard', async () => {
    await ann.broadcast.publish('test', Buffer.from('hello'))
    return heard.length > 0
  })
  assert.deepEqual(new Set(heard), new Set(['ben hello']))
  await assert.rejects(hub.broadcast.publish('test', Buffer.from('I')), { code: 'NOT_A_MEMBER' })
})
