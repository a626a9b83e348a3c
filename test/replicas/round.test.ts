// A round of a driver takes time, and meanwhile people unpin: what was decided before must not be written over that.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { newDriven } from '../../src/replicas/driven.ts'
import type { Pin } from '../../src/replicas/pin.ts'
import { carryOut, type RoundDeps } from '../../src/replicas/round.ts'
import { dagOf } from '../exchange/dags.ts'

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
  const outcomes = { stir: () => {}, stirring: () => {}, again: () => {}, asked: () => {} }
  await carryOut(deps, round, outcomes, new AbortController().signal)
  assert.deepEqual(puts, ['pin/other same'])
})
