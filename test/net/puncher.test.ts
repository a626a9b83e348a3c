// Relayed connections that become direct ones, over real sockets on loopback. What NATs add is in the laboratory; here are
// the ports, the roles, what happens to the relayed connection, and people who ask for holes that they shall not have.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peerIdFromString } from '@libp2p/peer-id'
import { streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Scope } from '../../src/base/scope.ts'
import { limits } from '../../src/core/limits.ts'
import { TableDatastore } from '../../src/net/datastore.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { Libp2pNetwork } from '../../src/net/network.ts'
import { createNode } from '../../src/net/node.ts'
import { punchProtocol } from '../../src/net/punch.ts'
import { encodePunch } from '../../src/net/punch-message.ts'
import { Puncher, startPunching } from '../../src/net/puncher.ts'
import { startReaching } from '../../src/net/reaching.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'

/** A peer of the open network that nobody can dial; with `loopback`, that is a network like any other to it. */
async function hidden(scope: Scope, relay: string, { loopback }: { loopback: boolean }) {
  const deps = { clock: systemClock, random: systemRandom, log: silentLog }
  const identity = newIdentity()
  const datastore = TableDatastore.open({ table: new MemoryTable(), ...deps })
  const options = { identity, listen: [], keyring: undefined, mdns: false }
  const made = await createNode({ ...deps, datastore, signer: new Ed25519Signer(identity) }, options)
  const network = new Libp2pNetwork({ ...made, ...deps })
  scope.defer(() => made.node.stop())
  const interfaces = loopback ? () => ['127.0.0.1/8'] : undefined
  await startPunching({ ...made, ...deps, ...(interfaces && { interfaces }) }, scope)
  await made.node.start()
  await startReaching({ ...made, ...deps, network }, { alwaysRelay: false, relayRate: 0, private: false }, scope)
  await network.connect(relay)
  const place = () => network.addresses().find((address) => address.includes('/p2p-circuit'))
  await until('it has a place at the relay', () => place() !== undefined)
  return { ...made, network, address: () => place()! }
}

const relaying = { network: { kind: 'open' }, relay: { alwaysRelay: true, relayRate: 0 } } as const

test('a relayed connection becomes a direct one, with agreed roles, and ends', async () => {
  await using scope = new Scope()
  const relay = scope.use(await testHost(relaying))
  const caller = await hidden(scope, addressOf(relay), { loopback: true })
  const called = await hidden(scope, addressOf(relay), { loopback: true })
  const peer = await caller.network.connect(called.address())
  const connections = () => [
    ...caller.node.getConnections().filter(({ remotePeer }) => remotePeer.toString() === peer),
    ...called.node.getConnections(caller.node.peerId),
  ]
  await until('both are connected directly', () => connections().filter(({ direct }) => direct).length === 2)
  const [ours, theirs] = connections().filter(({ direct }) => direct)
  assert.deepEqual([ours?.direction, theirs?.direction], ['outbound', 'inbound'])
  // Each dials from the port of its connection to the relay, where the relay sees it.
  const portAt = (node: typeof caller) => `/tcp/${node.tcp.portOf(node.node.getConnections(relayId(relay))[0]!)}/`
  assert.ok(theirs?.remoteAddr.toString().includes(portAt(caller)))
  assert.ok(ours?.remoteAddr.toString().includes(portAt(called)))
  await until('no relayed connection is left', () => connections().every(({ direct }) => direct))
  await called.network.handle('/test/echo', { streamsMax: 8 }, async (channel) => {
    await channel.write((await channel.read()) ?? [])
    await channel.close()
  })
  const channel = await caller.network.open(peer, ['/test/echo'])
  await channel.write([Uint8Array.of(1, 2, 3)])
  assert.deepEqual(Buffer.concat((await channel.read()) ?? []), Buffer.of(1, 2, 3))
  assert.equal(caller.network.connected().find((each) => each.peer === peer)?.relayed, false)
})

function relayId(relay: Awaited<ReturnType<typeof testHost>>) {
  return multiaddr(addressOf(relay))
    .getComponents()
    .findLast(({ name }) => name === 'p2p')!.value as never
}

