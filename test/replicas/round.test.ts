// A round of a driver takes time, and meanwhile people unpin: what was decided before must not be written over that. And of
// those who had no room one after the other is asked again, not one in each round.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { newDriven } from '../../src/replicas/driven.ts'
import type { Pin } from '../../src/replicas/pin.ts'
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
