// A home that notices that it is a copy: that of a backup in another place, and one that was written over the files that were
// there. One that only opens again, whatever its catalog has written, is none.
import assert from 'node:assert/strict'
import { appendFile, copyFile, cp, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../src/base/log.ts'
import { noticeCopy } from '../../src/node/copied.ts'
import { Home } from '../../src/node/home.ts'
import { storeRow } from '../../src/records/rows.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'

test('a home that was copied, or restored over its own files, counts its records anew', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'potluck-test-'))
  try {
    const [path, copy] = [join(folder, 'home'), join(folder, 'copy')]
    await mkdir(join(path, 'catalog'), { recursive: true })
    for (const name of ['catalog/data.mdb', 'identity.key']) await writeFile(join(path, name), name)
    const tables = { home: new MemoryTable(), records: new MemoryTable() }
    const isCopy = async (at: string) => {
      await tables.records.write([{ put: storeRow, value: Buffer.from('store') }])
      await noticeCopy({ home: new Home(at), log: silentLog }, tables)
      return tables.records.get(storeRow) === undefined
    }
    assert.equal(await isCopy(path), false, 'the first time')
    await appendFile(join(path, 'catalog/data.mdb'), 'more')
    assert.equal(await isCopy(path), false, 'again')
    await cp(path, copy, { recursive: true, preserveTimestamps: true })
    assert.equal(await isCopy(copy), true, 'elsewhere')
    assert.equal(await isCopy(copy), false, 'elsewhere, again')
    const identity = async () => (await stat(join(copy, 'identity.key'), { bigint: true })).ctimeNs
    const before = await identity()
    await until('the clock of the disk has moved on', async () => {
      for (const name of ['catalog/data.mdb', 'identity.key']) await copyFile(join(path, name), join(copy, name))
      return (await identity()) !== before
    })
    assert.equal(await isCopy(copy), true, 'written over in place')
    assert.equal(await isCopy(copy), false, 'and again')
  } finally {
    await rm(folder, { recursive: true })
  }
})
