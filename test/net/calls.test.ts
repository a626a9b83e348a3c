// Calls between real hosts: many at once both ways, and a wire that is cut in the middle.
import assert from 'node:assert/strict'
import test from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { openCalls } from '../../src/core/calls.ts'
import type { AnswerCall } from '../../src/core/ports.ts'
import type { Host } from '../../src/net/host.ts'
import { until } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'
import { wireTo } from './wire.ts'

const open = ({ network }: Host, answer: AnswerCall) =>
  openCalls({ network, clock: systemClock, log: silentLog }, { protocol: '/test/calls', answer })

/** Says who asked, and gives back what came. */
const tell: AnswerCall = async (request, from) => Buffer.concat([Buffer.from(from), request])

test('thousands of calls of all sizes go both ways at once, each with its own answer', async () => {
  await using here = await testHost()
  await using there = await testHost()
  await using callsHere = await open(here, tell)
  await using callsThere = await open(there, tell)
  await here.network.connect(addressOf(there))
  await until('both know', () => there.network.connected().length === 1)
  const run = async (calls: typeof callsHere, from: Host, to: Host, lane: number) => {
    for (let round = 0; round < 40; round++) {
      const request = Buffer.alloc(round === 20 && lane % 8 === 0 ? 1_000_000 : 100, lane)
      request.writeUInt32BE(round)
      const answer = await calls.call(to.network.self, request)
      assert.equal(Buffer.compare(answer, Buffer.concat([Buffer.from(from.network.self), request])), 0)
    }
  }
  const lanes = Array.from({ length: 32 }, (_, lane) => [
    run(callsHere, here, there, lane),
    run(callsThere, there, here, lane),
  ])
  await Promise.all(lanes.flat())
})

test('a cut wire fails what is under way and may be tried again; the next call finds its way', async () => {
  await using here = await testHost()
  await using there = await testHost()
  await using wire = await wireTo(there)
  let asked = 0
  await using calls = await open(here, tell)
  await using _served = await open(there, (_request, _from, { signal }) => {
    asked++
    return new Promise((resolve, reject) => {
      if (asked > 1) resolve(Uint8Array.of(1))
      signal?.addEventListener('abort', () => reject(signal.reason))
    })
  })
  await here.network.connect(wire.address)
  const first = assert.rejects(calls.call(there.network.self, new Uint8Array(3)), {
    code: 'STREAM_BROKEN',
    retryable: true,
  })
  await until('it is asked', () => asked === 1)
  wire.cut()
  await first
  await here.network.connect(addressOf(there))
  assert.deepEqual(await calls.call(there.network.self, new Uint8Array(3)), Uint8Array.of(1))
})
