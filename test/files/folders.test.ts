// Folders, small and split: listing them, finding a path in them, and measuring what is below, against what was added and
// against ipfs-unixfs-exporter.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { walkPath } from 'ipfs-unixfs-exporter'
import { importer } from 'ipfs-unixfs-importer'
import type { CID } from 'multiformats/cid'
import { Block, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import { parseRef } from '../../src/core/ref.ts'
import { addPath } from '../../src/files/add.ts'
import { measureDag, walkDag } from '../../src/files/dag.ts'
import { packed } from '../../src/files/dag-pb.ts'
import { directoryBlocks } from '../../src/files/directory.ts'
import { type Entry, listDirectory } from '../../src/files/list.ts'
import { unixfsV1 } from '../../src/files/profiles.ts'
import { resolvePath } from '../../src/files/resolve.ts'
import { MemoryBlocks } from '../twins/memory-blocks.ts'
import { put, putFolder, putNode, putRaw, putSymlink } from './dags.ts'
import { anyFolder, anyName, makeTree, oracleOptions, type Tree, temporaryFolder, tinyV0, tinyV1 } from './trees.ts'

async function list(blocks: MemoryBlocks, cid: CID, recursive = false): Promise<Entry[]> {
  return await Array.fromAsync(listDirectory(blocks, cid, { recursive }))
}

/** All paths of a tree with their types and sizes, as a listing should give them. */
function* pathsOf(folder: Record<string, Tree>, above = ''): Generator<[string, string, number | undefined]> {
  for (const [name, tree] of Object.entries(folder)) {
    const path = above + name
    if ('file' in tree) yield [path, 'file', tree.file.byteLength]
    else if ('link' in tree) yield [path, 'symlink', Buffer.byteLength(tree.link)]
    else {
      yield [path, 'directory', undefined]
      yield* pathsOf(tree.folder, `${path}/`)
    }
  }
}

/** A folder of many small files with these names, split or not. */
async function folderOf(blocks: MemoryBlocks, names: string[], shardAboveBytes: number): Promise<CID> {
  const entries = await Promise.all(
    names.map(async (name) => packed({ name, cid: await putRaw(blocks, name), tsize: Buffer.byteLength(name) })),
  )
  let root: CID | undefined
  for (const block of directoryBlocks({ ...unixfsV1, shardAboveBytes }, entries)) root = await put(blocks, block)
  return root!
}

test('any tree is listed, and every path in it is found', async (context) => {
  const home = await temporaryFolder(context)
  let runs = 0
  for (const base of [tinyV1, tinyV0])
    await fc.assert(
      fc.asyncProperty(anyFolder, fc.constantFrom(50, 262_144), async (folder, shardAboveBytes) => {
        const path = join(home, `tree-${runs++}`)
        await makeTree(path, { folder })
        const blocks = new MemoryBlocks()
        const profile = { ...base, shardAboveBytes }
        const { cid } = await addPath({ writer: blocks }, path, { profile, hidden: true })
        const entries = await list(blocks, cid, true)
        const byPath = (one: unknown[], other: unknown[]) => (String(one[0]) < String(other[0]) ? -1 : 1)
        assert.deepEqual(
          entries.map(({ name, type, sizeBytes }) => [name, type, sizeBytes]).sort(byPath),
          [...pathsOf(folder)].sort(byPath),
        )
        for (const { name, cid: expected, type, sizeBytes } of entries) {
          const found = await resolvePath(blocks, { root: cid, path: name.split('/') })
          assert.deepEqual([String(found.cid), found.type, found.sizeBytes], [String(expected), type, sizeBytes])
        }
      }),
      { numRuns: 25 },
    )
})

test('a split folder lists all its names, and each is found through a few blocks', async () => {
  const blocks = new MemoryBlocks()
  const names = Array.from({ length: 3000 }, (_, index) => `name ${index} \u{1f4f7}`)
  const cid = await folderOf(blocks, names, 1000)
  assert.deepEqual((await list(blocks, cid)).map((entry) => entry.name).sort(), names.toSorted())
  for (const name of names.slice(0, 200)) {
    blocks.asked.length = 0
    const found = await resolvePath(blocks, { root: cid, path: [name] })
    assert.equal(found.cid.toString(), Block.of(codecs.raw, Buffer.from(name)).cid.toString())
    assert.ok(blocks.asked.length <= 5, `${blocks.asked.length} blocks`)
  }
  await assert.rejects(resolvePath(blocks, { root: cid, path: ['name'] }), { code: 'PATH_NOT_FOUND' })
})

test('ipfs-unixfs-exporter finds what is in our split folders', async () => {
  const blocks = new MemoryBlocks()
  const store = {
    get: async function* (cid: CID) {
      yield (await blocks.get(cid)).bytes
    },
  }
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(anyName, { minLength: 1, maxLength: 40, size: 'max' }), async (names) => {
      const cid = await folderOf(blocks, names, 50)
      // Their path parser is not for every name.
      const name = names.find((name) => /^[\p{L}\d]+$/u.test(name))
      if (!name) return
      const steps = await Array.fromAsync(walkPath(`${cid}/${name}`, store))
      assert.equal(steps.at(-1)!.cid.toString(), Block.of(codecs.raw, Buffer.from(name)).cid.toString())
    }),
    { numRuns: 50 },
  )
})

