// A catalog whose file is damaged: every kind is told as damage, with the way out, and none ends the process. The way out
// works: with the catalog moved away, large blocks are found again.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, open, rename, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Block } from '../../src/core/block.ts'
import { openStore } from '../../src/store/open.ts'
import { deps, putAll, raw, withFolder } from './stores.ts'

const large = raw(randomBytes(100_000))
const kept: Block[] = []
const pageBytes = 4096
let sound: string
let sizeBytes: number
const done = Promise.withResolvers<void>()
let ended: Promise<void>

before(async () => {
  const ready = Promise.withResolvers<void>()
  ended = withFolder(async (directory) => {
    sound = directory
    {
      await using store = await openStore(deps, { directory })
      await putAll(store, [large])
      for (let round = 0; round < 8; round++) {
        const blocks = Array.from({ length: 300 }, () => raw(randomBytes(1_000)))
        await putAll(store, blocks)
        kept.push(...blocks)
      }
    }
    sizeBytes = (await stat(join(directory, 'catalog', 'data.mdb'))).size
    ready.resolve()
    await done.promise
  })
  await ready.promise
})

after(async () => {
  done.resolve()
  await ended
})

async function withDamage(
  damage: (path: string) => Promise<unknown>,
  work: (directory: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (directory) => {
    await cp(sound, directory, { recursive: true })
    await damage(join(directory, 'catalog', 'data.mdb'))
    await work(directory)
  })
}

async function overwrite(path: string, bytes: Uint8Array, at: number): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.byteLength, at)
}

const cases: [what: string, damage: (path: string) => Promise<unknown>][] = [
  ['a first page of garbage', (path) => overwrite(path, randomBytes(pageBytes), 0)],
  ['a second page of garbage', (path) => overwrite(path, randomBytes(pageBytes), pageBytes)],
  ['a first page of zeros', (path) => overwrite(path, Buffer.alloc(pageBytes), 0)],
  ['a file that was cut to its first pages', (path) => truncate(path, 2 * pageBytes)],
  ['a file that was cut within its head', (path) => truncate(path, 100)],
  ['a file that was cut to a third', (path) => truncate(path, Math.floor(sizeBytes / 3))],
  ['a file of zeros after its head', (path) => overwrite(path, Buffer.alloc(sizeBytes - 8_192), 8_192)],
]

for (const [what, damage] of cases)
  test(`${what} is told as damage, and there is a way out`, () =>
    withDamage(damage, async (directory) => {
      await assert.rejects(openStore(deps, { directory }), { code: 'CATALOG_DAMAGED', message: /move the folder away/ })
      await rename(join(directory, 'catalog'), join(directory, 'catalog.damaged'))
      await using store = await openStore(deps, { directory })
      assert.deepEqual((await store.get(large.cid)).bytes, large.bytes)
    }))

test('damage further in is told as damage by whoever reads there', async () => {
  let met = 0
  const eighth = Math.ceil(sizeBytes / pageBytes / 8) * pageBytes
  for (let at = 2 * pageBytes; at < sizeBytes; at += eighth)
    for (const byte of [0, 0xff])
      await withDamage(
        (path) => overwrite(path, Buffer.alloc(Math.min(eighth, sizeBytes - at), byte), at),
        async (directory) => {
          const use = async () => {
            await using store = await openStore(deps, { directory })
            for (const { cid } of kept) store.has(cid)
          }
          await use().catch((error) => {
            assert.equal(error.code, 'CATALOG_DAMAGED', error)
            met++
          })
        },
      )
  assert.ok(met > 2, `${met}`)
})

test('a file that ends a few pages early is whole as far as anybody can tell', () =>
  withDamage(
    (path) => truncate(path, sizeBytes - pageBytes),
    async (directory) => {
      // Whatever was on that page, reading it must not end the process.
      try {
        await using store = await openStore(deps, { directory })
        for (const { cid } of kept) store.has(cid)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'CATALOG_DAMAGED')
      }
    },
  ))
