// Searching for providers over ways that answer, fail, repeat themselves or never end.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId, PeerInfo, Provider } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { providerSearch, type SearchDeps } from '../../src/routing/find.ts'
import { VirtualClock } from '../twins/clock.ts'
import { newPeerId } from '../twins/dht.ts'

const random = seededRandom(1)
const self = newPeerId(random)
const cid = CID.createV1(0x55, Digest.create(0x12, random.bytes(32)))
const peers = Array.from({ length: 40 }, () => newPeerId(random))
const info = (peer: PeerId, addresses = ['/ip4/10.0.0.1/tcp/4101']): PeerInfo => ({ peer, addresses })

async function* none(): AsyncGenerator<PeerInfo> {}

async function* give(...infos: PeerInfo[]): AsyncGenerator<PeerInfo> {
  yield* infos
}

async function* silent(): AsyncGenerator<PeerInfo> {
  await new Promise<never>(() => {})
}

function search(overrides: Partial<SearchDeps> & { dhtFinds?: SearchDeps['askConnected'] }, signal?: AbortSignal) {
  const clock = new VirtualClock()
  const find = providerSearch({
    self,
    network: { addresses: () => [`/ip4/10.0.0.9/tcp/4101/p2p/${self}`] },
    store: { has: () => false },
    dht: { findProviders: overrides.dhtFinds ?? none },
    holders: none,
    askConnected: none,
    clock,
    log: silentLog,
    ...overrides,
  })
  return { clock, providers: find(cid, { signal }) }
}

async function collect(providers: AsyncIterable<Provider>): Promise<Provider[]> {
  const all: Provider[] = []
  for await (const provider of providers) all.push(provider)
  return all
}

test('own store, holders, connected peers and DHT are put together, each provider once by each way', async () => {
  const { clock, providers } = search({
    store: { has: () => true },
    holders: () => give(info(peers[2]!), info(self), info(peers[0]!)),
    askConnected: () => give(info(peers[0]!)),
    dhtFinds: () => give(info(peers[0]!), info(peers[1]!), info(self), info(peers[1]!)),
  })
  const found = await collect(providers)
  assert.deepEqual(found[0], { peer: self, addresses: ['/ip4/10.0.0.9/tcp/4101'], via: 'own' })
  assert.deepEqual(
    found
      .slice(1)
      .map(({ peer, via }) => `${via} ${peer}`)
      .sort(),
    [`ring ${peers[2]}`, `ring ${peers[0]}`, `peers ${peers[0]}`, `dht ${peers[0]}`, `dht ${peers[1]}`].sort(),
  )
  assert.equal(clock.pendingTimers, 0)
})

test('a provider known without addresses is given again when they are known', async () => {
  const { providers } = search({
    dhtFinds: () => give(info(peers[0]!, []), info(peers[0]!, []), info(peers[0]!), info(peers[0]!)),
  })
  const found = await collect(providers)
  assert.deepEqual(
    found.map(({ addresses }) => addresses.length),
    [0, 1],
  )
})

test('holders come first when all ways answer at once', async () => {
  const { providers } = search({
    holders: () => give(info(peers[4]!), info(peers[5]!)),
    askConnected: () => give(info(peers[6]!)),
    dhtFinds: () => give(info(peers[7]!)),
  })
  const found = await collect(providers)
  assert.deepEqual([found.length, found[0]?.peer, found[0]?.via], [4, peers[4], 'ring'])
})

test('answers come as they are found, while another way is silent', async () => {
  const { clock, providers } = search({ askConnected: silent, dhtFinds: () => give(info(peers[3]!)) })
  const iterator = providers[Symbol.asyncIterator]()
  assert.equal((await iterator.next()).value?.peer, peers[3])
  const end = iterator.next()
  assert.equal((await clock.until(end, times.lookUpMs)).done, true)
  assert.equal(clock.monotonicMs(), times.lookUpMs)
})

test('a search without any answer ends in time and does not throw', async () => {
  const { clock, providers } = search({ holders: silent, askConnected: silent, dhtFinds: silent })
  assert.deepEqual(await clock.until(collect(providers), times.lookUpMs), [])
  assert.equal(clock.pendingTimers, 0)
})

test('ways that fail cost nothing but their own answers', async () => {
  const failing = () => {
    throw new Error('no connection')
  }
  const { providers } = search({ askConnected: failing, dhtFinds: () => give(info(peers[2]!)) })
  assert.equal((await collect(providers)).length, 1)
  assert.deepEqual(await collect(search({ holders: failing, askConnected: failing, dhtFinds: failing }).providers), [])
})

