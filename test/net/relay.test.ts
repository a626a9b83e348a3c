// Peers that nobody can dial, reached through relays: everything runs across them as over any other connection, and a relay
// that dies, refuses or lies costs no more than a moment while there is another.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { systemClock } from '../../src/base/clock.ts'
import { varintBytes } from '../../src/base/frames.ts'
import { silentLog } from '../../src/base/log.ts'
import { freePort } from '../../src/bench/slow-line.ts'
import { sha256Code } from '../../src/core/block.ts'
import { openCalls } from '../../src/core/calls.ts'
import { dhtKey } from '../../src/core/dht-key.ts'
import type { Channel } from '../../src/core/ports.ts'
import { type CircuitMessage, encodeHop, hopProtocol } from '../../src/net/circuit-messages.ts'
import type { Host } from '../../src/net/host.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { until } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'

const nowhere = '/ip4/127.0.0.1/tcp/9'

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
  const { reservations, circuits, relayedBytes } = relay.status().relaying
  assert.deepEqual({ reservations, circuits }, { reservations: 2, circuits: 1 })
  assert.ok(relayedBytes > 10_000_000, `there and back, not ${relayedBytes}`)
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
  const listen = [`/ip4/127.0.0.1/tcp/${await freePort()}`]
  // It tells nobody where it is: the two would find the direct way by themselves.
  await using here = await testHost({ listen, announce: [nowhere], bootstrap: [addressOf(relay)] })
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
  await there.network.connect(`${listen[0]}/p2p/${here.network.self}`)
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

const bad: [what: string, answer: (nowSeconds: number) => Uint8Array | undefined, told: RegExp][] = [
  ['refuses', () => encodeHop({ type: 2, status: 200 }), /takes no more reservations/],
  ['answers with nonsense', () => new Uint8Array(20).fill(0xff), /no message of a relay/],
  ['gives a place that has ended', (now) => encodeHop(placeUntil(now - 10)), /ended already/],
  ['gives no place though it says so', () => encodeHop({ type: 2, status: 100 }), /did not say which/],
  ['hangs up', () => undefined, /relay/],
]

for (const [what, answer, told] of bad)
  test(`a relay that ${what} is passed over for one that works`, async () => {
    await using liar = await scriptedRelay(answer)
    await using here = await hidden([liar])
    await until('it has been asked', () => told.test(here.reach().why + statusOf(here)))
    assert.deepEqual(relayed(here), [])
    assert.equal(here.reach().kind, 'unreachable')
    await using relay = await testHost()
    await here.network.connect(addressOf(relay))
    await until('it has a place', () => here.reach().kind === 'relayed')
    assert.deepEqual(here.reach().relays, [relay.network.self])
  })

test('of what a relay claims of its addresses only its own count, and few', async () => {
  const nowSeconds = Math.floor(systemClock.nowMs() / 1000)
  const stranger = peerIdOf(newIdentity())
  await using liar = await scriptedRelay(() =>
    encodeHop(
      placeUntil(nowSeconds + 3_000, [
        `/ip4/8.8.8.8/tcp/1/p2p/${stranger}`,
        `/ip4/9.9.9.9/tcp/1/p2p/${stranger}/p2p-circuit`,
        '/ip4/8.8.4.4/udp/53',
        ...Array.from({ length: 30 }, (_, index) => `/ip4/8.8.8.8/tcp/${index + 1}`),
      ]),
    ),
  )
  await using here = await hidden([liar])
  await until('it has a place', () => here.reach().relays.length === 1)
  const told = relayed(here)
  assert.equal(told.length, 3)
  assert.ok(told.every((address) => address.includes(`/p2p/${liar.network.self}/p2p-circuit/p2p/${here.network.self}`)))
  assert.ok(
    told.some((address) => address.startsWith(addressOf(liar))),
    'the one at which it was dialed',
  )
})

test('whoever has no place at a relay is not reached through it, and the dialer is told why', async () => {
  await using relay = await testHost()
  await using here = await testHost({ bootstrap: [addressOf(relay)] })
  await using guest = await testHost({ bootstrap: [addressOf(relay)] })
  await until('they are connected', () => relay.network.connected().length === 2)
  await until('it relays', () => relay.reach().kind === 'direct')
  const through = `${addressOf(relay)}/p2p-circuit/p2p/${here.network.self}`
  await assert.rejects(guest.network.connect(through), { code: 'DIAL_FAILED', message: /has no reservation there/ })
})

test('in the open network a relay lets through little, and says so', async () => {
  const open = { network: { kind: 'open' } as const }
  await using relay = await testHost({ ...open, relay: { alwaysRelay: true, relayRate: 0 } })
  await using here = await hidden([relay], open)
  await using guest = await testHost(open)
  await echo(here)
  await until('it has a place', () => relayed(here).length > 0)
  await guest.network.connect(relayed(here)[0]!)
  await assert.rejects(guest.network.open(here.network.self, ['/test/echo']), { message: /relay of strangers/ })
  // One that can be dialed is dialed, though there is a connection.
  await echo(guest)
  const info = { peer: guest.network.self, addresses: guest.network.addresses() }
  assert.equal(await roundTrip(await here.network.open(info, ['/test/echo'])), 100_000)
})

test('a peer that others dialed back is direct, relays, and says so; one that is alone does not know', async () => {
  await using here = await testHost()
  assert.equal(here.reach().kind, 'unknown')
  assert.match(here.reach().why, /no other peer is connected/)
  await using there = await testHost({ bootstrap: [addressOf(here)] })
  await until('both know', () => here.reach().kind === 'direct' && there.reach().kind === 'direct')
  const relays = () => there.network.connected()[0]?.protocols.includes(hopProtocol) ?? false
  await until('it is told that it relays', relays)
  assert.deepEqual(relayed(here), [])
})

function placeUntil(expires: number, addresses: string[] = []): CircuitMessage {
  return { type: 2, status: 100, reservation: { expires, addresses: addresses.map((text) => multiaddr(text).bytes) } }
}

/** A host that answers every request for a place with the same bytes. */
async function scriptedRelay(answer: (nowSeconds: number) => Uint8Array | undefined): Promise<Host> {
  const host = await testHost()
  await host.network.handle(hopProtocol, { streamsMax: 8 }, async (channel) => {
    const bytes = answer(Math.floor(systemClock.nowMs() / 1000))
    if (bytes) await channel.write([varintBytes(bytes.byteLength), bytes])
    await channel.close()
  })
  return host
}

function statusOf(host: Host): string {
  return host.loops.map((loop) => loop.status().status).join()
}

test('what the user announces is told instead of what was found, and places at relays with it', async () => {
  await using relay = await testHost()
  const announce = ['/dns4/home.example/tcp/4101']
  await using here = await testHost({ announce })
  assert.deepEqual(here.network.addresses(), [`${announce}/p2p/${here.network.self}`])
  await using there = await hidden([relay], { announce })
  await until('it has a place', () => relayed(there).length > 0)
  assert.ok(there.network.addresses()[0]?.startsWith(announce[0]!))
  await assert.rejects(testHost({ announce: ['home.example:4101'] }), { code: 'ADDRESS_INVALID' })
})
