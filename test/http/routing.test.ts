// The index of a hub over a real socket, with a scripted peer behind it: what the specification says of answers, filters and
// headers, who may ask, and what strangers cannot make it do.
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { systemClock } from '../../src/base/clock.ts'
import { seededRandom } from '../../src/base/random.ts'
import { CoreError } from '../../src/core/block.ts'
import { formatIpnsName } from '../../src/core/ipns-name.ts'
import type { IpnsRecord } from '../../src/core/ipns-record.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId, Provider } from '../../src/core/peer.ts'
import { RequestRate, shareConnections } from '../../src/http/request-rate.ts'
import { filtered, filtersOf, type PeerRecord } from '../../src/http/routing-filters.ts'
import { openRoutingServer, type RoutingServer } from '../../src/http/routing-server.ts'
import type { RoutingIndex } from '../../src/node/routing-index.ts'
import { VirtualClock } from '../twins/clock.ts'
import { newPeerId } from '../twins/dht.ts'

const random = seededRandom(6)
const cidOf = () => CID.createV1(0x55, Digest.create(0x12, random.bytes(32)))
const [present, absent, endless, broken] = [cidOf(), cidOf(), cidOf(), cidOf()]
const [first, second] = [newPeerId(random), newPeerId(random)]
const bytes = random.bytes(200)
const record: IpnsRecord = { value: '/ipfs/x', sequence: 1n, validUntilNs: 4_000_000_000_000_000_000n, bytes }

const providers: Provider[] = [
  { peer: first, addresses: [], via: 'dht' },
  { peer: first, addresses: ['/ip4/10.0.0.1/tcp/1', '/ip6/::1/udp/1/quic-v1'], via: 'ring' },
  { peer: first, addresses: ['/ip4/10.0.0.1/tcp/1'], via: 'peers' },
  { peer: second, addresses: ['/ip4/10.0.0.2/udp/1/quic-v1'], via: 'dht' },
]

const state = { tokens: undefined as string[] | undefined, running: 0, asked: { hubs: true } }

const index: RoutingIndex = {
  async *providers(cid, { hubs = false, signal } = {}) {
    state.asked = { hubs }
    if (cid.equals(present)) yield* providers
    if (cid.equals(broken)) throw new TypeError('a bug')
    if (!cid.equals(endless)) return
    state.running++
    yield* providers
    await new Promise((resolve) => signal?.addEventListener('abort', resolve))
    state.running--
  },
  async peer(peer) {
    if (peer !== first) return undefined
    return { peer, addresses: ['/ip4/10.0.0.1/tcp/1'], protocols: ['/ipfs/bitswap/1.2.0', '/ipfs/ping/1.0.0'] }
  },
  ipns: async (name) => (name === first ? record : undefined),
  async publishIpns(_name, given) {
    if (Buffer.compare(given, bytes) !== 0) throw new CoreError('IPNS_INVALID', 'not a good one')
  },
  tokens: () => state.tokens,
  servedAt: () => {},
}

const server: RoutingServer = await openRoutingServer({ index, clock: systemClock }, { host: '127.0.0.1', port: 0 })
after(() => server[Symbol.asyncDispose]())

