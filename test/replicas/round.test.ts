// A round of a driver takes time, and meanwhile people unpin and members let go: what was decided or said before must not be
// written over that. And of those who had no room one after the other is asked again, not one in each round.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { partitionOf } from '../../src/core/keyspace.ts'
import type { Member } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { ringOf, viewOf } from '../../src/placement/ring.ts'
import { newDriven } from '../../src/replicas/driven.ts'
import { type DriverDeps, DriverWorker } from '../../src/replicas/driver.ts'
import { decodePin, encodePin, type Pin, pinKey } from '../../src/replicas/pin.ts'
import { carryOut, type RoundDeps } from '../../src/replicas/round.ts'
import { dagOf } from '../exchange/dags.ts'
import { VirtualClock } from '../twins/clock.ts'

test('what a driver decided is not written over a record that has changed since', async () => {
  const cid = dagOf({ leaves: 1 }).root.toString()
  const pin: Pin = { cid, sizeBytes: 1, wishes: [], ended: [], holders: [] }
  const driven = newDriven('pin/one', { pin, context: 'before', isSplit: false })
  const other = newDriven('pin/other', { pin, context: 'same', isSplit: false })
  const puts: string[] = []
  const peer = 'p' as PeerId
  const deps = {
    peers: {
      ask: async () => {
        driven.context = 'after'
        return { progress: [{ state: 'held', doneBytes: 1 }] }
      },
    },
    records: {
      put: async (key: string, _value: Uint8Array, { context }: { context: string }) => puts.push(`${key} ${context}`),
    },
    clock: systemClock,
    log: silentLog,
  } as unknown as RoundDeps
  const holding = { key: driven.key, pin: new Uint8Array(), others: 0, from: [], again: false }
  const writes = [driven, other].map((one) => ({ driven: one, pin }))
  const round = { asks: new Map([[peer, [{ driven, holding }]]]), releases: new Map(), writes, removals: [] }
  const outcomes = { stir: () => {}, stirring: () => {}, next: () => {}, again: () => {}, asked: () => {} }
  await carryOut(deps, round, outcomes, new AbortController().signal)
  assert.deepEqual(puts, ['pin/other same'])
})

test('when a member that was hoped to have room again has none, the pin is looked at once more for the next one', async () => {
  const cid = dagOf({ leaves: 1 }).root.toString()
  const pin: Pin = { cid, sizeBytes: 1, wishes: [], ended: [], holders: [] }
  const driven = newDriven('pin/one', { pin, context: 'same', isSplit: false })
  const peer = 'p' as PeerId
  const clock = new VirtualClock()
  const answers = ['full', 'full', 'full']
  const deps = {
    peers: { ask: async () => ({ progress: [{ state: answers.pop(), doneBytes: 0 }] }) },
    clock,
    log: silentLog,
  } as unknown as RoundDeps
  const seen: string[] = []
  const outcomes = {
    stir: () => seen.push('stir'),
    stirring: () => seen.push('stirring'),
    next: () => seen.push('next'),
    again: () => {},
    asked: () => {},
  }
  const holding = { key: driven.key, pin: new Uint8Array(), others: 0, from: [], again: false }
  for (const afterMs of [0, times.unfitMs, 1_000]) {
    await clock.advance(afterMs)
    const round = { asks: new Map([[peer, [{ driven, holding }]]]), releases: new Map(), writes: [], removals: [] }
    await carryOut(deps, round, outcomes, new AbortController().signal)
  }
  assert.deepEqual(seen, ['stir', 'next'])
})

