// IPNS between real hosts: what one publishes, others resolve through the DHT, also after its restart, and a server keeps
// the newest record whatever it is told later.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Key } from 'interface-datastore'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { Scope } from '../../src/base/scope.ts'
import { ipnsKeyOf } from '../../src/core/ipns-name.ts'
import { limits } from '../../src/core/limits.ts'
import { TableDatastore } from '../../src/net/datastore.ts'
import type { Host } from '../../src/net/host.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { Ipns } from '../../src/routing/ipns.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'
import { addressOf, star, testHost } from './hosts.ts'

const one = '/ipfs/bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4'
const two = '/ipfs/bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

const ipnsOf = ({ dht, signer }: Host, table = new MemoryTable()) =>
  new Ipns({ dht, table, signer, clock: systemClock, log: silentLog })

for (const network of ['private', 'open'] as const)
  test(`one publishes, another resolves, in a network that is ${network}`, async () => {
    await using scope = new Scope()
    const options = network === 'open' ? { network: { kind: 'open' } as const } : {}
    const [hub, publisher, reader] = await star((host) => scope.use(host), 3, options)
    const name = publisher!.network.self
    await assert.rejects(ipnsOf(reader!).resolve(name), { code: 'IPNS_NOT_FOUND' })
    const table = new MemoryTable()
    const first = await ipnsOf(publisher!, table).publish(one)
    assert.ok(first.servers >= 1)
    assert.equal((await ipnsOf(reader!).resolve(name)).value, one)
    // An older record does not replace a newer one at our servers.
    const second = await ipnsOf(publisher!, table).publish(two)
    assert.equal(second.record.sequence, 1n)
    assert.equal(await hub.dht.putValue(ipnsKeyOf(name), first.record.bytes), 0)
    assert.equal(await reader!.dht.putValue(ipnsKeyOf(hub.network.self), second.record.bytes), 0)
    assert.equal((await ipnsOf(reader!).resolve(name)).value, two)
  })

test('a publisher that is away is resolved through others, and goes on where it was', async () => {
  await using scope = new Scope()
  const [hub, reader] = await star((host) => scope.use(host), 2)
  const identity = newIdentity()
  const table = new MemoryTable()
  const start = () => testHost({ identity, bootstrap: [addressOf(hub)] })
  const before = await start()
  await until('it knows the hub', () => before.dht.size() > 0)
  await ipnsOf(before, table).publish(one)
  const name = before.network.self
  await before[Symbol.asyncDispose]()
  assert.equal((await ipnsOf(reader!).resolve(name)).value, one)
  const after = scope.use(await start())
  await until('it knows the hub again', () => after.dht.size() > 0)
  assert.equal((await ipnsOf(after, table).publish(two)).record.sequence, 1n)
  assert.equal((await ipnsOf(reader!).resolve(name)).value, two)
})

test('values of strangers fill a bounded part of the disk: the one stored longest ago goes first', async () => {
  const table = new MemoryTable()
  const datastore = TableDatastore.open({ table, clock: systemClock, log: silentLog })
  const key = (index: number) => new Key(`/dht/record/key${index}`, false)
  for (let index = 0; index <= limits.dhtValuesMax; index++) await datastore.put(key(index), Uint8Array.of(1))
  await datastore.flush()
  assert.equal(table.size, limits.dhtValuesMax)
  assert.equal(await datastore.has(key(0)), false)
  assert.equal(await datastore.has(key(1)), true)
})