const get = (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
  fetch(`${server.address}/routing/v1/${path}`, { headers, ...init })

const lines = { accept: 'application/x-ndjson' }
const ipns = { accept: 'application/vnd.ipfs.ipns-record' }
const peerRecord = (peer: PeerId, addresses: string[], protocols: string[] = []) => ({
  Schema: 'peer',
  ID: peer,
  Addrs: addresses,
  Protocols: protocols,
})

test('providers are told as one document, or as lines to who asks for them', async () => {
  const expected = [
    peerRecord(first, []),
    peerRecord(first, providers[1]!.addresses, ['transport-bitswap']),
    peerRecord(second, providers[3]!.addresses),
  ]
  const document = await get(`providers/${present}`)
  assert.deepEqual([document.status, await document.json()], [200, { Providers: expected }])
  assert.equal(document.headers.get('content-type'), 'application/json')
  assert.match(String(document.headers.get('cache-control')), /^public, max-age=300, stale-while-revalidate=172800/)
  assert.equal(document.headers.get('vary'), 'Accept')
  assert.ok(Date.parse(String(document.headers.get('last-modified'))) > 0)
  const stream = await get(`providers/${present}`, lines)
  assert.equal(stream.headers.get('content-type'), 'application/x-ndjson')
  const text = await stream.text()
  assert.deepEqual(
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    expected,
  )
  assert.deepEqual(state.asked, { hubs: false }, 'a hub does not ask others on behalf of anybody')
})

test('nothing found is an answer, and is kept for a short time only', async () => {
  const document = await get(`providers/${absent}`)
  assert.deepEqual([document.status, await document.json()], [200, { Providers: [] }])
  assert.match(String(document.headers.get('cache-control')), /max-age=15,/)
  const stream = await get(`providers/${absent}`, lines)
  assert.deepEqual([stream.status, await stream.text()], [200, ''])
  assert.deepEqual(await (await get(`peers/${second}`)).json(), { Peers: [] })
})

test('filters choose peers and addresses', async () => {
  const asked = async (query: string) => {
    const { Providers } = (await (await get(`providers/${present}?${query}`)).json()) as { Providers: PeerRecord[] }
    return Providers.map(({ ID, Addrs }) => `${ID === first ? 1 : 2}:${Addrs.length}`).join(' ')
  }
  assert.equal(await asked('filter-addrs=tcp'), '1:1')
  assert.equal(await asked('filter-addrs=QUIC-v1,tcp'), '1:2 2:1')
  assert.equal(await asked('filter-addrs=!quic-v1'), '1:1')
  assert.equal(await asked('filter-addrs=unknown,tcp'), '1:0 1:1')
  assert.equal(await asked('filter-protocols=transport-bitswap'), '1:2')
  assert.equal(await asked('filter-protocols=unknown'), '1:0 2:1')
  assert.equal(await asked('filter-protocols=transport-graphsync'), '')
  assert.equal((await get(`providers/${present}?filter-protocols=${'x'.repeat(64)}`)).status, 422)
  assert.equal((await get(`providers/${present}?filter-addrs=${'a,'.repeat(100)}`)).status, 422)
  const record = { Schema: 'peer', ID: first, Addrs: ['/ip4/1.1.1.1/tcp/1'], Protocols: ['A'] } as const
  const whole = { ...record, Addrs: [...record.Addrs], Protocols: [...record.Protocols] }
  assert.equal(filtered(whole, filtersOf({})!), whole)
  assert.equal(filtered(whole, filtersOf({ 'filter-addrs': 'unknown' })!), undefined)
  assert.deepEqual(filtered(whole, filtersOf({ 'filter-protocols': 'a', 'filter-addrs': ['ip4', '!ip6'] })!), whole)
})

test('a peer is found by its id in any spelling', async () => {
  const expected = { Peers: [peerRecord(first, ['/ip4/10.0.0.1/tcp/1'], ['transport-bitswap'])] }
  assert.deepEqual(await (await get(`peers/${first}`)).json(), expected)
  assert.deepEqual(await (await get(`peers/${formatIpnsName(first)}`)).json(), expected)
})

test('an IPNS record is told and taken as it was signed', async () => {
  const name = formatIpnsName(first)
  const told = await get(`ipns/${name}`, ipns)
  assert.equal(told.headers.get('content-type'), 'application/vnd.ipfs.ipns-record')
  assert.deepEqual(new Uint8Array(await told.arrayBuffer()), bytes)
  assert.match(String(told.headers.get('etag')), /^".+"$/)
  assert.match(String(told.headers.get('cache-control')), /max-age=60,/)
  assert.equal(Date.parse(String(told.headers.get('expires'))), 4_000_000_000_000)
  const none = await get(`ipns/${formatIpnsName(second)}`, ipns)
  assert.deepEqual([none.status, none.headers.get('content-type')], [200, 'text/plain; charset=utf-8'])
  assert.equal((await get(`ipns/${name}`)).status, 406)
  assert.equal((await get('ipns/nothing', ipns)).status, 400)
  const put = (body: Uint8Array, type = ipns.accept) =>
    get(`ipns/${name}`, { 'content-type': type }, { method: 'PUT', body: Buffer.from(body) })
  assert.equal((await put(bytes)).status, 200)
  assert.equal((await put(bytes.subarray(1))).status, 400)
  assert.equal((await put(bytes, 'text/html')).status, 406)
  assert.equal((await put(new Uint8Array(limits.ipnsRecordBytesMax + 1))).status, 413)
})

test('bad questions have answers of their own', async () => {
  for (const path of ['providers/nothing', `providers/${'b'.repeat(1_000)}`, 'providers/%00', 'peers/nothing'])
    assert.equal((await get(path)).status, 422, path)
  assert.equal((await get('nothing')).status, 400)
  assert.equal((await fetch(`${server.address}/api/v1/openapi.json`)).status, 400)
  for (const method of ['POST', 'DELETE', 'PUT'])
    assert.equal((await get(`providers/${present}`, {}, { method })).status, 501, method)
  const failed = await get(`providers/${broken}`)
  assert.equal(failed.status, 500)
  const long = await get(`providers/${present}`, { 'x-long': 'x'.repeat(2 * limits.routingHeaderBytesMax) })
  assert.equal(long.status, 431)
})

test('in the open network web pages may ask; in a private one nobody without a token, and no web page', async () => {
  const open = await get(`providers/${present}`, { origin: 'https://page.example' })
  assert.equal(open.headers.get('access-control-allow-origin'), '*')
  assert.equal((await get(`providers/${present}`, {}, { method: 'OPTIONS' })).status, 204)
  state.tokens = ['current', 'older']
  const status = async (headers: Record<string, string>) => (await get(`providers/${present}`, headers)).status
  assert.equal(await status({}), 401)
  for (const authorization of ['', 'Bearer', 'Bearer currentx', 'Basic current', 'Bearer '])
    assert.equal(await status({ authorization }), 401, authorization)
  const told = await get(`providers/${present}`, { authorization: 'Bearer older' })
  assert.match(String(told.headers.get('cache-control')), /^private,/)
  assert.deepEqual([told.status, told.headers.get('access-control-allow-origin')], [200, null])
  assert.equal(await status({ authorization: 'Bearer current', origin: 'https://page.example' }), 403)
  assert.equal((await get('nothing')).status, 401, 'not even what there is')
  state.tokens = undefined
})

test('a caller that goes away stops its search, and too many searches at a time are refused', async () => {
  const controllers = Array.from({ length: limits.routingSearchesMax }, () => new AbortController())
  const streams = await Promise.all(controllers.map(({ signal }) => get(`providers/${endless}`, lines, { signal })))
  assert.ok(streams.every(({ status }) => status === 200))
  assert.equal(state.running, limits.routingSearchesMax)
  const refused = await get(`providers/${present}`)
  assert.deepEqual([refused.status, Number(refused.headers.get('retry-after')) > 0], [429, true])
  for (const controller of controllers) controller.abort()
  while (state.running > 0) await new Promise(setImmediate)
  assert.equal((await get(`providers/${present}`)).status, 200)
})

test('bytes that are no HTTP end the connection and nothing else', async () => {
  for (const noise of ['GET', '\0\0\0\0\r\n\r\n', 'SSH-2.0-x\r\n', 'GET / HTTP/1.1\r\nHost: a\r\nHost b\r\n\r\n']) {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => {}).resume()
    socket.end(noise)
    await once(socket, 'close')
  }
  assert.equal((await get(`peers/${first}`)).status, 200)
})