test('who was told to let go is named only when it has said anew that it holds', async () => {
  const peers = ['A', 'B'] as PeerId[]
  const asked: PeerId[] = []
  const answer = (peer: PeerId) => {
    asked.push(peer)
    return 'held'
  }
  const { driver, key, named } = driverOf({ zones: { A: '', B: '' }, clock: systemClock, answer })
  const { signal } = new AbortController()
  const step = async () => {
    driver.doubt(key)
    await driver.step(signal)
  }
  await step()
  const driven = driver.get(key)!
  driven.released = new Set(peers)
  for (const peer of peers) driven.said.set(peer, { ...driven.said.get(peer)!, atMs: Number.NEGATIVE_INFINITY })
  named.length = 0
  asked.length = 0
  await step()
  assert.deepEqual([asked.sort(), named], [peers, []])
  await step()
  assert.deepEqual(named, [peers])
})

test('the one member that has room again is found, however many before it have none', async () => {
  const shed = [...'CDEFGHJKMNPQRSTUVWXYZ'] as PeerId[]
  const zones = { A: 'house', B: 'house', ...Object.fromEntries(shed.map((peer) => [peer, 'shed'])) }
  const clock = new VirtualClock()
  let roomAt: PeerId | undefined
  const answer = (peer: PeerId) => (peer === roomAt || !shed.includes(peer) ? 'held' : 'full')
  const { driver, walk, named } = driverOf({ zones, clock, answer, isFollowed: true })
  const { signal } = new AbortController()
  const runUntil = async (endMs: number) => {
    while (clock.monotonicMs() < endMs) {
      const result = await driver.step(signal)
      if (result.next === 'later') await clock.advance(result.delayMs)
    }
  }
  await runUntil(times.pinsUnsettledMostMs)
  assert.deepEqual(named.at(-1), ['A', 'B'])
  roomAt = walk.findLast((peer) => shed.includes(peer))
  await runUntil(3 * times.pinsConfirmedMs)
  assert.ok(roomAt && named.at(-1)?.includes(roomAt))
})

interface DriverOptions {
  /** Of every member. */
  zones: Record<string, string>
  clock: Clock
  /** What a member says when it is asked to hold. */
  answer: (peer: PeerId) => string
  /** Whether what is written is heard of, as it should be. */
  isFollowed?: boolean
}

/** A driver that sees everybody, and has one pin, of two copies. */
function driverOf({ zones, clock, answer, isFollowed = false }: DriverOptions) {
  const { root } = dagOf({ leaves: 1 })
  const key = pinKey(root)
  const members = Object.entries(zones).map(
    ([peer, zone]) => ({ peer, incarnation: 1, state: 'joined', zone, capacity: 1e9 }) as Member,
  )
  const view = viewOf(members)
  const walk = ringOf(view).owners(partitionOf(key), members.length)
  const membership = {
    self: walk[0],
    members: () => members,
    member: (peer: PeerId) => members.find((member) => member.peer === peer),
    view: () => view,
  }
  const yes = () => true
  const no = () => false
  const presence = {
    update() {},
    seesMost: true,
    seesPeer: yes,
    isHere: yes,
    isGone: no,
    hasLeft: no,
    isMissed: no,
    isDeaf: no,
    asked() {},
  }
  const named: (readonly PeerId[])[] = []
  const put = async (_key: string, value: Uint8Array) => {
    named.push(decodePin(value).holders)
    if (isFollowed) follow(value)
  }
  const parts = {
    membership,
    presence,
    peers: { ask: async (peer: PeerId) => ({ progress: [{ state: answer(peer), doneBytes: 1 }] }) },
    records: { put },
    clock,
    time: { isHeard: true, nowMs: () => 0 },
    log: silentLog,
  }
  const driver = new DriverWorker(parts as unknown as DriverDeps, { recordCopies: 3 })
  const wish = { id: 'w', by: 'A' as PeerId, copies: 2, elsewhere: false }
  const pin: Pin = { cid: root.toString(), sizeBytes: 1, wishes: [wish], ended: [], holders: [] }
  const follow = (value: Uint8Array) => driver.follow({ key, siblings: [{ value }], context: String(named.length) })
  follow(encodePin(pin))
  return { driver, key, walk, named }
}
