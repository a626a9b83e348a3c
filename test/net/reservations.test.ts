// Places at relays in virtual time: renewed before they end, given up when they have ended, asked for again with longer and
// longer waits, and none while this peer can be dialed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import type { Place } from '../../src/net/circuit.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { placeOf, Reservations } from '../../src/net/reservations.ts'
import { VirtualClock } from '../twins/clock.ts'

type Connection = ReturnType<ConstructorParameters<typeof Reservations>[0]['connections']>[number]

interface RelayTwin {
  peer: PeerId
  connection: Connection
  /** Times at which it was asked. */
  asked: number[]
  lifeMs: number
  refuses: boolean
}

function setUp(count: number) {
  const clock = new VirtualClock()
  const places = new Map<PeerId, Place>()
  const state = { wanted: true, changes: 0, silent: new Set<PeerId>() }
  const relays = Array.from({ length: count }, (_, index) => relayTwin(index))
  const reservations = new Reservations({
    places,
    connections: () => relays.map(({ connection }) => connection).filter(({ status }) => status === 'open'),
    relays: (peer) => !state.silent.has(peer),
    wanted: () => state.wanted,
    onChange: () => state.changes++,
    ask: async (way) => {
      const relay = relays.find(({ connection }) => connection === way)!
      relay.asked.push(clock.monotonicMs())
      if (relay.refuses) throw new Error('no more')
      return { expires: (clock.nowMs() + relay.lifeMs) / 1000, addresses: [] }
    },
    clock,
    random: seededRandom(1),
    log: silentLog,
  })
  const loop = new WorkerLoop({ worker: reservations, clock, log: silentLog })
  loop.start()
  return { clock, places, state, relays, reservations, loop }
}

function relayTwin(index: number): RelayTwin {
  const peer = peerIdOf(newIdentity())
  const connection = {
    id: `connection-${index}`,
    remotePeer: peerIdFromString(peer),
    remoteAddr: multiaddr(`/ip4/8.8.8.${index + 1}/tcp/4101/p2p/${peer}`),
    direction: 'outbound',
    direct: true,
    status: 'open',
  } as unknown as Connection
  return { peer, connection, asked: [], lifeMs: times.reservationMs, refuses: false }
}

test('it keeps as many places as it wants, and renews each before it ends', async () => {
  const { clock, places, relays, loop } = setUp(5)
  await clock.advance(1_000)
  assert.equal(places.size, limits.relaysWanted)
  const before = new Set(places.keys())
  await clock.advance(3 * times.reservationMs)
  assert.deepEqual(new Set(places.keys()), before, 'the same all the time')
  for (const { peer, asked } of relays) {
    const gaps = asked.slice(1).map((ms, index) => ms - asked[index]!)
    assert.ok(gaps.every((gapMs) => gapMs < times.reservationMs && gapMs > times.reservationMs / 3))
    assert.equal(asked.length > 0, before.has(peer))
  }
  await loop.stop()
})

test('a relay that goes is replaced within a step, and one that refuses is asked less and less', async () => {
  const { clock, places, relays, reservations, loop } = setUp(4)
  await clock.advance(100)
  const [gone] = relays.filter(({ peer }) => places.has(peer))
  const spare = relays.find(({ peer }) => !places.has(peer))!
  Object.assign(gone!.connection, { status: 'closed' })
  reservations.lost(gone!.connection)
  await clock.advance(100)
  assert.ok(places.has(spare.peer) && !places.has(gone!.peer))
  spare.refuses = true
  Object.assign(spare.connection, { id: 'another' })
  places.delete(spare.peer)
  const from = spare.asked.length
  await clock.advance(3_600_000)
  const asked = spare.asked.length - from
  assert.ok(asked >= 10 && asked <= 30, `asked ${asked} times in an hour`)
  spare.refuses = false
  await clock.advance(times.relayRetryMostMs + times.relaysPollMs)
  assert.ok(places.has(spare.peer))
  await loop.stop()
})