test('each address has so many questions, and gets more with time; an IPv6 network counts as one', async () => {
  const clock = new VirtualClock()
  const rate = new RequestRate(clock)
  const burst = (address: string) => {
    let count = 0
    while (count < 1_000 && rate.waitMs(address) === 0) count++
    return count
  }
  assert.equal(burst('203.0.113.1'), limits.routingBurst)
  assert.ok(rate.waitMs('203.0.113.1') > 0)
  assert.equal(burst('203.0.113.2'), limits.routingBurst)
  await clock.advance(1_000)
  assert.equal(burst('203.0.113.1'), limits.routingPerSecond)
  assert.equal(burst('2001:db8:1:2:3:4:5:6'), limits.routingBurst)
  assert.equal(burst('2001:db8:1:2::7'), 0)
  assert.equal(burst('2001:db8:1:3::7'), limits.routingBurst)
  assert.equal(burst('127.0.0.1'), 1_000, 'a proxy on this machine stands for everybody')
})

test('one client cannot have all connections, and gets new ones when its old ones close', () => {
  const server = new EventEmitter()
  shareConnections(server as never)
  const open = (remoteAddress: string) => {
    let dropped = false
    const socket = Object.assign(new EventEmitter(), { remoteAddress, destroy: () => (dropped = true) })
    server.emit('connection', socket)
    return { close: () => socket.emit('close'), dropped }
  }
  const many = (from: (at: number) => string) => Array.from({ length: 200 }, (_, at) => open(from(at)))
  const kept = many((at) => `2001:db8:1:2::${at + 1}`).filter(({ dropped }) => !dropped)
  assert.equal(kept.length, limits.routingConnectionsPerClient)
  assert.equal(open('203.0.113.1').dropped, false)
  assert.equal(many(() => '127.0.0.1').filter(({ dropped }) => dropped).length, 0, 'a proxy stands for everybody')
  for (const { close } of kept) close()
  assert.equal(open('2001:db8:1:2::1').dropped, false)
})