test('who called may not ask, who was called not too often, and nobody for the ports of this machine', async () => {
  await using scope = new Scope()
  const relay = scope.use(await testHost(relaying))
  const caller = await hidden(scope, addressOf(relay), { loopback: false })
  const called = await hidden(scope, addressOf(relay), { loopback: false })
  const peer = await caller.network.connect(called.address())
  const there = caller.node.getConnections().find(({ remotePeer }) => remotePeer.toString() === peer)!
  const ask = async (connection: typeof there, host = '203.0.113.1') => {
    const stream = await connection.newStream([punchProtocol], { runOnLimitedConnection: true })
    return await new Promise<string>((resolve) => {
      stream.addEventListener('close', () => resolve('dropped'))
      stream.addEventListener('message', () => resolve('answered'))
      if (stream.status !== 'open') return resolve('dropped')
      stream.send(encodePunch({ type: 'connect', addresses: [multiaddr(`/ip4/${host}/tcp/1`)] }))
    })
  }
  assert.equal(await ask(there), 'dropped')
  const [back] = called.node.getConnections(caller.node.peerId)
  assert.equal(await ask(back!, '127.0.0.1'), 'dropped')
  const answers: string[] = []
  for (let asked = 0; asked <= limits.punchAnswersMax; asked++) answers.push(await ask(back!))
  assert.ok(answers.includes('answered'))
  assert.equal(answers.at(-1), 'dropped')
})

test('two that call each other at once agree who leads', async () => {
  await using scope = new Scope()
  const relay = scope.use(await testHost(relaying))
  const one = await hidden(scope, addressOf(relay), { loopback: true })
  const other = await hidden(scope, addressOf(relay), { loopback: true })
  await Promise.all([one.network.connect(other.address()), other.network.connect(one.address())])
  const isDirect = (from: typeof one, to: typeof one) =>
    from.node.getConnections(to.node.peerId).some(({ direct }) => direct)
  await until('both are connected directly', () => isDirect(one, other) && isDirect(other, one))
})

test('tries that fail leave nobody listening', async () => {
  const clock = new VirtualClock()
  const newPeer = () => peerIdFromString(peerIdOf(newIdentity()))
  const [relay, other, self] = [newPeer(), newPeer(), newPeer()]
  let listeners = 0
  let accepts = 0
  const near = { remotePeer: relay, direct: true, status: 'open' }
  const relayed = {
    remotePeer: other,
    remoteAddr: multiaddr(`/ip4/203.0.113.9/tcp/1/p2p/${relay}/p2p-circuit/p2p/${other}`),
    direct: false,
    direction: 'inbound',
    status: 'open',
    addEventListener: () => {},
    removeEventListener: () => {},
    newStream: async () => {
      const [ours, theirs] = await streamPair()
      theirs.addEventListener('message', () => {
        if (theirs.status === 'open')
          theirs.send(encodePunch({ type: 'connect', addresses: [multiaddr('/ip4/203.0.113.2/tcp/2')] }))
      })
      return ours
    },
  }
  const events = new EventTarget()
  const node = {
    peerId: self,
    handle: async () => {},
    peerStore: { get: async () => Promise.reject(new Error('unknown')) },
    getConnections: (peer?: typeof relay) => [near, relayed].filter((each) => !peer || each.remotePeer.equals(peer)),
    addEventListener: (type: string, listen: () => void) => {
      listeners++
      events.addEventListener(type, listen)
    },
    removeEventListener: (type: string, listen: () => void) => {
      listeners--
      events.removeEventListener(type, listen)
    },
  }
  const tcp = {
    portOf: () => 50_000,
    dialFrom: async () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })),
    acceptAt: async () => {
      accepts++
      throw Object.assign(new Error('taken'), { code: 'EADDRINUSE' })
    },
  }
  const puncher = new Puncher({ node, tcp, clock, log: silentLog } as never)
  await puncher.start()
  for (const [connection, observedAddr] of [[near, multiaddr('/ip4/203.0.113.1/tcp/50000')], [relayed]])
    events.dispatchEvent(new CustomEvent('peer:identify', { detail: { connection, observedAddr } }))
  for (let seconds = 0; seconds < 120 && accepts < limits.punchTries; seconds++) {
    await new Promise(setImmediate)
    await clock.advance(1_000)
  }
  assert.ok(accepts >= limits.punchTries)
  puncher.stop()
  await new Promise(setImmediate)
  assert.equal(listeners, 0)
})