test('relays of the same network do not take the places of those further away, and yield theirs', async () => {
  const { clock, places, relays, reservations, loop } = setUp(6)
  const [far, ...near] = relays
  for (const [at, { peer, connection }] of near.entries())
    Object.assign(connection, { remoteAddr: multiaddr(`/ip4/192.168.1.${at + 1}/tcp/4101/p2p/${peer}`) })
  Object.assign(far!.connection, { status: 'closed' })
  reservations.lost(far!.connection)
  // What was got before these addresses were given.
  places.clear()
  await clock.advance(times.relaysPollMs)
  assert.equal(places.size, limits.relaysWanted)
  assert.ok(!places.has(far!.peer))
  Object.assign(far!.connection, { status: 'open' })
  await clock.advance(times.relaysPollMs)
  assert.ok(places.has(far!.peer))
  assert.equal(places.size, limits.relaysWanted)
  await loop.stop()
})

test('a place whose renewal fails is used until it ends, and not longer', async () => {
  const { clock, places, relays, state, loop } = setUp(1)
  await clock.advance(100)
  relays[0]!.refuses = true
  await clock.advance(times.reservationMs * 0.9)
  assert.equal(places.size, 1)
  await clock.advance(times.reservationMs * 0.2)
  assert.equal(places.size, 0)
  assert.equal(state.changes, 2, 'told when it came and when it went')
  await loop.stop()
})

test('a relay that gives places for a moment only does not have this peer ask and announce all the time', async () => {
  const { clock, state, relays, loop } = setUp(1)
  relays[0]!.lifeMs = 1_000
  await clock.advance(2 * times.reservationMs)
  const [{ length: before }, changes] = [relays[0]!.asked, state.changes]
  await clock.advance(3_600_000)
  const asked = relays[0]!.asked.length - before
  assert.ok(asked > 0 && asked <= 30, `asked ${asked} times in an hour`)
  assert.equal(state.changes, changes)
  await loop.stop()
})

test('a relay that says that it relays no more is left', async () => {
  const { clock, places, state, relays, reservations, loop } = setUp(4)
  await clock.advance(100)
  const [first] = [...places.keys()]
  state.silent.add(first!)
  reservations.wake()
  await clock.advance(100)
  assert.equal(places.size, relays.length - 1)
  assert.ok(!places.has(first!))
  await loop.stop()
})

test('who can be dialed gives its places up', async () => {
  const { clock, places, state, reservations, loop } = setUp(2)
  await clock.advance(100)
  assert.equal(places.size, 2)
  state.wanted = false
  reservations.wake()
  await clock.advance(100)
  assert.equal(places.size, 0)
  assert.match(reservations.status(), /no relay is needed/)
  await loop.stop()
})

test('times are believed within bounds', () => {
  const clock = new VirtualClock()
  const { peer, connection } = relayTwin(0)
  const place = (lifeMs: number) =>
    placeOf({ expires: (clock.nowMs() + lifeMs) / 1000, addresses: [] }, { relay: peer, way: connection, clock })
  assert.equal(place(1e15).endMs, times.reservationMostMs)
  assert.equal(place(2 * times.reservationLeastMs).renewMs, times.reservationLeastMs)
  assert.throws(() => place(times.reservationLeastMs - 1_000), { code: 'CIRCUIT_FAILED', message: /too short/ })
  assert.throws(() => place(-1), { code: 'CIRCUIT_FAILED', message: /ended already/ })
})

test('a relay cannot have this peer announce addresses that nobody would read', () => {
  const clock = new VirtualClock()
  const { peer, connection } = relayTwin(0)
  const claimed = [
    '/ip4/8.8.4.4/tcp/1',
    `/dns4/${'a'.repeat(4_000)}/tcp/1`,
    `/ip4/8.8.4.4/tcp/1/http-path/${'b'.repeat(400)}`,
  ]
  const addresses = claimed.map((text) => multiaddr(text).bytes)
  const expires = clock.nowMs() / 1000 + 600
  const place = placeOf({ expires, addresses }, { relay: peer, way: connection, clock })
  const believed = ['/ip4/8.8.8.1/tcp/4101', claimed[0]]
  assert.deepEqual(
    place.addresses.map(String),
    believed.map((bare) => `${bare}/p2p/${peer}`),
  )
})
