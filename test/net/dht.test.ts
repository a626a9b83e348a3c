// The DHT between real hosts: what is announced is found by others, also when who announced it is away or quiet.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test, { mock } from 'node:test'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { seededRandom } from '../../src/base/random.ts'
import { Scope } from '../../src/base/scope.ts'
import { sha256, sha256Code } from '../../src/core/block.ts'
import { dhtKey } from '../../src/core/dht-key.ts'
import type { PeerInfo } from '../../src/core/peer.ts'
import { addProviderMessage, findNodeMessage, providerEntry } from '../../src/net/dht-messages.ts'
import type { Host } from '../../src/net/host.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'
import { addressOf, star, testHost } from './hosts.ts'

const random = seededRandom(3)

function someCid(): CID {
  return CID.createV1(0x55, Digest.create(sha256Code, random.bytes(32)))
}

async function announce(host: Host, cids: CID[]): Promise<void> {
  const keys = cids.map((cid) => cid.multihash.bytes)
  for (const server of await host.dht.closest(dhtKey(keys[0]!))) await host.dht.addProviders(server, keys)
}

async function find(host: Host, cid: CID): Promise<PeerInfo[]> {
  const found: PeerInfo[] = []
  for await (const info of host.dht.findProviders(cid)) found.push(info)
  return found
}

test('what one peer announces, another finds, with addresses', async () => {
  await using scope = new Scope()
  const hosts = await star((host) => scope.use(host), 5)
  const [, provider, , , seeker] = hosts
  const cids = Array.from({ length: 1_200 }, someCid)
  const sha512 = CID.createV1(0x55, Digest.create(0x13, createHash('sha512').update('potluck').digest()))
  await announce(provider!, [...cids, sha512])
  const expected = { peer: provider!.network.self, addresses: [addressOf(provider!).split('/p2p/')[0]] }
  for (const cid of [cids[0]!, cids[1_100]!, cids.at(-1)!, sha512])
    assert.deepEqual(await find(seeker!, cid), [expected])
  assert.deepEqual(await find(seeker!, someCid()), [])
})

test('the nearest servers come nearest first, and this peer is not among them', async () => {
  await using scope = new Scope()
  const hosts = await star((host) => scope.use(host), 5)
  await until('everybody knows everybody', () => hosts.every(({ dht }) => dht.size() === 4))
  const [asking, ...others] = hosts
  for (const key of [random.bytes(34), random.bytes(34), random.bytes(34)]) {
    const target = BigInt(`0x${Buffer.from(sha256(key)).toString('hex')}`)
    const distance = (host: Host) => {
      const id = peerIdFromString(host.network.self).toMultihash().bytes
      return target ^ BigInt(`0x${Buffer.from(sha256(id)).toString('hex')}`)
    }
    const expected = others.sort((a, b) => (distance(a) < distance(b) ? -1 : 1)).map(({ network }) => network.self)
    const nearest = await asking.dht.closest(key)
    assert.deepEqual(
      nearest.map(({ peer }) => peer),
      expected,
    )
  }
})

test('a provider that has been away for nearly the life of its record is still named, with its address', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.after(() => mock.timers.reset())
  await using server = await testHost()
  const provider = await testHost({ bootstrap: [addressOf(server)] })
  await until('they know each other', () => provider.dht.size() === 1)
  const cid = someCid()
  await announce(provider, [cid])
  const expected = { peer: provider.network.self, addresses: [addressOf(provider).split('/p2p/')[0]] }
  await provider[Symbol.asyncDispose]()
  mock.timers.setTime(Date.now() + 48 * 3_600_000 - 1)
  await using seeker = await testHost({ bootstrap: [addressOf(server)] })
  await until('the seeker knows the server', () => seeker.dht.size() === 1)
  assert.deepEqual(await find(seeker, cid), [expected])
})

test('a provider that a server has forgotten does not hide the others', async () => {
  const datastore = new MemoryTable()
  const identity = newIdentity()
  const cid = someCid()
  await using lasting = await testHost()
  const forgotten = await testHost()
  const first = await testHost({ datastore, identity })
  for (const provider of [lasting, forgotten]) {
    await provider.network.connect(addressOf(first))
    await until('they know each other', () => provider.dht.size() > 0)
    await provider.dht.addProviders({ peer: first.network.self, addresses: [] }, [cid.multihash.bytes])
  }
  await forgotten[Symbol.asyncDispose]()
  await first[Symbol.asyncDispose]()
  const entry = `/peers/${peerIdFromString(forgotten.network.self).toCID()}`
  assert.ok(datastore.get(entry))
  await datastore.write([{ delete: entry }])

  await using again = await testHost({ datastore, identity })
  await using seeker = await testHost()
  await seeker.network.connect(addressOf(again))
  await until('the seeker knows the server', () => seeker.dht.size() > 0)
  assert.deepEqual(
    (await find(seeker, cid)).map(({ peer }) => peer),
    [lasting.network.self],
  )
})

test('without another server a lookup says so, and a search ends empty', async () => {
  await using alone = await testHost()
  await assert.rejects(alone.dht.closest(random.bytes(34)), { code: 'NO_DHT_SERVERS', retryable: true })
  assert.deepEqual(await find(alone, someCid()), [])
  const controller = new AbortController()
  controller.abort(new Error('no patience'))
  const search = alone.dht.findProviders(someCid(), { signal: controller.signal })
  await assert.rejects(search[Symbol.asyncIterator]().next(), /no patience/)
})

test('a server that is gone, or does not speak to us, is an error of the announcement', async () => {
  await using here = await testHost()
  const gone = await testHost()
  const server = { peer: gone.network.self, addresses: [addressOf(gone)] }
  await gone[Symbol.asyncDispose]()
  await assert.rejects(here.dht.addProviders(server, [someCid().multihash.bytes]), { code: 'DIAL_FAILED' })
  await using mute = await testHost()
  await here.network.connect(addressOf(mute))
  await mute.network.handle('/potluck/other/1', { streamsMax: 1 }, async () => {})
  await here.dht.addProviders({ peer: mute.network.self, addresses: [] }, [])
})

test('open peers find each other in the DHT of the local network', async () => {
  await using scope = new Scope()
  const [hub, provider, seeker] = await star((host) => scope.use(host), 3, { network: { kind: 'open' } })
  const cid = someCid()
  await announce(provider!, [cid])
  for (const host of [hub, seeker!])
    assert.deepEqual(
      (await find(host, cid)).map(({ peer }) => peer),
      [provider!.network.self],
    )
})

test('messages are the bytes that the specification says', () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const entry = providerEntry(Uint8Array.of(0xaa), [Uint8Array.of(0xbb, 0xcc)])
  assert.equal(hex(entry), '4a07' + '0a01aa' + '1202bbcc')
  assert.equal(hex(addProviderMessage(Uint8Array.of(1, 2, 3), entry)), `1008021203010203${hex(entry)}`)
  assert.equal(hex(findNodeMessage(Uint8Array.of(9))), '05' + '0804' + '120109')
})
