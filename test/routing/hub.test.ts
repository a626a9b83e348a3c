// A hub's client against hubs that answer, lie, stall, send garbage or have the wrong certificate, over real sockets. Whatever
// one of them does costs its own answers, and `check` says in a sentence what is wrong with it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server as NetServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import { readPeerId } from '../../src/core/peer-id.ts'
import type { Connected } from '../../src/core/ports.ts'
import { times } from '../../src/core/times.ts'
import { isAddress } from '../../src/net/addresses.ts'
import { hubProviders } from '../../src/routing/hub-client.ts'
import { askHubPort, hubProtocol, hubUrl, serveHubDoor } from '../../src/routing/hub-door.ts'
import { HubIndex, type HubIndexDeps, type HubIndexOptions } from '../../src/routing/hub-index.ts'
import { VirtualClock } from '../twins/clock.ts'
import { newPeerId } from '../twins/dht.ts'
import { NetworkTwin } from '../twins/network.ts'

const random = seededRandom(5)
const self = newPeerId(random)
const [first, second] = [newPeerId(random), newPeerId(random)]
const cid = CID.createV1(0x55, Digest.create(0x12, random.bytes(32)))
const address = '/ip4/10.0.0.1/tcp/4101'
const record = (id: unknown, addresses: unknown = [address]) => ({
  Schema: 'peer',
  ID: id,
  Addrs: addresses,
  Extra: {},
})

const servers: NetServer[] = []
const sockets = new Set<Socket>()
after(() => {
  for (const server of servers) server.close()
  for (const socket of sockets) socket.destroy()
})