test('folders that ipfs-unixfs-importer splits by other fan-outs are read', async () => {
  const names = Array.from({ length: 200 }, (_, index) => `name ${index}`)
  for (const shardFanoutBits of [3, 4, 5, 10]) {
    const blocks = new MemoryBlocks()
    const store = { put: async (cid: CID, bytes: Uint8Array) => await put(blocks, Block.verify(cid, bytes)) }
    const files = names.map((name) => ({ path: `root/${name}`, content: Buffer.from(name) }))
    const options = { ...oracleOptions(tinyV1), shardFanoutBits, shardSplitThresholdBytes: 10 }
    const root = (await Array.fromAsync(importer(files, store, options))).at(-1)!.cid
    assert.deepEqual((await list(blocks, root)).map((entry) => entry.name).sort(), names.toSorted())
    for (const name of names) await resolvePath(blocks, { root, path: [name] })
  }
})

test('a listing of many entries stays ahead by a few blocks and can be left', async () => {
  const blocks = new MemoryBlocks()
  const cid = await folderOf(
    blocks,
    Array.from({ length: 2000 }, (_, index) => `${index}`),
    1000,
  )
  blocks.asked.length = 0
  for await (const _ of listDirectory(blocks, cid)) break
  assert.ok(blocks.asked.length <= 2 + 2 * limits.readAheadBlocks, `${blocks.asked.length} blocks`)
})

test('a path that leads nowhere names the part that is missing', async () => {
  const blocks = new MemoryBlocks()
  const file = await putRaw(blocks, 'x')
  const inner = await putFolder(blocks, [
    ['file', file],
    ['link', await putSymlink(blocks, 'file')],
  ])
  const root = await putFolder(blocks, [['a', inner]])
  const cases: [string, string][] = [
    ['b', `there is no 'b' in ${root}`],
    ['a/b/c', `there is no 'b' in ${root}/a`],
    ['a/file/c', `there is no 'c' in ${root}/a/file: it is a file, not a folder`],
    ['a/link/c', `there is no 'c' in ${root}/a/link: it is a symbolic link, which paths do not follow`],
  ]
  for (const [path, message] of cases)
    await assert.rejects(resolvePath(blocks, parseRef(`${root}/${path}`)), { code: 'PATH_NOT_FOUND', message })
})

