// Writing to the disk: what was added comes back, doing it again continues, and no DAG, however it was made, writes
// outside its target or leaves half a file.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, statSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, readlink, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CID } from 'multiformats/cid'
import { seededRandom } from '../../src/base/random.ts'
import { Block, codecs } from '../../src/core/block.ts'
import type { Progress } from '../../src/core/progress.ts'
import { addPath } from '../../src/files/add.ts'
import { requireEntryName } from '../../src/files/names.ts'
import { temporaryPath } from '../../src/files/temporary.ts'
import { type WriteOptions, writeTo } from '../../src/files/write.ts'
import { MemoryBlocks } from '../twins/memory-blocks.ts'
import { putFolder, putNode, putRaw, putSymlink } from './dags.ts'
import { anyFolder, makeTree, readTree, type Tree, temporaryFolder, tinyV0, tinyV1 } from './trees.ts'

const random = seededRandom(1)
const write = (reader: MemoryBlocks, cid: CID, path: string, options: WriteOptions = {}) =>
  writeTo({ reader, random }, cid, path, options)
const file = (text: string): Tree => ({ file: new Uint8Array(Buffer.from(text)) })

test('any tree comes back as it was', async (context) => {
  const home = await temporaryFolder(context)
  let runs = 0
  for (const profile of [tinyV1, tinyV0])
    await fc.assert(
      fc.asyncProperty(anyFolder, async (folder) => {
        const [from, to] = [join(home, `from-${runs}`), join(home, `to-${runs++}`)]
        await makeTree(from, { folder })
        const blocks = new MemoryBlocks()
        const added = await addPath({ writer: blocks }, from, { profile, hidden: true })
        const written = await write(blocks, added.cid, to)
        assert.deepEqual(await readTree(to), await readTree(from))
        assert.deepEqual(written, {
          path: to,
          sizeBytes: added.sizeBytes,
          files: added.files,
          kept: 0,
        })
        const again = await write(blocks, added.cid, to)
        assert.equal(again.kept, added.files)
        assert.deepEqual(await readTree(to), await readTree(from))
      }),
      { numRuns: 25 },
    )
})

test('odd names and empty things come back', async (context) => {
  const home = await temporaryFolder(context)
  const folder: Record<string, Tree> = {
    'line\nbreak': file('1'),
    '-rf': file('2'),
    '  spaces  ': file('3'),
    '\u{1f4f7} caf\u00e9': file('composed'),
    '\u{1f4f7} cafe\u0301': file('decomposed'),
    '\ufeffmark': file('4'),
    ['n'.repeat(255)]: file('5'),
    ['\u00e9'.repeat(127)]: { folder: { ['\u{1f4f7}'.repeat(63)]: file('6') } },
    'back\\slash': file('7'),
    '*': { folder: {} },
    empty: file(''),
    link: { link: '../../../etc/passwd' },
  }
  await makeTree(join(home, 'from'), { folder })
  const blocks = new MemoryBlocks()
  const { cid } = await addPath({ writer: blocks }, join(home, 'from'), { profile: tinyV1 })
  await write(blocks, cid, join(home, 'to'))
  assert.deepEqual(await readTree(join(home, 'to')), { folder })
})

test('a single file, and a single link, are written at the path', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  await write(blocks, await putRaw(blocks, 'x'), join(home, 'new', 'folder', 'f'))
  await write(blocks, await putSymlink(blocks, '/nowhere'), join(home, 'l'))
  assert.equal(await readFile(join(home, 'new', 'folder', 'f'), 'utf8'), 'x')
  assert.equal(await readlink(join(home, 'l')), '/nowhere')
  assert.deepEqual(await readdir(join(home, 'new', 'folder')), ['f'])
  await assert.rejects(write(blocks, await putNode(blocks, undefined), join(home, 'n')), { code: 'NOT_FILE' })
})

