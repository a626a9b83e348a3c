// Blocks and their links: our reading of dag-pb against @ipld/dag-pb's, links in every codec, and the two pure builders
// against ipfs-unixfs-importer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagPb from '@ipld/dag-pb'
import fc from 'fast-check'
import { importBytes } from 'ipfs-unixfs-importer'
import type { CID } from 'multiformats/cid'
import { Block, codecs } from '../../src/core/block.ts'
import { addStream, discardingWriter } from '../../src/files/add.ts'
import { decodePb, encodePb, packed } from '../../src/files/dag-pb.ts'
import { byNameBytes, directoryBlocks } from '../../src/files/directory.ts'
import { linksOf } from '../../src/files/links.ts'
import { leafBlock, partOf } from '../../src/files/unixfs.ts'
import { anyName, oracleCid, oracleOptions, type Tree, tinyV0, tinyV1 } from './trees.ts'

const leaf = (text: string) => Block.of(codecs.raw, Buffer.from(text)).cid

const anyLink = fc.record({
  name: fc.string({ unit: 'binary', maxLength: 8 }),
  cid: fc.string().map(leaf),
  tsize: fc.nat(),
})

test('dag-pb decodes to what was encoded', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.array(anyLink), (data, links) => {
      const sorted = links.toSorted(byNameBytes)
      const node = decodePb(encodePb(data, sorted))
      assert.deepEqual(node.data, data)
      assert.deepEqual(
        node.links.map(({ name, cid, tsize }) => [name, cid.toString(), tsize]),
        sorted.map(({ name, cid, tsize }) => [name, cid.toString(), tsize]),
      )
    }),
  )
})

test('damaged dag-pb is refused exactly when @ipld/dag-pb refuses it', () => {
  const valid = encodePb(new Uint8Array([1]), [{ name: 'a', cid: leaf('a'), tsize: 300 }])
  const outcome = (decode: () => { links: CID[] }) => {
    try {
      return decode().links.map(String)
    } catch {
      return 'refused'
    }
  }
  const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255), fc.nat(2))
  fc.assert(
    fc.property(fc.array(change, { maxLength: 3 }), (changes) => {
      const bytes = [...valid]
      for (const [at, byte, kind] of changes) bytes.splice(at, kind === 0 ? 0 : 1, ...(kind === 2 ? [] : [byte]))
      const input = Uint8Array.from(bytes)
      assert.deepEqual(
        outcome(() => ({ links: decodePb(input).links.map((link) => link.cid) })),
        outcome(() => ({ links: dagPb.decode(input).Links.map((link) => link.Hash) })),
      )
    }),
    { numRuns: 2000 },
  )
})

test('links of raw, dag-pb and dag-cbor blocks, in order', () => {
  const [one, two] = [leaf('1'), leaf('2')]
  assert.deepEqual(linksOf(Block.of(codecs.raw, Buffer.from('x'))), [])
  const node = encodePb(new Uint8Array(0), [
    { name: 'a', cid: two, tsize: 1 },
    { name: 'b', cid: one, tsize: 1 },
    { name: 'c', cid: two, tsize: 1 },
  ])
  assert.deepEqual(linksOf(Block.of(codecs.dagPb, node)).map(String), [two, one, two].map(String))
  const value = { a: [one, { b: two }], c: new Uint8Array([1]), d: null, e: one }
  assert.deepEqual(linksOf(Block.of(codecs.dagCbor, dagCbor.encode(value))).map(String), [one, two, one].map(String))
})

test('links of other codecs and of damaged blocks are errors', () => {
  assert.throws(() => linksOf(Block.of(codecs.dagJson, Buffer.from('{}'))), { code: 'CODEC_UNSUPPORTED' })
  assert.throws(() => linksOf(Block.of(codecs.dagPb, Buffer.from('junk'))), { code: 'DAG_INVALID' })
  assert.throws(() => linksOf(Block.of(codecs.dagCbor, Buffer.from('junk'))), { code: 'DAG_INVALID' })
  const nested = Buffer.alloc(1024 * 1024, 0x81)
  assert.throws(() => linksOf(Block.of(codecs.dagCbor, nested)), { code: 'DAG_INVALID' })
})

test('any bytes have links or an error of ours', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom(codecs.dagPb, codecs.dagCbor), (bytes, codec) => {
      try {
        linksOf(Block.of(codec, bytes))
      } catch (error) {
        assert.equal((error as { code: string }).code, 'DAG_INVALID')
      }
    }),
  )
})

test('names are ordered by their UTF-8 bytes', () => {
  fc.assert(
    fc.property(anyName, anyName, (one, other) => {
      const ours = Math.sign(byNameBytes({ name: one }, { name: other }))
      assert.equal(ours, Buffer.compare(Buffer.from(one), Buffer.from(other)))
    }),
  )
  assert.ok(byNameBytes({ name: '\uffee' }, { name: '\u{1f600}' }) < 0)
})

test('files have the CIDs of ipfs-unixfs-importer, whatever their size and the pieces they come in', async () => {
  for (const profile of [tinyV1, tinyV0])
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), async (pieces) => {
        async function* stream() {
          yield* pieces
        }
        const added = await addStream({ writer: discardingWriter }, stream(), { profile })
        const bytes = Buffer.concat(pieces)
        const oracle = await importBytes(bytes, { put: async (cid: CID) => cid }, oracleOptions(profile))
        assert.equal(added.cid.toString(), oracle.cid.toString())
        assert.equal(added.sizeBytes, bytes.byteLength)
        assert.equal(BigInt(added.dagBytes), oracle.size)
      }),
      { numRuns: 60 },
    )
})

test('files at the edges of nodes have the CIDs of ipfs-unixfs-importer', async () => {
  for (const profile of [tinyV1, tinyV0])
    for (const leaves of [1, 2, 3, 4, 8, 9, 10, 26, 27, 28, 29, 81, 82])
      for (const extra of [-1, 0, 1]) {
        const bytes = new Uint8Array(leaves * profile.chunkBytes + extra).fill(7)
        async function* stream() {
          yield bytes
        }
        const added = await addStream({ writer: discardingWriter }, stream(), { profile })
        const oracle = await importBytes(bytes, { put: async (cid: CID) => cid }, oracleOptions(profile))
        assert.equal(added.cid.toString(), oracle.cid.toString(), `${bytes.byteLength} bytes`)
      }
})

test('directories around a small threshold have the CIDs of ipfs-unixfs-importer', async () => {
  const sizes = { blocks: 0, hamts: 0 }
  for (const base of [tinyV1, tinyV0])
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(anyName, { maxLength: 60, size: 'max' }), async (names) => {
        const profile = { ...base, shardAboveBytes: 700 }
        const file = Buffer.from('x')
        const entry = partOf(leafBlock(profile, file), 1)
        const blocks = [
          ...directoryBlocks(
            profile,
            names.map((name) => packed({ ...entry, name })),
          ),
        ]
        const folder = Object.fromEntries(names.map((name): [string, Tree] => [name, { file }]))
        assert.equal(blocks.at(-1)!.cid.toString(), (await oracleCid(folder, profile)).toString())
        if (blocks.length > 1) sizes.hamts++
        else sizes.blocks++
      }),
      { numRuns: 60 },
    )
  assert.ok(sizes.hamts > 10 && sizes.blocks > 10, 'both kinds were tried')
})