test('paths go through dag-cbor and plain dag-pb', async () => {
  const blocks = new MemoryBlocks()
  const file = await putRaw(blocks, 'x')
  const folder = await putFolder(blocks, [['file', file]])
  const cbor = await put(blocks, Block.of(codecs.dagCbor, dagCbor.encode({ a: { b: [1, folder] }, c: 'text' })))
  const node = await putNode(blocks, undefined, [{ name: 'data', cid: cbor }])
  const found = await resolvePath(blocks, parseRef(`${node}/data/a/b/1/file`))
  assert.deepEqual([found.cid.toString(), found.type], [file.toString(), 'file'])
  assert.equal((await resolvePath(blocks, parseRef(`${cbor}`))).type, 'node')
  const missing: [string, RegExp][] = [
    ['a/x', /there is no 'x' in \w+\/a$/],
    ['c', /is a value inside/],
    ['c/0', /there is no '0' in \w+\/c$/],
    ['a/b/__proto__', /there is no '__proto__'/],
  ]
  for (const [path, message] of missing)
    await assert.rejects(resolvePath(blocks, parseRef(`${cbor}/${path}`)), { code: 'PATH_NOT_FOUND', message })
  const json = await put(blocks, Block.of(codecs.dagJson, Buffer.from('{}')))
  await assert.rejects(resolvePath(blocks, parseRef(`${json}/a`)), { code: 'CODEC_UNSUPPORTED' })
})

test('folders that are none, or none that end, are errors', async () => {
  const blocks = new MemoryBlocks()
  const file = await putRaw(blocks, 'x')
  await assert.rejects(list(blocks, file), { code: 'NOT_DIRECTORY' })
  const strange = await putNode(blocks, { type: 'hamt-sharded-directory', fanout: 3n })
  await assert.rejects(list(blocks, strange), { code: 'DAG_INVALID' })
  const notShard = await putNode(blocks, { type: 'hamt-sharded-directory', fanout: 256n }, [{ name: 'AA', cid: file }])
  await assert.rejects(list(blocks, notShard), { code: 'DAG_INVALID' })
  let shard = await putNode(blocks, { type: 'hamt-sharded-directory', fanout: 256n }, [{ name: 'AAx', cid: file }])
  for (let depth = 0; depth < 8; depth++)
    shard = await putNode(blocks, { type: 'hamt-sharded-directory', fanout: 256n }, [{ name: 'AA', cid: shard }])
  await assert.rejects(list(blocks, shard), { code: 'DAG_INVALID' })
  let folder = await putFolder(blocks, [])
  for (let depth = 0; depth <= limits.pathDepthMax; depth++) folder = await putFolder(blocks, [['d', folder]])
  await assert.rejects(list(blocks, folder, true), { code: 'DAG_INVALID' })
})

test('leaves whose sizes are known are measured without being read', async () => {
  const blocks = new MemoryBlocks()
  const [known, unknown] = [await putRaw(blocks, '12345'), await putRaw(blocks, '678')]
  const cid = await putNode(blocks, undefined, [{ cid: known }, { cid: unknown }, { cid: known }])
  const measured = await measureDag(blocks, cid)
  blocks.asked.length = 0
  const sizeOf = (cid: CID) => (cid.equals(unknown) ? undefined : 5)
  const reader = { get: (cid: CID) => blocks.get(cid), sizeOf }
  assert.deepEqual(await measureDag(reader, cid), measured)
  assert.deepEqual(blocks.asked.map(String), [cid, unknown].map(String))
})

test('a DAG is walked and measured once per block, even where ways through it are without number', async () => {
  const blocks = new MemoryBlocks()
  const leaf = await putRaw(blocks, '12345')
  let cid = await putNode(blocks, undefined, [{ cid: leaf }, { cid: leaf }])
  for (let level = 0; level < 60; level++) cid = await putNode(blocks, undefined, [{ cid }, { cid }])
  const walked = await Array.fromAsync(walkDag(blocks, [cid]))
  assert.equal(walked.length, 62)
  const dagBytes = walked.reduce((sum, block) => sum + block.bytes.byteLength, 0)
  assert.deepEqual(await measureDag(blocks, cid), { blocks: 62, dagBytes })
  for (let level = 0; level < limits.dagDepthMax; level++) cid = await putNode(blocks, undefined, [{ cid }])
  await assert.rejects(measureDag(blocks, cid), { code: 'DAG_INVALID' })
})
