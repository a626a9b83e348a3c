// libp2p's datastore over a Table: it gives back what was put whether or not it is written yet, and it is bounded.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { Key } from 'interface-datastore'
import { lineLog, silentLog } from '../../src/base/log.ts'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { TableDatastore } from '../../src/net/datastore.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryTable } from '../twins/table.ts'

function open(table = new MemoryTable(), log = silentLog) {
  const clock = new VirtualClock()
  return { table, clock, datastore: TableDatastore.open({ table, clock, log }) }
}

const value = Uint8Array.of(1, 2, 3)

async function keysUnder(datastore: TableDatastore, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of datastore.query({ prefix })) keys.push(key.toString())
  return keys.sort()
}

const name = fc.constantFrom('/a/1', '/a/2', '/a/20', '/b/1', '/b/2')
const step = fc.oneof(
  fc.record({ put: name, value: fc.uint8Array({ minLength: 1, maxLength: 4 }) }),
  fc.record({ delete: name }),
  fc.constant('time' as const),
  fc.constant('restart' as const),
)

test('it behaves like a map, before and after its writes are durable, and after a clean restart', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const model = new Map<string, string>()
      let { table, clock, datastore } = open()
      for (const step of steps) {
        if (step === 'time') await clock.advance(times.datastoreDelayMs)
        else if (step === 'restart') {
          await datastore.flush()
          ;({ table, clock, datastore } = open(table))
        } else if ('put' in step) {
          model.set(step.put, step.value.toString())
          await datastore.put(new Key(step.put), step.value)
        } else {
          model.delete(step.delete)
          await datastore.delete(new Key(step.delete))
        }
        for (const key of ['/a/1', '/a/20', '/b/2'])
          assert.equal(await datastore.has(new Key(key)), model.has(key), `${key} after ${JSON.stringify(step)}`)
        const found = new Map<string, string>()
        for await (const { key, value } of datastore.query({ prefix: '/a/' }))
          found.set(key.toString(), value.toString())
        assert.deepEqual([...found].sort(), [...model].filter(([key]) => key.startsWith('/a/')).sort())
      }
    }),
    { numRuns: 40 },
  )
})

test('many puts are one write, made soon', async () => {
  const { table, clock, datastore } = open()
  for (let index = 0; index < 100; index++) await datastore.put(new Key(`/peers/${index}`), value)
  assert.equal(table.writes, 0)
  await clock.advance(times.datastoreDelayMs)
  assert.equal(table.writes, 1)
  assert.equal(table.size, 100)
  await assert.rejects(datastore.get(new Key('/peers/none')), { name: 'NotFoundError' })
})

test('a disk that is full is told, and stops nothing', async () => {
  const lines: string[] = []
  const { table, clock, datastore } = open(
    new MemoryTable(),
    lineLog('warn', (line) => lines.push(line)),
  )
  table.failWrites = new Error('no space left')
  await datastore.put(new Key('/peers/a'), value)
  await clock.advance(times.datastoreDelayMs)
  assert.match(lines.join(), /could not be written: no space left/)
  table.failWrites = undefined
  await datastore.put(new Key('/peers/b'), value)
  await datastore.flush()
  assert.deepEqual(await keysUnder(datastore, '/peers/'), ['/peers/b'])
})

test('who was heard of longest ago is forgotten when too many are known', async () => {
  const { table, datastore } = open()
  const peers = limits.peersKnownMax
  for (let index = 0; index < peers; index++) await datastore.put(new Key(`/peers/${index}`), value)
  await datastore.put(new Key('/peers/0'), value)
  await datastore.put(new Key('/peers/new'), value)
  await datastore.flush()
  assert.equal(table.size, peers)
  assert.ok(table.get('/peers/0'))
  assert.ok(!table.get('/peers/1'))
})

test('no peer can fill the disk with records, whoever it says provides', async () => {
  const [greedy, modest] = [peerIdOf(newIdentity()), peerIdOf(newIdentity())]
  const table = new MemoryTable()
  const full = limits.dhtRecordsPerPeerMax
  await table.write(
    Array.from({ length: full - 1 }, (_, index) => ({ put: `/dht/provider/key${index}/${greedy}`, value })),
  )
  const { datastore } = open(table)
  const put = (key: string) => datastore.put(new Key(key), value)
  await put(`/lan-dht/provider/last/${greedy}`)
  await assert.rejects(put(`/dht/provider/more/${greedy}`), /no more records/)
  await put(`/dht/provider/key1/${greedy}`)
  await put(`/dht/provider/more/${modest}`)
  await datastore.delete(new Key(`/dht/provider/key1/${greedy}`))
  await put(`/dht/provider/more/${greedy}`)
  await assert.rejects(put(`/dht/provider/evenmore/${greedy}`), /no more records/)
  await assert.rejects(
    datastore.put(new Key('/x'), new Uint8Array(limits.datastoreValueBytesMax + 1)),
    /over the limit/,
  )
})
