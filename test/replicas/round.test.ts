// A round of a driver takes time, and meanwhile people unpin and members let go: what was decided or said before must not be
// written over that. And of those who had no room one after the other is asked again, not one in each round.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
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
  const { root } = dagOf({ leaves: 1 })
  const key = pinKey(root)
  const peers = ['A', 'B'] as PeerId[]
  const members = peers.map((peer) => ({ peer, incarnation: 1, state: 'joined', zone: '', capacity: 1e9 }) as Member)
  const view = viewOf(members)
  const membership = {
    self: ringOf(view).owners(partitionOf(key), 1)[0],
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
    isDeaf: no,
    asked() {},
  }
  const asked: PeerId[] = []
  const ask = async (peer: PeerId) => {
    asked.push(peer)
    return { progress: [{ state: 'held', doneBytes: 1 }] }
  }
  const named: (readonly PeerId[])[] = []
  const put = async (_key: string, value: Uint8Array) => named.push(decodePin(value).holders)
  const parts = {
    membership,
    presence,
    peers: { ask },
    records: { put },
    clock: systemClock,
    time: { isHeard: true, nowMs: () => 0 },
  }
  const driver = new DriverWorker({ ...parts, log: silentLog } as unknown as DriverDeps, { recordCopies: 3 })
  const wish = { id: 'w', by: 'A' as PeerId, copies: 2, elsewhere: false }
  const pin: Pin = { cid: root.toString(), sizeBytes: 1, wishes: [wish], ended: [], holders: [] }
  const { signal } = new AbortController()
  const step = async () => {
    driver.doubt(key)
    await driver.step(signal)
  }
  driver.follow({ key, siblings: [{ value: encodePin(pin) }], context: 'one' })
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
