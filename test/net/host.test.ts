// Hosts over real sockets: who is let in, what a failed dial says, and that strangers and accidents do no harm.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import test, { type TestContext } from 'node:test'
import { type NoiseComponents, noise } from '@libp2p/noise'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom, systemRandom } from '../../src/base/random.ts'
import type { Channel, Network } from '../../src/core/ports.ts'
import { times } from '../../src/core/times.ts'
import { deriveKeys, securityProtocol } from '../../src/net/admission.ts'
import { TableDatastore } from '../../src/net/datastore.ts'
import type { Host } from '../../src/net/host.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { Libp2pNetwork } from '../../src/net/network.ts'
import { createNode } from '../../src/net/node.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'
import { addressOf, privateNetwork, secret, testHost } from './hosts.ts'
import { wireTo } from './wire.ts'

const nobody = '/ip4/127.0.0.1/tcp/1'

async function echo(network: Network): Promise<void> {
  await network.handle('/test/echo', { streamsMax: 8 }, async (channel) => {
    for (let pieces = await channel.read(); pieces; pieces = await channel.read()) await channel.write(pieces)
    await channel.close()
  })
}

async function roundTrip(channel: Channel): Promise<number> {
  await channel.write([new Uint8Array(1000)])
  await channel.close()
  let bytes = 0
  for (let pieces = await channel.read(); pieces; pieces = await channel.read())
    for (const piece of pieces) bytes += piece.byteLength
  return bytes
}

test('two peers of one cluster meet, see each other, and part', async () => {
  await using here = await testHost()
  const there = await testHost()
  const events: string[] = []
  const stop = here.network.onPeer(({ peer, connected }) => events.push(`${connected ? '+' : '-'}${peer}`))
  assert.equal(await here.network.connect(addressOf(there)), there.network.self)
  await until('identify is done', () => events.length === 1)
  const [known] = here.network.connected()
  assert.equal(known?.peer, there.network.self)
  assert.deepEqual([known?.direction, known?.relayed], ['out', false])
  assert.ok(known?.protocols.includes('/potluck/kad/1.0.0'))
  assert.deepEqual(known?.addresses, [addressOf(there).split('/p2p/')[0]])
  await until('both do', () => there.network.connected().length === 1)
  assert.equal(there.network.connected()[0]?.direction, 'in')
  await there[Symbol.asyncDispose]()
  await until('the loss is noticed', () => events.length === 2)
  assert.deepEqual(events, [`+${there.network.self}`, `-${there.network.self}`])
  assert.deepEqual(here.network.connected(), [])
  stop()
})

test('a stream is opened on the first protocol that the peer speaks, dialing if need be', async () => {
  await using here = await testHost()
  await using there = await testHost()
  await echo(there.network)
  const info = { peer: there.network.self, addresses: [nobody, 'nonsense', addressOf(there)] }
  const channel = await here.network.open(info, ['/test/unknown', '/test/echo'])
  assert.deepEqual([channel.peer, channel.protocol], [there.network.self, '/test/echo'])
  assert.equal(await roundTrip(channel), 1000)
  await assert.rejects(here.network.open(there.network.self, ['/test/unknown']), { code: 'PROTOCOL_UNSUPPORTED' })
})

test('a lost connection does not keep a stream from being opened', async () => {
  await using here = await testHost()
  await using there = await testHost()
  await using wire = await wireTo(there)
  await echo(there.network)
  await here.network.connect(wire.address)
  wire.cut()
  const channel = await here.network.open({ peer: there.network.self, addresses: [addressOf(there)] }, ['/test/echo'])
  assert.equal(await roundTrip(channel), 1000)
})

test('peers of another network are refused in both directions, and told so', async () => {
  await using here = await testHost()
  await using cluster = await testHost({ network: privateNetwork(new Uint8Array(32).fill(8)) })
  await using open = await testHost({ network: { kind: 'open' } })
  for (const stranger of [cluster, open]) {
    await assert.rejects(stranger.network.connect(addressOf(here)), { code: 'OTHER_NETWORK', message: /invite line/ })
    await assert.rejects(here.network.connect(addressOf(stranger)), { code: 'OTHER_NETWORK' })
  }
  await assert.rejects(open.network.connect(addressOf(cluster)), { code: 'OTHER_NETWORK' })
  assert.deepEqual(
    [here, cluster, open].map((host) => host.network.connected().length),
    [0, 0, 0],
  )
})