test('it stops at the limit, and tells the ways to stop', async () => {
  let stopped = false
  const { providers } = search({
    async *askConnected(_cid, { signal } = {}) {
      signal?.addEventListener('abort', () => {
        stopped = true
      })
      for (const peer of peers) {
        yield info(peer)
        await Promise.resolve()
      }
    },
    dhtFinds: silent,
  })
  assert.equal((await collect(providers)).length, limits.providersMax)
  assert.equal(stopped, true)
})

test('the caller’s signal ends it with the caller’s reason', async () => {
  const controller = new AbortController()
  const { clock, providers } = search({ askConnected: silent, dhtFinds: silent }, controller.signal)
  const end = assert.rejects(collect(providers), /enough of this/)
  await clock.settle()
  controller.abort(new Error('enough of this'))
  await end
  assert.equal(clock.pendingTimers, 0)
})

test('too many addresses of one provider are cut off', async () => {
  const many = Array.from({ length: 1_000 }, (_, index) => `/ip4/10.0.0.1/tcp/${index + 1}`)
  const [found] = await collect(search({ dhtFinds: () => give(info(peers[0]!, many)) }).providers)
  assert.equal(found?.addresses.length, limits.addressesPerPeerMax)
})

const hubFinds = (providers: SearchDeps['askConnected'], isWorthAsking = true) => ({
  hubs: { isWorthAsking, providers: providers as NonNullable<SearchDeps['hubs']>['providers'] },
})

test('hubs come after the other ways, each provider once, and are named as such', async () => {
  const { clock, providers } = search({
    dhtFinds: () => give(info(peers[1]!)),
    ...hubFinds(() => give(info(peers[1]!), info(peers[2]!), info(self), info(peers[2]!))),
  })
  assert.deepEqual(
    (await clock.until(collect(providers), times.hubHeadStartMs)).map(({ via, peer }) => `${via} ${peer}`),
    [`dht ${peers[1]}`, `hub ${peers[1]}`, `hub ${peers[2]}`],
  )
  assert.deepEqual([clock.monotonicMs(), clock.pendingTimers], [times.hubHeadStartMs, 0])
})

test('hubs are asked at once when the other ways have ended with nothing', async () => {
  const { clock, providers } = search(hubFinds(() => give(info(peers[1]!))))
  assert.equal((await collect(providers)).length, 1)
  assert.deepEqual([clock.monotonicMs(), clock.pendingTimers], [0, 0])
})

test('who has found enough before the hubs are asked keeps them from being asked', async () => {
  let isAsked = false
  const { clock, providers } = search({
    dhtFinds: () => give(info(peers[1]!)),
    ...hubFinds(() => {
      isAsked = true
      return none()
    }),
  })
  for await (const { peer } of providers) {
    assert.equal(peer, peers[1])
    break
  }
  await clock.advance(times.hubHeadStartMs)
  assert.deepEqual([isAsked, clock.pendingTimers], [false, 0])
})

test('the other ways have a head start, and one that is silent does not keep hubs from answering', async () => {
  let askedAtMs: number | undefined
  const { clock, providers } = search({
    dhtFinds: silent,
    ...hubFinds(() => {
      askedAtMs = clock.monotonicMs()
      return give(info(peers[3]!))
    }),
  })
  const first = providers[Symbol.asyncIterator]().next()
  await clock.advance(times.hubHeadStartMs - 1)
  assert.equal(askedAtMs, undefined)
  assert.deepEqual((await clock.until(first, 1)).value, { ...info(peers[3]!), via: 'hub' })
  assert.equal(askedAtMs, times.hubHeadStartMs)
})

test('a search that has ended before asks no hub, and one without hubs waits for none', async () => {
  let isAsked = false
  const never = () => {
    isAsked = true
    return none()
  }
  const controller = new AbortController()
  const { clock, providers } = search({ dhtFinds: silent, ...hubFinds(never) }, controller.signal)
  const end = assert.rejects(collect(providers), /enough of this/)
  await clock.settle()
  controller.abort(new Error('enough of this'))
  await end
  await clock.advance(times.hubHeadStartMs)
  assert.deepEqual(await collect(search(hubFinds(never, false)).providers), [])
  assert.equal(isAsked, false)
})

test('a hub that fails or is silent costs nothing but its own answers', async () => {
  const failing = () => {
    throw new Error('no hub')
  }
  const { clock, providers } = search({ dhtFinds: () => give(info(peers[2]!)), ...hubFinds(failing) })
  assert.equal((await clock.until(collect(providers), times.hubHeadStartMs)).length, 1)
  const quiet = search({ dhtFinds: () => give(info(peers[2]!)), ...hubFinds(silent) })
  assert.equal((await quiet.clock.until(collect(quiet.providers), times.lookUpMs)).length, 1)
})