test('content that is there is kept, without fetching it', async (context) => {
  const home = await temporaryFolder(context)
  const path = join(home, 'f')
  const bytes = Buffer.alloc(95, 'abcdefghijk')
  await writeFile(path, bytes)
  for (const profile of [tinyV1, tinyV0]) {
    const blocks = new MemoryBlocks()
    const { cid } = await addPath({ writer: blocks }, path, { profile })
    await utimes(path, 5, 5)
    blocks.asked.length = 0
    const written = await write(blocks, cid, path)
    assert.deepEqual(written, { path, sizeBytes: 95, files: 1, kept: 1 })
    assert.equal(statSync(path).mtimeMs, 5000, 'it was not touched')
    if (profile.rawLeaves) assert.ok(blocks.asked.every((cid) => cid.code !== codecs.raw))
  }
})

test('other content is not overwritten unless asked', async (context) => {
  const home = await temporaryFolder(context)
  const path = join(home, 'f')
  const blocks = new MemoryBlocks()
  const cid = await putRaw(blocks, 'new')
  for (const other of ['longer', 'old']) {
    await writeFile(path, other)
    await assert.rejects(write(blocks, cid, path), { code: 'TARGET_EXISTS' })
    assert.equal(await readFile(path, 'utf8'), other)
    await write(blocks, cid, path, { overwrite: true })
    assert.equal(await readFile(path, 'utf8'), 'new')
  }
  await mkdir(join(home, 'd'))
  await assert.rejects(write(blocks, cid, join(home, 'd'), { overwrite: true }), { code: 'TARGET_EXISTS' })
  await assert.rejects(write(blocks, await putFolder(blocks, []), path), { code: 'TARGET_EXISTS' })
  const link = await putSymlink(blocks, 'x')
  await assert.rejects(write(blocks, link, path), { code: 'TARGET_EXISTS' })
  await write(blocks, link, path, { overwrite: true })
  assert.equal(await readlink(path), 'x')
})

test('extra files in a folder stay', async (context) => {
  const home = await temporaryFolder(context)
  await writeFile(join(home, 'mine'), 'mine')
  const blocks = new MemoryBlocks()
  await write(blocks, await putFolder(blocks, [['theirs', await putRaw(blocks, 'x')]]), home)
  assert.deepEqual((await readdir(home)).sort(), ['mine', 'theirs'])
})

test('names that lead elsewhere are refused, and nothing is written outside', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  const evil = await putRaw(blocks, 'evil')
  for (const name of ['..', '.', '', '../evil', '/tmp/evil', 'a/b', 'a\0b', 'n'.repeat(256)]) {
    for (const kind of ['file', 'folder', 'link'] as const) {
      const entry = {
        file: evil,
        folder: await putFolder(blocks, [['evil', evil]]),
        link: await putSymlink(blocks, 'x'),
      }
      const cid = await putFolder(blocks, [[name, entry[kind]]])
      const target = join(home, 'target')
      await assert.rejects(write(blocks, cid, target), { code: 'NAME_INVALID' }, JSON.stringify(name))
      assert.deepEqual(readdirSync(home), ['target'])
      assert.deepEqual(readdirSync(target), [])
    }
  }
})

test('two entries of one name are refused', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  const evil = await putRaw(blocks, 'evil')
  const link = await putSymlink(blocks, join(home, 'outside'))
  await mkdir(join(home, 'outside'))
  const folder = await putFolder(blocks, [['passwd', evil]])
  for (const entries of [
    [link, folder],
    [folder, link],
    [evil, folder],
    [evil, evil],
  ]) {
    const cid = await putFolder(
      blocks,
      entries.map((entry): [string, CID] => ['a', entry]),
    )
    await assert.rejects(write(blocks, cid, join(home, 'target')), { code: 'DAG_INVALID' })
    assert.deepEqual(readdirSync(join(home, 'outside')), [])
  }
  // In a HAMT the same name can sit in two slots.
  const links = [
    { name: '00a', cid: link },
    { name: '01a', cid: folder },
  ]
  const hamt = await putNode(blocks, { type: 'hamt-sharded-directory', fanout: 256n }, links)
  await assert.rejects(write(blocks, hamt, join(home, 'target')), { code: 'DAG_INVALID' })
  assert.deepEqual(readdirSync(join(home, 'outside')), [])
})

