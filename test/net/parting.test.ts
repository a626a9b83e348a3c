// Parting in virtual time from connections that are made up: which are closed, when, and which never.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Scope } from '../../src/base/scope.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { sha256 } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { libp2pPeerId } from '../../src/net/addresses.ts'
import { TableDatastore } from '../../src/net/datastore.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { Libp2pNetwork } from '../../src/net/network.ts'
import { createNode } from '../../src/net/node.ts'
import { Parting, startParting, type Way } from '../../src/net/parting.ts'
import { startReaching } from '../../src/net/reaching.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'

type MadeUp = { -readonly [Key in keyof Way]: Way[Key] }

function world() {
  const clock = new VirtualClock()
  const ways: MadeUp[] = []
  const needed = new Set<string>()
  const closed: string[] = []
  const close = async (way: MadeUp) => {
    closed.push(way.id)
    way.status = 'closed'
    ways.splice(ways.indexOf(way), 1)
  }
  const loop = new WorkerLoop({
    worker: new Parting({ ways: () => [...ways], needed: () => needed, close, clock }),
    clock,
    log: silentLog,
  })
  loop.start()
  const add = (count: number, prefix: string, some: Partial<MadeUp> = {}) => {
    for (let at = 0; at < count; at++) {
      const id = `${prefix}${at}`
      const streams = [{ protocol: '/meshsub/1.2.0' }]
      ways.push({ id, status: 'open', direction: 'outbound', direct: true, remotePeer: id, streams, ...some })
    }
  }
  return { clock, ways, needed, closed, add, [Symbol.asyncDispose]: () => loop.stop() }
}

test('idle connections are closed past a number of them, those idle for longest first', async () => {
  await using it = world()
  it.add(limits.connectionsKept, 'old')
  await it.clock.advance(2 * times.connectionIdleMs)
  assert.deepEqual(it.closed, [])
  it.add(3, 'new')
  await it.clock.advance(times.connectionsLookMs)
  assert.deepEqual(it.closed, ['old0', 'old1', 'old2'])
  await it.clock.advance(2 * times.connectionIdleMs)
  assert.equal(it.ways.length, limits.connectionsKept)
})

test('a connection that is used stays, and counts as idle only a while after', async () => {
  await using it = world()
  const streams = [{ protocol: '/potluck/kad/1.0.0' }]
  it.add(1, 'busy', { streams })
  it.add(limits.connectionsKept, 'kept', { direction: 'inbound' })
  await it.clock.advance(3 * times.connectionIdleMs)
  assert.deepEqual(it.closed, [])
  it.ways[0]!.streams = []
  await it.clock.advance(times.connectionIdleMs - times.connectionsLookMs)
  assert.deepEqual(it.closed, [])
  await it.clock.advance(2 * times.connectionsLookMs)
  assert.deepEqual(it.closed, ['busy0'])
})

test('those that others dialed, that a relay carries, or that are needed stay however many there are', async () => {
  await using it = world()
  it.add(limits.connectionsKept, 'theirs', { direction: 'inbound' })
  it.add(5, 'relayed', { direct: false })
  it.add(5, 'needed')
  for (let at = 0; at < 5; at++) it.needed.add(`needed${at}`)
  it.add(1, 'idle')
  await it.clock.advance(3 * times.connectionIdleMs)
  assert.deepEqual(it.closed, ['idle0'])
})

test('bootstrap peers, the mesh of gossip, places at relays and servers of the DHT are needed, and a close that hangs ends', async () => {
  await using scope = new Scope()
  const clock = new VirtualClock()
  const peer = () => libp2pPeerId(peerIdOf(newIdentity()))
  const [bootstrap, meshed, placed, server, idle] = [peer(), peer(), peer(), peer(), peer()]
  const closed: unknown[] = []
  const ways = [bootstrap, meshed, placed, server, idle].map((remotePeer) => ({
    ...{ id: `${remotePeer}`, status: 'open', direction: 'outbound', direct: true, streams: [], remotePeer },
    close: () => new Promise(() => {}),
    abort: () => void closed.push(remotePeer),
  }))
  const others = Array.from({ length: limits.connectionsKept }, (_, at) => ({ ...ways[0]!, id: `${at}` }))
  const contact = { peerId: server, kadId: sha256(server.toMultihash().bytes) }
  const deps = {
    node: { peerId: peer(), getConnections: () => [...ways, ...others] },
    gossip: { getTopics: () => ['news'], getMeshPeers: () => [`${meshed}`] },
    dhts: [{ kad: { routingTable: { kb: { toIterable: () => [contact] } } } }],
    meeting: { lasting: () => [`${bootstrap}`] },
    reaching: { placed: () => [`${placed}`] },
    clock,
    log: silentLog,
  }
  startParting(deps as unknown as Parameters<typeof startParting>[0], scope)
  await clock.advance(times.connectionIdleMs + times.stopMs + times.connectionsLookMs)
  assert.deepEqual(closed, [idle])
})

test('a relay and those with a place there know that they live by the connection', async () => {
  await using scope = new Scope()
  const started = async (listen: string[], alwaysRelay: boolean) => {
    const deps = { clock: systemClock, random: systemRandom, log: silentLog }
    const identity = newIdentity()
    const datastore = TableDatastore.open({ table: new MemoryTable(), ...deps })
    const options = { identity, listen, keyring: undefined, mdns: false }
    const made = await createNode({ ...deps, datastore, signer: new Ed25519Signer(identity) }, options)
    const network = new Libp2pNetwork({ ...made, ...deps })
    scope.defer(() => made.node.stop())
    await made.node.start()
    const relaying = { alwaysRelay, relayRate: 0, private: true }
    return { network, placed: (await startReaching({ ...made, ...deps, network }, relaying, scope)).placed }
  }
  const relay = await started(['/ip4/127.0.0.1/tcp/0'], true)
  const hidden = await started([], false)
  assert.deepEqual([hidden.placed(), relay.placed()], [[], []])
  await hidden.network.connect(`${relay.network.addresses()[0]}`)
  await until('it has a place', () => hidden.placed().length > 0)
  assert.deepEqual([hidden.placed(), relay.placed()], [[relay.network.self], [hidden.network.self]])
})
