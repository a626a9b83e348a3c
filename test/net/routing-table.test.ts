// Routing tables of a private DHT: few are dialed for them, and the dead leave them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Libp2p } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { Scope } from '../../src/base/scope.ts'
import { sha256 } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { libp2pPeerId } from '../../src/net/addresses.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { type KadTable, keepTable, neededContacts, sharedBits } from '../../src/net/routing-table.ts'
import { VirtualClock } from '../twins/clock.ts'
import { until } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'

function contact() {
  const peerId = libp2pPeerId(peerIdOf(newIdentity()))
  return { peerId, kadId: sha256(peerId.toMultihash().bytes) }
}

test('the bits that two positions share are counted from the front', () => {
  assert.equal(sharedBits(Uint8Array.of(0xff, 0), Uint8Array.of(0x7f, 0)), 0)
  assert.equal(sharedBits(Uint8Array.of(0xff, 0), Uint8Array.of(0xff, 1)), 15)
  assert.equal(sharedBits(Uint8Array.of(0xff, 0x10), Uint8Array.of(0xff, 0x20)), 10)
  assert.equal(sharedBits(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), 16)
})

test('of each distance only so many are dialed, those under way counted, and so many are known', async () => {
  const self = contact()
  const far: ReturnType<typeof contact>[] = []
  while (far.length < 2 * limits.dhtServersPerDistance) {
    const other = contact()
    if (sharedBits(self.kadId, other.kadId) === 0) far.push(other)
  }
  const gone = far.pop()!
  const known = new Set<(typeof far)[number]>()
  const connected = new Set<unknown>()
  const answers: (() => void)[] = []
  const kb: KadTable['kb'] = { verify: async () => assert.fail('kad-dht dials'), toIterable: () => known }
  const node = {
    peerId: self.peerId,
    getConnections: (peer: unknown) => (connected.has(peer) ? [{}] : []),
    dial: async (peer: unknown) => {
      await new Promise<void>((resolve) => answers.push(resolve))
      if (peer === gone.peerId) throw new Error('nobody there')
      known.add(far.find(({ peerId }) => peerId === peer)!)
    },
    addEventListener: () => {},
  }
  let seen = 0
  const routingTable = { kb, safeDispatchEvent: () => ++seen > 0 }
  const clock = new VirtualClock()
  const deps = { node: node as unknown as Libp2p, clock }
  keepTable(deps, { routingTable } as unknown as KadDHT & { routingTable: KadTable })
  const missed = kb.verify(gone)
  answers.shift()!()
  assert.equal(await missed, false)
  const silent = kb.verify(gone)
  await clock.advance(times.dialAddressMs)
  assert.equal(await silent, false, 'who says nothing is not waited for')
  answers.length = 0
  const dialed = far.map((other) => kb.verify(other))
  assert.equal(answers.length, limits.dhtDialedPerDistance)
  for (const answer of answers.splice(0)) answer()
  assert.equal((await Promise.all(dialed)).filter(Boolean).length, limits.dhtDialedPerDistance)
  const others = far.slice(limits.dhtDialedPerDistance)
  assert.equal(await kb.verify(others[0]!), false)
  for (const { peerId } of others) connected.add(peerId)
  for (const other of others) if (await kb.verify(other)) known.add(other)
  assert.equal(known.size, limits.dhtServersPerDistance)
  assert.equal(seen, limits.dhtServersPerDistance)
})

test('the nearest are needed, and a few at each distance, those known for longest', () => {
  const own = Uint8Array.of(0, 0)
  const at = (position: number) => ({ ...contact(), kadId: Uint8Array.of(position >> 8, position & 255) })
  const near = Array.from({ length: limits.dhtReplicas }, (_, index) => at(index + 1))
  const middle = Array.from({ length: 9 }, (_, index) => at(0x1000 + index))
  const far = Array.from({ length: 9 }, (_, index) => at(0x9000 - index))
  const needed = neededContacts(own, [...far, ...near, ...middle])
  const few = limits.dhtDialedPerDistance
  const expected = [...near, ...middle.slice(0, few), ...far.slice(0, few)]
  assert.deepEqual([...needed].sort(), expected.map(({ peerId }) => peerId.toString()).sort())
})

test('a peer that is lost leaves the table, and comes back when it connects', async () => {
  await using scope = new Scope()
  const identity = newIdentity()
  const hub = scope.use(await testHost())
  const first = await testHost({ identity, bootstrap: [addressOf(hub)] })
  await until('the hub knows it', () => hub.dht.size() === 1)
  await first[Symbol.asyncDispose]()
  await until('the hub has forgotten it', () => hub.dht.size() === 0)
  scope.use(await testHost({ identity, bootstrap: [addressOf(hub)] }))
  await until('the hub knows it again', () => hub.dht.size() === 1)
})