test('knowing the key id does not help: without the network key the handshake fails', async (t) => {
  await using here = await testHost()
  const { keyId } = deriveKeys(secret)
  const attach = (components: NoiseComponents) =>
    Object.assign(noise({ prologueBytes: new Uint8Array(32) })(components), { protocol: securityProtocol(keyId) })
  const keyring = { keyId, attach, apply: () => {} }
  const datastore = TableDatastore.open({ table: new MemoryTable(), clock: systemClock, log: silentLog })
  const identity = newIdentity()
  const deps = {
    datastore,
    signer: new Ed25519Signer(identity),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  }
  const { node } = await createNode(deps, { identity, listen: [], keyring, mdns: false })
  const stranger = new Libp2pNetwork({ node, clock: systemClock, log: silentLog })
  await node.start()
  t.after(() => node.stop())
  await assert.rejects(stranger.connect(addressOf(here)), { code: 'OTHER_NETWORK' })
  assert.deepEqual(here.network.connected(), [])
})

test('a dial that fails says why', async (t) => {
  await using here = await testHost()
  await using there = await testHost()
  const other = peerIdOf(newIdentity())
  const dial = (target: string) => here.network.connect(target)
  await assert.rejects(dial('somewhere'), { code: 'ADDRESS_INVALID', message: /not a multiaddr/ })
  await assert.rejects(dial('/ip4/127.0.0.1/udp/1'), { code: 'ADDRESS_INVALID', message: /TCP/ })
  await assert.rejects(dial(nobody), { code: 'DIAL_FAILED', message: /nobody listens there/ })
  await assert.rejects(dial(addressOf(here)), { code: 'DIAL_FAILED', message: /this peer itself/ })
  const wrong = addressOf(there).replace(/\/p2p\/.*/, `/p2p/${other}`)
  await assert.rejects(dial(wrong), { code: 'DIAL_FAILED', message: /another peer answers there/ })
  await assert.rejects(here.network.connect({ peer: other, addresses: [] }), {
    code: 'DIAL_FAILED',
    message: /no address/,
  })
  const http = await tcpServer(t, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await assert.rejects(dial(http), { code: 'DIAL_FAILED', message: /no libp2p peer/ })
  const silent = await tcpServer(t, () => {})
  const controller = new AbortController()
  const dialing = here.network.connect(silent, { signal: controller.signal })
  controller.abort(new Error('no patience'))
  await assert.rejects(dialing, /no patience/)
})

test('a dial begins to secure the connection before the other side has said anything', async (t) => {
  await using here = await testHost()
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  const heard: Buffer[] = []
  const silent = await tcpServer(t, (socket) =>
    socket.on('data', (bytes: Buffer) => {
      heard.push(bytes)
      const all = Buffer.concat(heard)
      // Every line of the question starts with its length; what follows is the first message of Noise.
      const question = 20 + 1 + (all[20] ?? 0)
      if (all.byteLength >= question + 34) resolve(all)
    }),
  )
  const controller = new AbortController()
  const dialing = here.network.connect(silent, { signal: controller.signal })
  const all = await promise
  assert.equal(all.subarray(1, 20).toString(), '/multistream/1.0.0\n')
  controller.abort(new Error('that was all'))
  await assert.rejects(dialing, /that was all/)
})

test('a port in use and an address that is not ours are named', async () => {
  await using here = await testHost()
  const taken = addressOf(here).split('/p2p/')[0] ?? ''
  const port = taken.split('/').at(-1)
  await assert.rejects(testHost({ listen: [taken] }), { code: 'PORT_IN_USE', message: new RegExp(`port ${port} `) })
  await assert.rejects(testHost({ listen: ['/ip4/192.0.2.1/tcp/4101'] }), {
    code: 'LISTEN_FAILED',
    message: /192\.0\.2\.1/,
  })
  await assert.rejects(testHost({ listen: ['/ip4/127.0.0.1/tcp/0/ws'] }), {
    code: 'LISTEN_FAILED',
    message: /IP addresses and TCP ports alone$/,
  })
  await assert.rejects(testHost({ listen: ['localhost:4101'] }), { code: 'ADDRESS_INVALID' })
})

test('a peer that starts later than we do is met, and met again after a restart, without being told twice', async () => {
  const identity = newIdentity()
  const first = await testHost({ identity })
  const address = addressOf(first)
  const listen = [address.split('/p2p/')[0] ?? '']
  await first[Symbol.asyncDispose]()

  const datastore = new MemoryTable()
  const here = await testHost({ bootstrap: [address], datastore })
  await until('the first dial has failed', () => here.status().meeting.status.includes('did not answer'))
  await using _there = await testHost({ identity, listen })
  await until('it is met', () => here.network.connected().length === 1)
  await until('it is known', () => here.dht.size() === 1)
  await here[Symbol.asyncDispose]()

  await using again = await testHost({ datastore })
  await until('it is remembered', () => again.network.connected().length === 1)
})

test('a connection that breaks is made again', async () => {
  await using here = await testHost()
  await using there = await testHost()
  await using wire = await wireTo(there)
  await here.network.connect(wire.address)
  let lost = false
  here.network.onPeer(({ connected }) => {
    lost ||= !connected
  })
  await until('both know each other', () => here.dht.size() + there.dht.size() === 2)
  wire.cut()
  await until('the loss is noticed', () => lost)
  await until('it is mended', () => here.network.connected().length === 1)
})

test('a peer that has stopped answering does not keep us from stopping', async () => {
  const here = await testHost()
  await using there = await testHost()
  await using wire = await wireTo(there)
  await there.network.handle('/test/stuck', { streamsMax: 8 }, async () => {})
  const channel = await here.network.open(await here.network.connect(wire.address), ['/test/stuck'])
  wire.hold()
  const writing = (async () => {
    for (;;) await channel.write([new Uint8Array(1 << 20)])
  })()
  const startMs = systemClock.monotonicMs()
  await Promise.all([assert.rejects(writing, { code: 'STREAM_BROKEN' }), here[Symbol.asyncDispose]()])
  assert.ok(systemClock.monotonicMs() - startMs < times.stopMs)
})

test('garbage on the port and on our protocols does no harm', async () => {
  await using here = await testHost()
  await echo(here.network)
  const random = seededRandom(5)
  const port = Number(/\/tcp\/(\d+)/.exec(addressOf(here))?.[1])
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      // Half of them begin as libp2p does, and go astray later.
      if (index % 2 === 0) socket.write('\x13/multistream/1.0.0\n')
      socket.end(random.bytes(index * 100))
      socket.resume()
      await new Promise((resolve) => socket.on('close', resolve))
    }),
  )
  for (const bytes of [random.bytes(300), Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f), Uint8Array.of(3, 1, 2)]) {
    await using guest = await testHost()
    const peer = await guest.network.connect(addressOf(here))
    const protocols = await protocolsOf(guest)
    assert.ok(protocols.length > 5)
    const attempts = protocols.map(async (protocol) => {
      const channel = await guest.network.open(peer, [protocol])
      await channel.write([bytes])
      await channel.close()
    })
    // libp2p itself may be using a protocol that allows one stream.
    const sent = (await Promise.allSettled(attempts)).filter(({ status }) => status === 'fulfilled')
    assert.ok(sent.length > protocols.length / 2)
    const channel = await guest.network.open(peer, ['/test/echo'])
    assert.equal(await roundTrip(channel), 1000)
  }
  await using guest = await testHost()
  const channel = await guest.network.open({ peer: here.network.self, addresses: [addressOf(here)] }, ['/test/echo'])
  assert.equal(await roundTrip(channel), 1000)
})

test('an open host speaks the protocols of IPFS', async () => {
  await using here = await testHost({ network: { kind: 'open' }, version: '1.2.3' })
  await using there = await testHost({ network: { kind: 'open' } })
  await there.network.connect(addressOf(here))
  const protocols = await protocolsOf(there)
  assert.ok(protocols.includes('/ipfs/lan/kad/1.0.0'))
  assert.ok(!protocols.includes('/ipfs/kad/1.0.0'), 'a peer without a public address is no server of the public DHT')
})

/** What the one peer that this host is connected to speaks. */
async function protocolsOf(host: Host): Promise<string[]> {
  await until('it is identified', () => (host.network.connected()[0]?.protocols.length ?? 0) > 0)
  return host.network.connected()[0]?.protocols ?? []
}

async function tcpServer(t: TestContext, serve: (socket: import('node:net').Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return `/ip4/127.0.0.1/tcp/${(server.address() as { port: number }).port}`
}
