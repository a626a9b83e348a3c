// Who is asked to dial back, and what comes of it, with connections that are made up: each answers at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import { peerIdFromString } from '@libp2p/peer-id'
import { streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { varintBytes } from '../../src/base/frames.ts'
import { silentLog } from '../../src/base/log.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { Reachability } from '../../src/net/reachability.ts'
import { VirtualClock } from '../twins/clock.ts'

type Connection = ReturnType<ConstructorParameters<typeof Reachability>[0]['connections']>[number]

/** A connection to somebody at this IP address who sees us at `observed`, and dials us there if he can. */
function wayTo(ip: string, { observed, isAble }: { observed: string; isAble: boolean }, asked: string[]): Connection {
  const answer = dagCbor.encode({ observed, worked: isAble ? [`/ip4/${observed}/tcp/4101`] : [], nowMs: 0 })
  return {
    remotePeer: peerIdFromString(peerIdOf(newIdentity())),
    remoteAddr: multiaddr(`/ip4/${ip}/tcp/1`),
    direct: true,
    status: 'open',
    newStream: async () => {
      asked.push(ip)
      const [ours, theirs] = await streamPair()
      theirs.addEventListener('message', () => {
        theirs.send(Buffer.concat([varintBytes(answer.byteLength), answer]))
        void theirs.close().catch(() => {})
      })
      return ours
    },
  } as unknown as Connection
}

function setUp(ways: Connection[], clock = new VirtualClock(), onLook = () => {}): Reachability {
  return new Reachability({
    candidates: () => {
      onLook()
      return ['/ip4/192.168.1.9/tcp/4101']
    },
    connections: () => ways,
    triesFor: () => true,
    shown: () => [],
    confirmed: [],
    onChange: () => {},
    clock,
    log: silentLog,
  })
}

test('neighbours who came first do not keep somebody from outside from being asked', async () => {
  const asked: string[] = []
  const near = { observed: '192.168.1.9', isAble: true }
  const ways = Array.from({ length: 8 }, (_, at) => wayTo(`192.168.1.${at + 10}`, near, asked))
  const clock = new VirtualClock()
  const reachability = setUp(ways, clock)
  const { signal } = new AbortController()
  await reachability.step(signal)
  assert.deepEqual([asked.length, reachability.verdict], [limits.dialBackAskedMax, 'direct'])
  ways.push(wayTo('203.0.113.5', { observed: '198.51.100.7', isAble: false }, asked))
  await clock.advance(times.reachLookAgainMs)
  await reachability.step(signal)
  assert.deepEqual(asked.slice(limits.dialBackAskedMax), ['203.0.113.5'])
  assert.equal(reachability.verdict, 'hidden', 'it is behind a NAT after all')
  for (let at = 0; at < 50; at++) ways.push(wayTo(`10.${at}.0.1`, near, asked))
  await clock.advance(times.reachLookAgainMs)
  await reachability.step(signal)
  assert.ok(asked.length <= limits.dialBackAskedMax + limits.dialBackNetworksMax)
})

test('who had too much to do is asked again soon', async () => {
  const clock = new VirtualClock()
  const way = wayTo('203.0.113.5', { observed: '198.51.100.7', isAble: false }, [])
  const { newStream } = way
  way.newStream = async () => Promise.reject(new Error('not now'))
  const reachability = setUp([way], clock)
  const { signal } = new AbortController()
  await reachability.step(signal)
  assert.equal(reachability.verdict, 'unknown')
  way.newStream = newStream
  await clock.advance(20_000)
  await reachability.step(signal)
  await clock.advance(times.reachLookMs)
  await reachability.step(signal)
  assert.equal(reachability.verdict, 'hidden')
})

test('many who come at once are looked at together, a moment later', async () => {
  const clock = new VirtualClock()
  let looks = 0
  const reachability = setUp([], clock, () => looks++)
  const loop = new WorkerLoop({ worker: reachability, clock, log: silentLog })
  loop.start()
  await clock.settle()
  assert.equal(looks, 1)
  for (let peer = 0; peer < 20; peer++) {
    reachability.wake()
    await clock.advance(1)
  }
  assert.equal(looks, 1)
  await clock.advance(times.reachLookMs)
  assert.equal(looks, 2)
  await loop.stop()
})