test('links that are there are not followed, also not those of an earlier export', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  const outside = join(home, 'outside')
  await mkdir(outside)
  await writeFile(join(outside, 'f'), 'precious')
  const link = await putSymlink(blocks, outside)
  await write(blocks, await putFolder(blocks, [['a', link]]), join(home, 'target'))
  const folder = await putFolder(blocks, [['f', await putRaw(blocks, 'evil')]])
  const second = await putFolder(blocks, [['a', folder]])
  for (const overwrite of [false, true])
    await assert.rejects(write(blocks, second, join(home, 'target'), { overwrite }), { code: 'TARGET_EXISTS' })
  // A link in the place of a file is replaced, never written through.
  await symlink(join(outside, 'f'), join(home, 'file'))
  const evil = await putRaw(blocks, 'longevil')
  await assert.rejects(write(blocks, evil, join(home, 'file')), { code: 'TARGET_EXISTS' })
  await write(blocks, evil, join(home, 'file'), { overwrite: true })
  assert.ok((await lstat(join(home, 'file'))).isFile())
  assert.equal(await readFile(join(outside, 'f'), 'utf8'), 'precious')
})

test('the target itself may be a link to a folder: the user named it', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  await mkdir(join(home, 'real'))
  await symlink('real', join(home, 'named'))
  await write(blocks, await putFolder(blocks, [['f', await putRaw(blocks, 'x')]]), join(home, 'named'))
  assert.deepEqual(readdirSync(join(home, 'real')), ['f'])
})

test('links with impossible targets are errors', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  for (const target of ['', 'a\0b'])
    await assert.rejects(write(blocks, await putSymlink(blocks, target), join(home, 'l')), { code: 'DAG_INVALID' })
})

test('a write that fails half way leaves no file, and the next one continues', async (context) => {
  const home = await temporaryFolder(context)
  const from = join(home, 'from')
  await makeTree(from, { folder: { a: file('first'), b: { file: new Uint8Array(995).fill(7) }, c: file('third') } })
  const blocks = new MemoryBlocks()
  const { cid } = await addPath({ writer: blocks }, from, { profile: { ...tinyV1, linksMax: 1000 } })
  const last = Block.of(codecs.raw, new Uint8Array(5).fill(7))
  blocks.delete(last.cid)
  await assert.rejects(write(blocks, cid, join(home, 'to')), { code: 'NOT_FOUND' })
  assert.ok(readdirSync(join(home, 'to')).every((name) => name === 'a' || name === 'c'))
  await blocks.put(last)
  await write(blocks, cid, join(home, 'to'))
  assert.deepEqual(await readTree(join(home, 'to')), await readTree(from))
})

test('a cancelled write ends with the reason and leaves no half file', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  const names = Array.from({ length: 100 }, (_, index) => `f${index}`)
  const entries = await Promise.all(
    names.map(async (name): Promise<[string, CID]> => [name, await putRaw(blocks, name)]),
  )
  const controller = new AbortController()
  const onProgress = ({ done }: Progress) => {
    if (done > 50) controller.abort(new Error('enough'))
  }
  const cid = await putFolder(blocks, entries)
  await assert.rejects(write(blocks, cid, join(home, 'to'), { signal: controller.signal, onProgress }), /enough/)
  const there = readdirSync(join(home, 'to'))
  assert.ok(there.length > 10 && there.length < 100)
  for (const name of there) assert.equal(await readFile(join(home, 'to', name), 'utf8'), name)
})