async function listening(server: NetServer, scheme = 'http'): Promise<string> {
  servers.push(server)
  server.on('connection', (socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const serve = (answer: RequestListener) => listening(createServer(answer))

/** A hub that answers everything with this. */
const says = (body: string | Uint8Array, type = 'application/json', status = 200) =>
  serve((_request, response) => response.writeHead(status, { 'content-type': type }).end(body))

const nobody = { self, connected: () => [], open: () => Promise.reject(new Error('nobody is there')) }

function index(hubs: string[], deps: Partial<HubIndexDeps> = {}, kind: HubIndexOptions['kind'] = 'private'): HubIndex {
  const common = { fetch, isAddress, clock: systemClock, log: silentLog, network: nobody, token: () => 'the token' }
  return new HubIndex({ ...common, ...deps }, { hubs, kind })
}

async function found(hubs: string[], deps: Partial<HubIndexDeps> = {}): Promise<string[]> {
  const all = await Array.fromAsync(index(hubs, deps).providers(cid))
  return all.map(({ peer, addresses }) => `${peer} ${addresses.join(' ')}`)
}

/** What is wrong with a hub, as `check` says it. */
async function wrong(url: string, deps: Partial<HubIndexDeps> = {}): Promise<string> {
  const [state] = await index([url], deps).check()
  assert.equal(state?.isWell, false)
  assert.ok(state?.sentence.startsWith(`the hub ${url} `), state?.sentence)
  return state!.sentence
}

test('a JSON answer and a stream of lines give the same peers, and the token is shown', async () => {
  const asked: (string | undefined)[] = []
  const hub = await serve((request, response) => {
    asked.push(request.url, request.headers.authorization)
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.end(JSON.stringify({ Providers: [record(first), record(second, [])] }))
  })
  const lines = await serve((_request, response) => {
    response.setHeader('content-type', 'application/x-ndjson')
    const text = `${JSON.stringify(record(first))}\n\n${JSON.stringify(record(second, []))}`
    // Pieces end where they like.
    response.write(text.slice(0, 40))
    setImmediate(() => response.end(text.slice(40)))
  })
  const expected = [`${first} ${address}`, `${second} `]
  assert.deepEqual(await found([hub]), expected)
  assert.deepEqual(await found([lines]), expected)
  assert.match(String(asked[0]), new RegExp(`^/routing/v1/providers/${cid}\\?filter-addrs=unknown,tcp`))
  assert.equal(asked[1], 'Bearer the token')
  await found([hub], { token: () => undefined })
  assert.equal(asked[3], undefined)
})

test('peers in every spelling are taken, what is none is left out, and so are addresses of nobody or of others', async () => {
  const legacy = 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'
  const many = Array.from({ length: 1_000 }, (_, port) => `/ip4/10.0.0.2/tcp/${port + 1}`)
  const records = [
    record(first, [
      `${address}/p2p/${first}`,
      address,
      `${address}/p2p/${second}`,
      '/ip4/300.0.0.1/tcp/1',
      7,
      'x'.repeat(5_000),
    ]),
    record(legacy, '/ip4/10.0.0.1/tcp/1'),
    record('12D3KooWnobody'),
    record('Q'.repeat(10_000)),
    record({ toString: 'no' }),
    null,
    ['a list'],
    record(second, many),
  ]
  const all = await Array.fromAsync(index([await says(JSON.stringify({ Providers: records }))]).providers(cid))
  assert.deepEqual(
    all.map(({ peer, addresses }) => [peer, addresses.length]),
    [
      [first, 1],
      [legacy, 0],
      [second, limits.addressesPerPeerMax],
    ],
  )
  assert.deepEqual(all[0]?.addresses, [address])
})

test('a hub that knows nothing may say so in every way that there is', async () => {
  for (const body of ['{"Providers":[]}', '{"Providers":null}', '{}'])
    assert.deepEqual(await found([await says(body)]), [])
  assert.deepEqual(await found([await says('', 'application/x-ndjson')]), [])
  const old = await says('not found', 'text/plain', 404)
  assert.deepEqual(await found([old]), [])
  const [state] = await index([old]).check()
  assert.equal(state?.isWell, true)
})

test('garbage of every kind is named as such', async () => {
  assert.match(
    await wrong(await says('<html>', 'text/html')),
    /does not answer as a hub does: it sends text\/html; is the URL right\?/,
  )
  assert.match(await wrong(await says('{"Peers":')), /not JSON/)
  assert.match(await wrong(await says('[]')), /without a list of Peers/)
  assert.match(await wrong(await says('null')), /without a list of Peers/)
  assert.match(await wrong(await says('"a text"')), /without a list of Peers/)
  assert.match(await wrong(await says('['.repeat(900_000))), /not JSON/)
  assert.match(await wrong(await says(random.bytes(10_000), 'application/x-ndjson')), /not JSON/)
  assert.match(await wrong(await says('{"Peers":[{"ID":"nobody"}]}')), /none of its records names a peer/)
  assert.match(await wrong(await says('', 'application/json', 418)), /status 418/)
  assert.match(await wrong(await says('', 'application/json', 503)), /trouble of its own \(status 503\)/)
  assert.match(await wrong(await says('', 'application/json', 401)), /refuses this peer/)
  assert.match(await wrong(await says('', 'application/json', 429)), /less often/)
})

test('whatever the bytes are, they give well-formed peers or a sentence', async () => {
  const shapes = fc.oneof(
    fc.json(),
    fc.string(),
    fc.json().map((inner) => `{"Providers":[${inner},{"ID":${inner},"Addrs":[${inner}]}]}`),
  )
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    shapes.map((text) => Buffer.from(text)),
  )
  await fc.assert(
    fc.asyncProperty(bodies, fc.constantFrom('application/json', 'application/x-ndjson'), async (body, type) => {
      const answers = async () => new Response(new Uint8Array(body), { headers: { 'content-type': type } })
      const deps = { fetch: answers, isAddress, clock: systemClock, token: () => undefined }
      try {
        for await (const { peer, addresses } of hubProviders(deps, 'https://hub', cid)) {
          assert.equal(readPeerId(peer), peer)
          assert.ok(addresses.every(isAddress))
        }
      } catch (error) {
        assert.match((error as Error).message, /^the hub https:\/\/hub does not answer as a hub does: /)
      }
    }),
  )
})

test('answers without end are cut off, and so are records and lists', async () => {
  const endless = await serve((_request, response) => {
    response.setHeader('content-type', 'application/json')
    const more = () => {
      while (response.write(' '.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  })
  assert.match(await wrong(endless), /its answer is too long/)
  const line = await says('x'.repeat(100_000), 'application/x-ndjson')
  assert.match(await wrong(line), /a record (without end|that is too long)/)
  const many = Array.from({ length: 5_000 }, () => record(newPeerId(random)))
  const list = await says(JSON.stringify({ Providers: many.slice(0, 1_000) }))
  assert.equal((await found([list])).length, limits.hubRecordsMax)
  const stream = await says(many.map((each) => JSON.stringify(each)).join('\n'), 'application/x-ndjson')
  assert.equal((await found([stream])).length, limits.hubRecordsMax)
})

test('what came before a stream broke is kept', async () => {
  const broken = await serve((_request, response) => {
    response.setHeader('content-type', 'application/x-ndjson')
    response.write(`${JSON.stringify(record(first))}\n`, () => response.destroy())
  })
  assert.deepEqual(await found([broken]), [`${first} ${address}`])
  assert.match(await wrong(broken), /hung up/)
})

test('a redirection is told and not followed: the token would go along', async () => {
  let isAsked = false
  const other = await serve((_request, response) => {
    isAsked = true
    response.end()
  })
  const moved = await serve((_request, response) => response.writeHead(302, { location: other }).end())
  assert.match(await wrong(moved), new RegExp(`has moved to ${other}`))
  assert.equal(isAsked, false)
})

test('nobody there, no such name, no HTTP, no TLS and a wrong certificate each have their sentence', async () => {
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  assert.match(await wrong(`http://127.0.0.1:${port}`), /is not reachable: nobody listens there/)
  assert.match(await wrong('http://127.0.0.1:9'), /nothing is sent over HTTP to that port/)
  const noise = createTcpServer((socket) => socket.on('error', () => {}).end('SSH-2.0-OpenSSH\r\n'))
  assert.match(await wrong(await listening(noise)), /does not speak HTTP there/)
  const plain = await says('{}')
  assert.match(await wrong(plain.replace('http:', 'https:')), /does not speak TLS there/)
  const own = createTlsServer({ key, cert }, (_request, response) => response.end())
  let isAsked = false
  own.on('request', () => {
    isAsked = true
  })
  const url = await listening(own, 'https')
  assert.match(await wrong(url), /shows a certificate that is wrong: /)
  assert.equal(isAsked, false)
  const named = (code: string) => async () => {
    throw new TypeError('fetch failed', { cause: Object.assign(new Error('of TLS'), { code }) })
  }
  assert.match(await wrong('https://a', { fetch: named('CERT_HAS_EXPIRED') }), /it has expired/)
  assert.match(await wrong('https://a', { fetch: named('ERR_TLS_CERT_ALTNAME_INVALID') }), /made for another name/)
  assert.match(await wrong('https://a', { fetch: named('ENOTFOUND') }), /no machine of that name/)
})

test('one bad hub costs its own answers, and is then left alone for a while', async () => {
  const clock = new VirtualClock()
  let asked = 0
  const bad = await serve((_request, response) => {
    asked++
    response.end('garbage')
  })
  const good = await says(JSON.stringify({ Providers: [record(first)] }))
  const both = index([bad, good], { clock })
  const ask = async () => (await Array.fromAsync(both.providers(cid))).map(({ peer }) => peer)
  assert.deepEqual([await ask(), asked], [[first], 1])
  assert.deepEqual([await ask(), asked], [[first], 1])
  await clock.advance(times.hubRestMs)
  assert.deepEqual([await ask(), asked], [[first], 2])
  assert.equal(clock.pendingTimers, 0)
})

test('a silent hub is given up in time, while others answer', async () => {
  const clock = new VirtualClock()
  const asked = Promise.withResolvers<void>()
  const silent = await serve(() => asked.resolve())
  const good = await says(JSON.stringify({ Providers: [record(first)] }))
  const both = index([silent, good], { clock }).providers(cid)
  assert.equal((await both.next()).value?.peer, first)
  await asked.promise
  const end = both.next()
  await clock.advance(times.hubMs)
  assert.equal((await end).done, true)
  assert.equal(clock.pendingTimers, 0)
  const checking = wrong(silent, { clock })
  await clock.settle()
  await clock.advance(times.hubMs)
  assert.match(await checking, /is not reachable: it did not answer in time/)
})

test('the caller’s signal ends it with the caller’s reason', async () => {
  const controller = new AbortController()
  const silent = await serve(() => controller.abort(new Error('enough of this')))
  const all = Array.fromAsync(index([silent]).providers(cid, controller))
  assert.deepEqual(await all, [])
  await assert.rejects(index([silent]).check(controller), /enough of this/)
})

test('a connected hub says where its index is, and one that is further away is not asked in the clear', async () => {
  const world = new NetworkTwin({ clock: systemClock })
  const [here, hub] = [world.join('here'), world.join('hub')]
  const port = { port: undefined as number | undefined }
  await serveHubDoor(hub, port)
  const network = { network: here, clock: systemClock }
  assert.equal(await askHubPort(network, hub.self), undefined)
  port.port = 65_535
  assert.equal(await askHubPort(network, hub.self), 65_535)
  port.port = 65_536
  await assert.rejects(askHubPort(network, hub.self), /its port is 65536/)

  const at = (host: string) => ({ addresses: [host] }) as unknown as Connected
  for (const host of ['/ip4/127.0.0.1/tcp/1', '/ip4/172.16.0.2/tcp/1', '/ip6/fd00::1/tcp/1', '/ip6/::1/tcp/1']) {
    assert.ok(hubUrl(at(host), 8102, 'private'))
    assert.ok(hubUrl(at(host), 8102, 'open'))
  }
  for (const host of [
    '/ip4/203.0.113.7/tcp/1',
    '/ip4/172.32.0.1/tcp/1',
    '/ip6/2001:db8::1/tcp/1',
    '/dns4/hub.example/tcp/1',
  ]) {
    assert.equal(hubUrl(at(host), 8102, 'private'), undefined)
    assert.ok(hubUrl(at(host), 8102, 'open'))
  }
  assert.equal(hubUrl(at('/ip6/2001:db8::1/tcp/1'), 8102, 'open'), 'http://[2001:db8::1]:8102')
  assert.equal(hubUrl(at('/unix/x'), 8102, 'open'), undefined)
})

test('hubs that are connected are asked beside those that are set, each URL once, and not by way of a relay', async () => {
  let asked = 0
  const url = await serve((_request, response) => {
    asked++
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ Providers: [record(first)] }))
  })
  const world = new NetworkTwin({ clock: systemClock })
  const [here, hub] = [world.join('here'), world.join('hub')]
  const door = { port: undefined as number | undefined }
  await serveHubDoor(hub, door)
  const connected = { peer: hub.self, direction: 'out', protocols: [hubProtocol], addresses: ['/ip4/127.0.0.1/tcp/9'] }
  const network = (relayed: boolean): HubIndexDeps['network'] => ({
    self,
    connected: () => [{ ...connected, relayed } as Connected],
    open: (peer, protocols, options) => here.open(peer, protocols, options),
  })
  assert.equal(index([], { network: network(true) }).isWorthAsking, false)
  const learnt = index([], { network: network(false) })
  assert.equal(learnt.isWorthAsking, true)
  assert.equal((await Array.fromAsync(learnt.providers(cid))).length, 0, 'it has just started, and does not serve yet')
  door.port = Number(new URL(url).port)
  assert.equal((await Array.fromAsync(learnt.providers(cid))).length, 1)
  assert.deepEqual(
    (await learnt.check()).map(({ url, from, isWell }) => ({ url, from, isWell })),
    [{ url, from: 'connection', isWell: false }],
  )
  asked = 0
  assert.equal((await found([url], { network: network(false) })).length, 1)
  assert.equal(asked, 1)
  assert.deepEqual(await found([], { network: network(true) }), [])
})

/** Made for 127.0.0.1 and signed by itself, for a hundred years. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7e7ShVJAHJer1ldx
k7qPjAStQFTKWQ8VSzufqaSmVyShRANCAATS4t3Lgg1UDnTDkFgPvMgX87vAIMFt
TDYzl3ZP9QBi80BRsQVd3oFhaVEEKMDopII2HL1hJZwPrdC8EaNTGAT7
-----END PRIVATE KEY-----`
const cert = `-----BEGIN CERTIFICATE-----
MIIBkTCCATagAwIBAgIUHMuvIxa6CDw6GsZdOQormOGnX24wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTE2MDQ0MloYDzIxMjYxMDI4
MTYwNDQyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATS4t3Lgg1UDnTDkFgPvMgX87vAIMFtTDYzl3ZP9QBi80BRsQVd3oFh
aVEEKMDopII2HL1hJZwPrdC8EaNTGAT7o2QwYjAdBgNVHQ4EFgQUorAdNhi7vtNf
2hQFZWgEFtd5eRgwHwYDVR0jBBgwFoAUorAdNhi7vtNf2hQFZWgEFtd5eRgwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYC
IQC3/7o9Meiydr+U9BIUgEzuXRMbv00+c0mRAjyNNhXS1QIhAKrqJtYY7HWzlOe5
vH72F836LjbslRzcI7ObpwDRWPze
-----END CERTIFICATE-----`
