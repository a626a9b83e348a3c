// Tables against a plain map: whatever is written, in whatever batches, both kinds hold what a map would, in the order of
// code points, within the bounds that were asked for; and neither minds being changed while it is read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareByCodePoint } from '../../src/base/code-points.ts'
import { MemoryTable } from '../twins/table.ts'
import { both } from './stores.ts'

const key = fc.string({
  maxLength: 6,
  unit: fc.constantFrom('a', 'b', 'z', '/', '0', '-', ' ', '\u0001', 'é', '\uffee', '\u{1f3b2}'),
})
const isFrom = (name: string, from: string) => Buffer.compare(Buffer.from(name), Buffer.from(from)) >= 0
const operation = fc.oneof(fc.record({ put: key, value: fc.uint8Array({ maxLength: 40 }) }), fc.record({ delete: key }))
const bounds = fc.record({ from: key, to: key, limit: fc.integer({ min: 1, max: 5 }) }, { requiredKeys: [] })

both('a table holds what a map would', ({ withStore }) =>
  withStore(async (store) => {
    let tables = 0
    const batches = fc.array(fc.array(operation, { maxLength: 8 }), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(batches, fc.array(bounds, { maxLength: 4 }), async (writes, asked) => {
        const table = store.table(`table-${tables++}`)
        const map = new Map<string, Uint8Array>()
        for (const operations of writes) {
          await table.write(operations)
          for (const each of operations)
            if ('put' in each) map.set(each.put, each.value)
            else map.delete(each.delete)
        }
        for (const { from = '', to, limit = Number.POSITIVE_INFINITY } of [{}, ...asked] as (typeof asked)[number][]) {
          const expected = [...map]
            .filter(([name]) => isFrom(name, from) && (to === undefined || !isFrom(name, to)))
            .sort(([a], [b]) => compareByCodePoint(a, b))
            .slice(0, limit)
          const range = { from, ...(to !== undefined && { to }), ...(Number.isFinite(limit) && { limit }) }
          assert.deepEqual(
            [...table.range(range)].map(([name, value]) => [name, Buffer.from(value)]),
            expected.map(([name, value]) => [name, Buffer.from(value)]),
          )
        }
        for (const [name, value] of map) assert.deepEqual(Buffer.from(table.get(name) ?? []), Buffer.from(value))
      }),
      { numRuns: 60 },
    )
  }),
)

both('a table may change while a range of it is read', ({ withStore }) =>
  withStore(async (store) => {
    const table = store.table('busy')
    const names = Array.from({ length: 500 }, (_, index) => `key ${String(index).padStart(4, '0')}`)
    await table.write(names.map((put) => ({ put, value: Buffer.from(put) })))
    const seen: string[] = []
    for (const [name, value] of table.range({})) {
      seen.push(name)
      assert.equal(Buffer.from(value).toString(), name)
      if (seen.length % 100 === 1)
        await table.write([{ delete: name }, { put: `${name} more`, value: Buffer.from(`${name} more`) }])
    }
    assert.deepEqual(
      seen.filter((name) => !name.endsWith('more')),
      names,
    )
  }),
)

both('writes that are under way at once all count, and the last of a key wins', ({ withPlace }) =>
  withPlace(async ({ open }) => {
    const value = (index: number) => Uint8Array.of(index)
    {
      await using store = await open()
      const table = store.table('together')
      const writes = Array.from({ length: 50 }, (_, index) =>
        table.write([
          { put: 'shared', value: value(index) },
          { put: `own ${index}`, value: value(index) },
        ]),
      )
      await Promise.all(writes)
    }
    await using store = await open()
    const table = store.table('together')
    assert.deepEqual(Buffer.from(table.get('shared') ?? []), Buffer.from(value(49)))
    assert.equal([...table.range({ from: 'own', to: 'owo' })].length, 50)
  }),
)

both('what a table lends is a copy, and what it is given is copied', ({ withStore }) =>
  withStore(async (store) => {
    const table = store.table('copies')
    const given = Buffer.from('given')
    await table.write([{ put: 'key', value: given }])
    given.fill(0)
    table.get('key')?.fill(0)
    for (const [, value] of table.range({})) value.fill(0)
    assert.equal(Buffer.from(table.get('key') ?? []).toString(), 'given')
  }),
)

both('a batch with a key that is too long changes nothing', ({ withStore }) =>
  withStore(async (store) => {
    const table = store.table('long')
    const value = Uint8Array.of(1)
    for (const letter of ['x', '\0', '\u0001', '\u0004']) await table.write([{ put: letter.repeat(950), value }])
    const batch = [
      { put: 'short', value },
      { put: 'ü'.repeat(500), value },
    ]
    await assert.rejects(table.write(batch), { code: 'STORE_FAILED' })
    assert.equal(table.get('short'), undefined)
  }),
)

test('texts are in the order of their bytes, and so is the twin of a table', () =>
  fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.string({ unit: 'binary' }), { maxLength: 12 }), async (names) => {
      const byBytes = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      assert.deepEqual(names.toSorted(compareByCodePoint), byBytes)
      const twin = new MemoryTable()
      await twin.write(names.map((put) => ({ put, value: Buffer.from(put) })))
      assert.deepEqual(
        Array.from(twin.range({}), ([name]) => name),
        byBytes,
      )
      const [from = ''] = names
      assert.deepEqual(
        Array.from(twin.range({ from }), ([name]) => name),
        byBytes.filter((name) => isFrom(name, from)),
      )
    }),
  ))
