// Publishing and resolving on a simulated DHT, in virtual time: a record lives as long as its publisher runs, whatever
// servers forget or mix up, and its sequence never goes back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { ipnsKeyOf } from '../../src/core/ipns-name.ts'
import { makeIpnsRecord } from '../../src/core/ipns-record.ts'
import { limits } from '../../src/core/limits.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'
import { Ipns } from '../../src/routing/ipns.ts'
import { VirtualClock } from '../twins/clock.ts'
import { SimulatedDht } from '../twins/dht.ts'
import { MemoryTable } from '../twins/table.ts'

const hourMs = 3_600_000
const one = '/ipfs/bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4'
const two = '/ipfs/bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

function setUp(servers = 5) {
  const clock = new VirtualClock()
  const dht = new SimulatedDht(clock)
  dht.addServers(servers, seededRandom(1))
  const signer = new Ed25519Signer(newIdentity())
  const table = new MemoryTable()
  const open = (by = signer, at = table) =>
    new Ipns({ dht: dht.portOf(by.self), table: at, signer: by, clock, log: silentLog })
  const reader = () => open(new Ed25519Signer(newIdentity()), new MemoryTable())
  return { clock, dht, signer, table, open, reader, publisher: open() }
}

async function run(clock: VirtualClock, worker: Ipns, forMs: number) {
  const loop = new WorkerLoop({ worker, clock, log: silentLog })
  loop.start()
  await clock.advance(forMs)
  await loop.stop()
}

test('what is published is resolved by others, and a newer value has a higher sequence', async () => {
  const { signer, publisher, reader } = setUp()
  await assert.rejects(reader().resolve(signer.self), { code: 'IPNS_NOT_FOUND' })
  const first = await publisher.publish(one)
  assert.deepEqual([first.record.sequence, first.servers], [0n, 5])
  assert.deepEqual(await reader().resolve(signer.self), first.record)
  assert.equal((await publisher.publish(two)).record.sequence, 1n)
  assert.equal((await reader().resolve(signer.self)).value, two)
})

test('a record lives on while its publisher runs, past its lifetime and what servers remember, and ends after it', async () => {
  const { clock, signer, publisher, reader } = setUp()
  await publisher.publish(one, { lifetimeMs: 6 * hourMs })
  await run(clock, publisher, 100 * hourMs)
  const { value, sequence } = await reader().resolve(signer.self)
  assert.deepEqual([value, sequence], [one, 0n])
  await clock.advance(6 * hourMs)
  await assert.rejects(reader().resolve(signer.self), { code: 'IPNS_EXPIRED' })
  await run(clock, publisher, 1_000)
  assert.equal((await reader().resolve(signer.self)).value, one)
})

test('a restart goes on with the value and the sequence, and says so at once', async () => {
  const { clock, dht, signer, publisher, open, reader } = setUp()
  await publisher.publish(one)
  await publisher.publish(two)
  for (const server of dht.servers.values()) server.values.clear()
  const again = open()
  await run(clock, again, 1_000)
  assert.equal((await reader().resolve(signer.self)).value, two)
  assert.equal((await again.publish(one)).record.sequence, 2n)
})

test('a publisher that lost its disk goes on from what the network has', async () => {
  const { signer, publisher, open, reader } = setUp()
  for (const value of [one, two, one]) await publisher.publish(value)
  const restored = open(signer, new MemoryTable())
  assert.equal((await restored.publish(two)).record.sequence, 3n)
  assert.equal((await reader().resolve(signer.self)).value, two)
})

test('without servers it is durable, and published when one comes', async () => {
  const { clock, dht, signer, publisher, reader } = setUp(0)
  const { servers } = await publisher.publish(one)
  assert.equal(servers, 0)
  dht.addServers(3, seededRandom(2))
  await run(clock, publisher, 1_000)
  assert.equal((await reader().resolve(signer.self)).value, one)
})

test('servers that refuse are tried again', async () => {
  const { clock, dht, signer, publisher, reader } = setUp()
  for (const server of dht.servers.values()) server.refuses = true
  assert.equal((await publisher.publish(one)).servers, 0)
  for (const server of dht.servers.values()) server.refuses = false
  await run(clock, publisher, 60_000)
  assert.equal((await reader().resolve(signer.self)).value, one)
})

test('old, forged and broken records of servers lose against one good one', async () => {
  const { clock, dht, signer, publisher, reader } = setUp()
  const old = await publisher.publish(one)
  const { record } = await publisher.publish(two)
  const seen = reader()
  assert.equal((await seen.resolve(signer.self)).value, two)
  const key = ipnsKeyOf(signer.self)
  const stranger = new Ed25519Signer(newIdentity())
  const claim = { value: one, sequence: 99n, validUntilMs: clock.nowMs() + hourMs, ttlMs: 1 }
  const forged = makeIpnsRecord(claim, stranger).bytes
  const bad = [old.record.bytes, forged, new Uint8Array(3), new Uint8Array(limits.ipnsRecordBytesMax + 1)]
  const [last, ...others] = dht.servers.keys()
  const tell = (server: string, value: Uint8Array) =>
    dht.servers.get(server as never)!.values.set(Buffer.from(key).toString('hex'), { value, toldMs: clock.nowMs() })
  for (const [index, server] of others.entries()) tell(server, bad[index % bad.length]!)
  assert.deepEqual(await reader().resolve(signer.self), record)
  // Even when the last server has forgotten it, who has seen it does not go back.
  tell(last!, old.record.bytes)
  assert.deepEqual(await seen.resolve(signer.self), record)
})

test('publishing at the same time is one after the other; lifetimes have limits; a failed disk changes nothing', async () => {
  const { table, publisher } = setUp()
  const published = await Promise.all([one, two, one].map((value) => publisher.publish(value)))
  assert.deepEqual(
    published.map(({ record }) => record.sequence),
    [0n, 1n, 2n],
  )
  for (const lifetimeMs of [0, 1, Number.NaN, 1e15])
    assert.throws(() => publisher.publish(one, { lifetimeMs }), { code: 'LIFETIME_INVALID' })
  table.failWrites = new Error('the disk is gone')
  await assert.rejects(publisher.publish(two), /disk is gone/)
  table.failWrites = undefined
  assert.equal((await publisher.publish(two)).record.sequence, 3n)
})

test('a record that somebody else has signed is passed on as it is, unless a newer one is known', async () => {
  const { clock, signer, publisher, open, reader } = setUp()
  const hub = open(new Ed25519Signer(newIdentity()), new MemoryTable())
  const claim = { value: one, validUntilMs: clock.nowMs() + hourMs, ttlMs: 1_000 }
  const [older, newer] = [3n, 4n].map((sequence) => makeIpnsRecord({ ...claim, sequence }, signer))
  await hub.pass(signer.self, newer!.bytes)
  assert.deepEqual((await reader().resolve(signer.self)).bytes, newer!.bytes)
  await hub.pass(signer.self, older!.bytes)
  assert.equal((await reader().resolve(signer.self)).sequence, 4n)
  assert.equal((await publisher.publish(two)).record.sequence, 5n, 'its publisher goes on from there')
  const forged = makeIpnsRecord({ ...claim, sequence: 9n }, new Ed25519Signer(newIdentity()))
  await assert.rejects(hub.pass(signer.self, forged.bytes), { code: 'IPNS_INVALID' })
  await clock.advance(hourMs)
  await assert.rejects(hub.pass(signer.self, older!.bytes), { code: 'IPNS_EXPIRED' })
})
