// Peers that nobody can dial, reached through relays: everything runs across them as over any other connection, and a relay
// that dies, refuses or lies costs no more than a moment while there is another.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { sha256Code } from '../../src/core/block.ts'
import { openCalls } from '../../src/core/calls.ts'
import { dhtKey } from '../../src/core/dht-key.ts'
import type { Channel } from '../../src/core/ports.ts'
import type { Host } from '../../src/net/host.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { until } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'

/** A host that listens nowhere: only relays bring anybody to it. */
function hidden(relays: Host[], options: Parameters<typeof testHost>[0] = {}): Promise<Host> {
  return testHost({ listen: [], bootstrap: relays.map(addressOf), ...options })
}

function relayed(host: Host): string[] {
  return host.network.addresses().filter((address) => address.includes('/p2p-circuit'))
}

async function echo({ network }: Host): Promise<void> {
  await network.handle('/test/echo', { streamsMax: 8 }, async (channel) => {
    for (let pieces = await channel.read(); pieces; pieces = await channel.read()) await channel.write(pieces)
    await channel.close()
  })
}

async function roundTrip(channel: Channel, bytes = 100_000): Promise<number> {
  const sent = channel.write([new Uint8Array(bytes)]).then(() => channel.close())
  let back = 0
  for (let pieces = await channel.read(); pieces; pieces = await channel.read())
    for (const piece of pieces) back += piece.byteLength
  await sent
  return back
}

test('two peers behind relays meet through one, and it counts as no direct connection', async () => {
  await using relay = await testHost()
  await using here = await hidden([relay])
  await using there = await hidden([relay])
  await until('both have a place', () => relayed(here).length > 0 && relayed(there).length > 0)
  assert.equal(await here.network.connect(relayed(there)[0]!), there.network.self)
  const known = here.network.connected().find(({ peer }) => peer === there.network.self)
  assert.equal(known?.relayed, true)
  await echo(there)
  assert.equal(await roundTrip(await here.network.open(there.network.self, ['/test/echo']), 5_000_000), 5_000_000)
})

test('DHT, gossip and calls run between peers that meet only through a relay', async () => {
  await using relay = await testHost()
  await using here = await hidden([relay])
  await using there = await hidden([relay])
  await until('both have a place', () => relayed(here).length > 0 && relayed(there).length > 0)
  await here.network.connect(relayed(there)[0]!)
  await until('the DHT knows both', () => here.dht.size() === 2 && there.dht.size() === 2)
  const cid = CID.createV1(0x55, Digest.create(sha256Code, new Uint8Array(32).fill(3)))
  for (const server of await there.dht.closest(dhtKey(cid.multihash.bytes)))
    await there.dht.addProviders(server, [cid.multihash.bytes])
  const found: string[] = []
  for await (const { peer, addresses } of here.dht.findProviders(cid)) found.push(peer, ...addresses)
  assert.equal(found[0], there.network.self)
  assert.match(found[1] ?? '', /\/p2p-circuit$/, 'the record leads through the relay')

  const heard: string[] = []
  there.broadcast.subscribe('test', ({ from, bytes }) => heard.push(`${from} ${Buffer.from(bytes)}`))
  await until('it listens', () => here.broadcast.listenersTo('test').length === 1)
  await here.broadcast.publish('test', Buffer.from('hello'))
  await until('it hears', () => heard.length > 0)
  assert.deepEqual(heard, [`${here.network.self} hello`])

  const deps = { clock: systemClock, log: silentLog }
  const answer = async (request: Uint8Array) => request
  await using _ = await openCalls({ ...deps, network: there.network }, { protocol: '/test/calls', answer })
  await using calls = await openCalls({ ...deps, network: here.network }, { protocol: '/test/calls', answer })
  const answers = Array.from({ length: 64 }, (_, lane) => calls.call(there.network.self, Buffer.alloc(9_000, lane)))
  for (const [lane, bytes] of (await Promise.all(answers)).entries()) assert.equal(bytes[8_999], lane)
})

test('new streams go over the direct connection, and gossip goes on when the relayed one closes', async () => {
  await using relay = await testHost()
  await using here = await testHost({ bootstrap: [addressOf(relay)] })
  await using there = await hidden([relay])
  await until('it has a place', () => relayed(there).length > 0)
  await here.network.connect(relayed(there)[0]!)
  await echo(here)
  let heard = 0
  there.broadcast.subscribe('test', () => heard++)
  await until('it listens', () => here.broadcast.listenersTo('test').length === 1)
  const direct: string[] = []
  there.network.onDirect((peer) => direct.push(peer))
  assert.equal(there.network.connected().find(({ peer }) => peer === here.network.self)?.relayed, true)
  await there.network.connect(addressOf(here))
  await until('the direct one is told of', () => direct.includes(here.network.self))
  assert.equal(there.network.connected().find(({ peer }) => peer === here.network.self)?.relayed, false)
  await relay[Symbol.asyncDispose]()
  assert.equal(await roundTrip(await there.network.open(here.network.self, ['/test/echo'])), 100_000)
  await until('gossip arrives again', async () => {
    await here.broadcast.publish('test', Buffer.from('hello'))
    return heard > 0
  })
})

test('who loses a relay gets another one, and the first again when it is back', async () => {
  const identity = newIdentity()
  const first = await testHost({ identity })
  const at = addressOf(first)
  await using second = await testHost()
  await using here = await hidden([first, second])
  await until('it has both places', () => here.reach().relays.length === 2)
  assert.equal(here.reach().kind, 'relayed')
  await first[Symbol.asyncDispose]()
  await until('one is left', () => here.reach().relays.length === 1)
  assert.ok(relayed(here).every((address) => address.includes(second.network.self)))
  await using _again = await testHost({ identity, listen: [at.split('/p2p/')[0]!], bootstrap: [addressOf(second)] })
  await until('it has both again', () => here.reach().relays.length === 2)
})

test('a peer with one dead relay among its addresses is reached over the other', async () => {
  const dead = await testHost()
  const gone = addressOf(dead)
  await using relay = await testHost()
  await using here = await hidden([relay])
  await echo(here)
  await until('it has a place', () => relayed(here).length > 0)
  await dead[Symbol.asyncDispose]()
  await using guest = await testHost()
  const through = (relayed_: string) => `${relayed_}/p2p-circuit`
  const info = {
    peer: here.network.self,
    addresses: [through(gone), through(addressOf(relay)), 'nonsense/p2p-circuit'],
  }
  assert.equal(await roundTrip(await guest.network.open(info, ['/test/echo'])), 100_000)
})