test('what a killed process left is removed, what others are writing stays', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  // The id of a process that has just ended is nobody's.
  const dead = execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }).trim()
  const names = {
    dead: `.f.potluck-${dead}-0123456789abcdef`,
    own: `.f.potluck-${process.pid}-0123456789abcdef`,
    alive: '.f.potluck-1-0123456789abcdef',
    user: '.f.potluck-notes',
  }
  const leftBehind = async (folder: string) => {
    await mkdir(folder, { recursive: true })
    for (const name of Object.values(names)) await writeFile(join(folder, name), 'half')
  }
  await leftBehind(join(home, 'sub'))
  await leftBehind(home)
  const folder = await putFolder(blocks, [['sub', await putFolder(blocks, [['f', await putRaw(blocks, 'x')]])]])
  await write(blocks, folder, home)
  assert.deepEqual(readdirSync(join(home, 'sub')).sort(), [names.alive, names.user, 'f'].sort())
  assert.deepEqual(readdirSync(home).sort(), [names.alive, names.user, 'sub'].sort())
})

test('temporary names fit, whatever the name', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 255 }), (name) => {
      const temporary = basename(temporaryPath(`/x/${name.replaceAll('/', '_')}`, random))
      assert.ok(Buffer.byteLength(temporary) <= 255)
      assert.match(temporary, /^\..*\.potluck-\d+-[0-9a-f]{16}$/s)
    }),
  )
})

test('names that differ in case are two files where the disk says so', async (context) => {
  const home = await temporaryFolder(context)
  await writeFile(join(home, 'probe'), '')
  const folds = existsSync(join(home, 'PROBE'))
  const blocks = new MemoryBlocks()
  const [one, two] = [await putRaw(blocks, '1'), await putRaw(blocks, '2')]
  const writing = write(
    blocks,
    await putFolder(blocks, [
      ['Photo', one],
      ['photo', two],
    ]),
    join(home, 'to'),
  )
  if (folds) return await assert.rejects(writing, { code: 'NAME_INVALID' })
  await writing
  assert.deepEqual(readdirSync(join(home, 'to')).sort(), ['Photo', 'photo'])
})

test('names that Windows would take for something else are refused there', () => {
  for (const name of ['a:b', 'a\\b', 'NUL', 'nul.txt', 'a.', 'a ', 'q?', 'tab\t']) {
    assert.throws(() => requireEntryName(name, 'win32'), { code: 'NAME_INVALID' })
    requireEntryName(name, 'linux')
  }
  requireEntryName('console.log', 'win32')
})

test('a folder that may not be written to is named', {
  skip: process.getuid?.() === 0 && 'root may write everywhere',
}, async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  chmodSync(home, 0o500)
  await assert.rejects(write(blocks, await putRaw(blocks, 'x'), join(home, 'f')), { code: 'PERMISSION', message: /f'/ })
})

test('a full disk is an error that says so', {
  skip: !existsSync('/dev/full') && 'this system has no /dev/full',
}, async () => {
  const { writeAt, openToRead } = await import('../../src/files/disk.ts')
  const { openSync, closeSync } = await import('node:fs')
  const descriptor = openSync('/dev/full', 'w')
  await assert.rejects(writeAt(descriptor, '/dev/full', 0, Buffer.from('x')), {
    code: 'DISK_FULL',
    message: /the disk is full/,
  })
  closeSync(descriptor)
  await assert.rejects(openToRead('/nowhere/at all'), { code: 'NOT_FOUND_PATH' })
})

test('progress counts the bytes that are there', async (context) => {
  const home = await temporaryFolder(context)
  const blocks = new MemoryBlocks()
  await writeFile(join(home, 'from'), Buffer.alloc(25))
  await truncate(join(home, 'from'), 25)
  const { cid } = await addPath({ writer: blocks }, join(home, 'from'), { profile: tinyV1 })
  const seen: number[] = []
  await write(blocks, cid, join(home, 'to'), { onProgress: ({ done }) => seen.push(done) })
  assert.deepEqual(seen, [10, 20, 25])
})
