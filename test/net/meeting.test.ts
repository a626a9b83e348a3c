// The worker that keeps a peer connected, on a virtual clock: whom it dials, when, and when it gives up.
import assert from 'node:assert/strict'
import test from 'node:test'
import type { CodedError } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { Network } from '../../src/core/ports.ts'
import { NetError } from '../../src/net/errors.ts'
import { Meeting } from '../../src/net/meeting.ts'
import { VirtualClock } from '../twins/clock.ts'

const far = '/ip4/192.0.2.1/tcp/4101/p2p/far'

function setUp(
  t: { after(end: () => Promise<void>): void },
  options: { bootstrap?: string[]; connectionsWanted?: number },
) {
  const clock = new VirtualClock()
  const up = new Set<string>()
  const connected = new Set<string>()
  const dials: string[] = []
  const forgotten: string[] = []
  let failure: CodedError = new NetError('DIAL_FAILED', 'nobody there')
  const network = {
    self: 'self' as PeerId,
    connected: () => [...connected].map((peer) => ({ peer })),
    async connect(target: string | { peer: PeerId }) {
      const peer = typeof target === 'string' ? target.split('/').at(-1)! : target.peer
      dials.push(`${Math.round(clock.monotonicMs() / 1000)}s ${peer}`)
      if (!up.has(peer)) throw failure
      connected.add(peer)
      return peer as PeerId
    },
  } as unknown as Network
  const meeting = new Meeting(
    { network, clock, random: seededRandom(1), log: silentLog, onOtherNetwork: (peer) => forgotten.push(peer) },
    { bootstrap: [], connectionsWanted: 10, ...options },
  )
  const loop = new WorkerLoop({ worker: meeting, clock, log: silentLog })
  loop.start()
  t.after(() => loop.stop())
  const fail = (error: CodedError) => {
    failure = error
  }
  const found = (peer: string) => {
    if (meeting.found({ peer: peer as PeerId, addresses: ['/ip4/192.0.2.2/tcp/1'] })) loop.wake()
  }
  const lose = (peer: string) => {
    connected.delete(peer)
    meeting.lost(peer as PeerId)
    loop.wake()
  }
  return { clock, up, connected, dials, forgotten, meeting, fail, found, lose }
}

test('a bootstrap address is dialed with longer and longer waits, for ever, until it answers', async (t) => {
  const { clock, up, dials, meeting } = setUp(t, { bootstrap: [far, '/ip4/192.0.2.1/tcp/4101/p2p/self'] })
  assert.deepEqual(meeting.lasting(), ['far'])
  await clock.advance(60_000)
  const early = dials.length
  assert.ok(early >= 5 && early <= 8, `${early} dials in the first minute`)
  assert.match(meeting.status(), /trying 1 that did not answer/)
  await clock.advance(3_600_000)
  assert.ok(dials.length - early >= 59 && dials.length - early <= 82, `${dials.length - early} dials in an hour`)
  up.add('far')
  await clock.advance(60_000)
  assert.equal(meeting.status(), 'connected to 1 peers')
  const answered = dials.length
  await clock.advance(3_600_000)
  assert.equal(dials.length, answered, 'who is connected is not dialed')
})

test('a found peer is dialed once, and given up when it never answers', async (t) => {
  const { clock, up, dials, found } = setUp(t, {})
  up.add('near')
  await clock.advance(5_000)
  found('near')
  found('near')
  found('self')
  await clock.advance(1_000)
  assert.deepEqual(dials, ['5s near'])
  found('ghost')
  await clock.advance(3_600_000)
  assert.equal(dials.filter((dial) => dial.endsWith('ghost')).length, 8)
})

test('a lost peer is dialed again soon', async (t) => {
  const { clock, up, connected, dials, found, lose } = setUp(t, {})
  up.add('near')
  found('near')
  await clock.advance(1_000)
  up.delete('near')
  lose('near')
  await clock.advance(10_000)
  assert.ok(dials.length > 3)
  up.add('near')
  await clock.advance(20_000)
  assert.ok(connected.has('near'))
})

test('found peers are left alone while there are enough connections', async (t) => {
  const { clock, up, connected, dials, found, lose } = setUp(t, { connectionsWanted: 2 })
  for (const peer of ['a', 'b', 'c', 'd']) {
    up.add(peer)
    found(peer)
  }
  await clock.advance(120_000)
  assert.equal(connected.size, 2)
  assert.equal(dials.length, 2)
  up.delete('a')
  lose('a')
  await clock.advance(120_000)
  assert.equal(connected.size, 2)
})

test('a peer of another network is not dialed twice, and forgotten', async (t) => {
  const { clock, dials, forgotten, fail, found } = setUp(t, {})
  fail(new NetError('OTHER_NETWORK', 'of another network'))
  found('stranger')
  await clock.advance(3_600_000)
  assert.equal(dials.length, 1)
  assert.deepEqual(forgotten, ['stranger'])
})
