// Adding from the disk: the same tree has the same CID as with ipfs-unixfs-importer, and everything that a disk can hold
// besides files is kept, passed over or refused as promised.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { chmod, mkdir, open, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Block } from '../../src/core/block.ts'
import type { Progress } from '../../src/core/progress.ts'
import { addPath, addStream, discardingWriter } from '../../src/files/add.ts'
import { closeFile, describeOpen, openToRead, readAt } from '../../src/files/disk.ts'
import { ignoring } from '../../src/files/ignore.ts'
import { listDirectory } from '../../src/files/list.ts'
import { unixfsV0, unixfsV1 } from '../../src/files/profiles.ts'
import { MemoryBlocks } from '../twins/memory-blocks.ts'
import { anyFolder, makeTree, oracleCid, type Tree, temporaryFolder, tinyV0, tinyV1 } from './trees.ts'

const file = (text: string): Tree => ({ file: Buffer.from(text) })
const everything = { profile: tinyV1, hidden: true }

async function namesIn(blocks: MemoryBlocks, cid: Parameters<typeof listDirectory>[1]): Promise<string[]> {
  return (await Array.fromAsync(listDirectory(blocks, cid, { recursive: true }))).map((entry) => entry.name).sort()
}

test('any tree has the CID that ipfs-unixfs-importer gives it', async (context) => {
  const home = await temporaryFolder(context)
  let runs = 0
  for (const profile of [tinyV1, tinyV0])
    await fc.assert(
      fc.asyncProperty(anyFolder, async (folder) => {
        const path = join(home, `tree-${runs++}`)
        await makeTree(path, { folder })
        const added = await addPath({ writer: discardingWriter }, path, { profile, hidden: true })
        assert.equal(added.cid.toString(), (await oracleCid(folder, profile)).toString())
      }),
      { numRuns: 40 },
    )
})

test('what was added is counted', async (context) => {
  const home = await temporaryFolder(context)
  const path = join(home, 'tree')
  await makeTree(path, { folder: { a: file('0123456789ab'), b: { folder: { c: file(''), d: { link: '../a' } } } } })
  const blocks = new MemoryBlocks()
  const added = await addPath({ writer: blocks }, path, everything)
  // Two leaves and a node for a; a leaf, a link and the two folders.
  assert.deepEqual(
    { ...added, cid: undefined, dagBytes: undefined },
    {
      cid: undefined,
      dagBytes: undefined,
      path,
      sizeBytes: 12,
      blocks: 7,
      files: 3,
      skipped: 0,
      misnamed: 0,
    },
  )
  assert.equal(blocks.size, 7)
})

test('hidden entries are left out unless asked for, and a hidden path that is named is taken', async (context) => {
  const home = await temporaryFolder(context)
  await makeTree(join(home, '.tree'), { folder: { '.a': file('1'), b: { folder: { '.c': file('2'), d: file('3') } } } })
  const blocks = new MemoryBlocks()
  const plain = await addPath({ writer: blocks }, join(home, '.tree'), { profile: tinyV1 })
  assert.deepEqual(await namesIn(blocks, plain.cid), ['b', 'b/d'])
  const all = await addPath({ writer: blocks }, join(home, '.tree'), everything)
  assert.deepEqual(await namesIn(blocks, all.cid), ['.a', 'b', 'b/.c', 'b/d'])
  assert.equal((await addPath({ writer: blocks }, join(home, '.tree', '.a'), { profile: tinyV1 })).sizeBytes, 1)
})

test('ignored entries are left out', async (context) => {
  const home = await temporaryFolder(context)
  const folder = { 'a.log': file('1'), 'b.txt': file('2'), logs: { folder: { 'c.txt': file('3') } } }
  await makeTree(join(home, 'tree'), { folder })
  const blocks = new MemoryBlocks()
  const added = await addPath({ writer: blocks }, join(home, 'tree'), { ...everything, ignore: ['*.log', 'logs/'] })
  assert.deepEqual(await namesIn(blocks, added.cid), ['b.txt'])
})

test('globs mean what they mean in a .gitignore', () => {
  const cases: [string[], string, boolean, boolean][] = [
    [['*.log'], 'a/b/c.log', false, true],
    [['*.log'], 'a/.c.log', false, true],
    [['.g*'], 'a/.git', true, true],
    [['g*'], 'a/.git', true, false],
    [['a/*.log'], 'a/c.log', false, true],
    [['a/*.log'], 'b/a/c.log', false, false],
    [['/c.log'], 'c.log', false, true],
    [['/c.log'], 'a/c.log', false, false],
    [['**/x/y'], 'a/.b/x/y', false, true],
    [['build/'], 'a/build', true, true],
    [['build/'], 'a/build', false, false],
    [['*.log', '!keep.log'], 'keep.log', false, false],
    [['!keep.log', '*.log'], 'keep.log', false, true],
    [[], 'a', false, false],
  ]
  for (const [globs, path, isFolder, expected] of cases)
    assert.equal(ignoring(globs)(path, isFolder), expected, `${globs} on ${path}`)
})

test('links inside a folder are kept, a link that is named is followed', async (context) => {
  const home = await temporaryFolder(context)
  await makeTree(join(home, 'tree'), { folder: { a: file('1'), gone: { link: 'nowhere' }, loop: { link: '.' } } })
  await symlink('tree', join(home, 'named'))
  const direct = await addPath({ writer: discardingWriter }, join(home, 'tree'), everything)
  const named = await addPath({ writer: discardingWriter }, join(home, 'named'), everything)
  assert.equal(named.cid.toString(), direct.cid.toString())
  assert.equal(named.path, join(home, 'named'))
  const folder = { a: file('1'), gone: { link: 'nowhere' }, loop: { link: '.' } }
  assert.equal(direct.cid.toString(), (await oracleCid(folder, tinyV1)).toString())
})

test('pipes, sockets and devices are passed over in a folder and refused by name, without waiting', async (context) => {
  const home = await temporaryFolder(context)
  await makeTree(join(home, 'tree'), { folder: { a: file('1') } })
  execFileSync('mkfifo', [join(home, 'tree', 'pipe')])
  const server = createServer().listen(join(home, 'tree', 'socket'))
  await new Promise((resolve) => server.once('listening', resolve))
  const notes: string[] = []
  const onProgress = ({ note }: Progress) => notes.push(note ?? '')
  const added = await addPath({ writer: discardingWriter }, join(home, 'tree'), { ...everything, onProgress })
  server.close()
  assert.equal(added.skipped, 2)
  assert.ok(notes.some((note) => note.startsWith('skipped') && note.includes('pipe')))
  assert.equal(added.cid.toString(), (await oracleCid({ a: file('1') }, tinyV1)).toString())
  for (const path of [join(home, 'tree', 'pipe'), '/dev/null'])
    await assert.rejects(addPath({ writer: discardingWriter }, path, everything), { code: 'SPECIAL_FILE' })
})

test('opening follows no link and waits for no pipe', async (context) => {
  const home = await temporaryFolder(context)
  await writeFile(join(home, 'file'), '1')
  await symlink('file', join(home, 'link'))
  execFileSync('mkfifo', [join(home, 'pipe')])
  await assert.rejects(openToRead(join(home, 'link')), { code: 'TARGET_EXISTS', message: /symbolic link/ })
  const pipe = await openToRead(join(home, 'pipe'))
  assert.ok((await describeOpen(pipe, 'pipe')).isFIFO())
  await closeFile(pipe, 'pipe')
})

test('a missing path and an unreadable file are named', async (context) => {
  const home = await temporaryFolder(context)
  const missing = join(home, 'missing')
  await assert.rejects(addPath({ writer: discardingWriter }, missing, everything), {
    code: 'NOT_FOUND_PATH',
    message: `cannot read '${missing}': there is no such file or folder`,
  })
  if (process.getuid?.() === 0) return // The superuser may read everything.
  await makeTree(join(home, 'tree'), { folder: { secret: file('1') } })
  await chmod(join(home, 'tree', 'secret'), 0)
  await assert.rejects(addPath({ writer: discardingWriter }, join(home, 'tree'), everything), {
    code: 'PERMISSION',
    message: /tree\/secret/,
  })
})

test('a name that is not UTF-8 is left out and counted, and the rest is as if it were not there', async (context) => {
  const home = Buffer.from(await temporaryFolder(context))
  await writeFile(Buffer.concat([home, Buffer.from('/fine \ufffd')]), '1')
  const first = await addPath({ writer: discardingWriter }, home.toString(), everything)
  assert.equal(first.files, 1)
  // Read as text, the first two have the name of the good one.
  await writeFile(Buffer.concat([home, Buffer.from('/fine \xff', 'latin1')]), '2')
  await mkdir(Buffer.concat([home, Buffer.from('/fine \xfe', 'latin1')]))
  await writeFile(Buffer.concat([home, Buffer.from('/bad \xff', 'latin1')]), '2')
  const notes: string[] = []
  const onProgress = ({ note }: Progress) => notes.push(note ?? '')
  const second = await addPath({ writer: discardingWriter }, home.toString(), { ...everything, onProgress })
  assert.deepEqual({ ...second, misnamed: 0 }, first)
  assert.equal(second.misnamed, 3)
  assert.ok(notes.some((note) => /skipped .*\/bad .*UTF-8/.test(note)))
})

test('a file that changes while it is read is an error, however it changes', async (context) => {
  const home = await temporaryFolder(context)
  const path = join(home, 'file')
  const changes: Record<string, () => void> = {
    grows: () => appendFileSync(path, 'more'),
    'grows and hides it': () => {
      appendFileSync(path, 'more')
      utimesSync(path, 5, 5)
    },
    shrinks: () => writeFileSync(path, 'less'),
    'is touched': () => utimesSync(path, 1, 1),
    'is replaced': () => {
      writeFileSync(`${path}.new`, Buffer.alloc(1000))
      utimesSync(`${path}.new`, 5, 5)
      renameSync(`${path}.new`, path)
    },
  }
  for (const [how, change] of Object.entries(changes)) {
    writeFileSync(path, Buffer.alloc(1000))
    utimesSync(path, 5, 5)
    let blocks = 0
    const writer = {
      ...discardingWriter,
      put: async (_block: Block) => {
        if (++blocks === 2) change()
      },
    }
    await assert.rejects(addPath({ writer }, path, everything), { code: 'FILE_CHANGED' }, how)
  }
})

test('references tell where each leaf lies, and need raw leaves', async (context) => {
  const home = await temporaryFolder(context)
  const path = join(home, 'tree', 'file')
  await makeTree(join(home, 'tree'), { folder: { file: file('0123456789abcdefghijXYZ'), empty: file('') } })
  const { mtimeMs } = await stat(path)
  const blocks = new MemoryBlocks()
  const added = await addPath({ writer: blocks }, join(home, 'tree'), { ...everything, reference: true })
  assert.deepEqual(
    blocks.references.map(({ reference }) => reference),
    [
      { path, offset: 0, length: 10, mtimeMs },
      { path, offset: 10, length: 10, mtimeMs },
      { path, offset: 20, length: 3, mtimeMs },
    ],
  )
  const copied = await addPath({ writer: discardingWriter }, join(home, 'tree'), everything)
  assert.equal(added.cid.toString(), copied.cid.toString())
  assert.equal(added.blocks, copied.blocks)
  await assert.rejects(addPath({ writer: blocks }, path, { profile: unixfsV0, reference: true }), {
    code: 'OPTION_CONFLICT',
  })
})

test('a wrapped file keeps its name', async (context) => {
  const home = await temporaryFolder(context)
  await writeFile(join(home, 'name'), '1')
  const added = await addPath({ writer: discardingWriter }, join(home, 'name'), { profile: unixfsV1, wrap: true })
  assert.equal(added.cid.toString(), (await oracleCid({ name: file('1') }, unixfsV1)).toString())
  await assert.rejects(
    addPath({ writer: discardingWriter }, '/dev/..', { profile: unixfsV1, wrap: true, ignore: ['*'] }),
    {
      code: 'NAME_INVALID',
    },
  )
})

test('progress counts bytes and never falls', async (context) => {
  const home = await temporaryFolder(context)
  await writeFile(join(home, 'file'), Buffer.alloc(95))
  const seen: Progress[] = []
  const onProgress = (progress: Progress) => seen.push(progress)
  await addPath({ writer: discardingWriter }, join(home, 'file'), { profile: tinyV1, onProgress })
  assert.deepEqual(
    seen.map(({ done }) => done),
    [10, 20, 30, 40, 50, 60, 70, 80, 90, 95],
  )
  assert.deepEqual(seen[0], { phase: 'reading', done: 10, total: 95, unit: 'bytes', note: join(home, 'file') })
})

test('bytes past 4 GiB of a file are read from there', async (context) => {
  const path = join(await temporaryFolder(context), 'sparse')
  const file = await open(path, 'w')
  await file.write(Buffer.from('far'), 0, 3, 5 * 2 ** 30)
  await file.close()
  const descriptor = await openToRead(path)
  assert.equal(String(await readAt(descriptor, path, 5 * 2 ** 30, 3)), 'far')
  assert.equal(await readAt(descriptor, path, 5 * 2 ** 30, 4), undefined)
  await closeFile(descriptor, path)
})

test('a cancelled add ends with the reason, and a failed write with the failure', async (context) => {
  const home = await temporaryFolder(context)
  const folder = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`f${index}`, file(`${index}`)]))
  await makeTree(join(home, 'tree'), { folder })
  const controller = new AbortController()
  const reason = new Error('enough')
  let running = 0
  const put = async () => {
    running++
    if (running === 10) controller.abort(reason)
  }
  const options = { ...everything, signal: controller.signal }
  await assert.rejects(addPath({ writer: { ...discardingWriter, put } }, join(home, 'tree'), options), reason)
  const full = new Error('disk full')
  let puts = 0
  const failing = async () => {
    if (++puts > 5) throw full
  }
  await assert.rejects(addPath({ writer: { ...discardingWriter, put: failing } }, join(home, 'tree'), everything), full)
  const after = puts
  await new Promise(setImmediate)
  assert.equal(puts, after, 'nothing runs on')
})

test('a stream that hangs does not keep a cancelled add', async () => {
  const controller = new AbortController()
  async function* silent(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first')
    queueMicrotask(() => controller.abort(new Error('enough')))
    await new Promise(() => {})
  }
  await assert.rejects(
    addStream({ writer: discardingWriter }, silent(), { profile: tinyV1, signal: controller.signal }),
    /enough/,
  )
})

test('an excepted folder is passed over, and refused when it is named', async (context) => {
  const home = await temporaryFolder(context)
  const [secret, beside] = [join(home, 'user', 'secret'), join(home, 'user', 'secret too')]
  await makeTree(join(home, 'user'), { folder: { secret: { folder: { key: file('k') } }, 'secret too': file('x') } })
  await symlink(secret, join(home, 'link'))
  const options = { ...everything, except: secret }
  const blocks = new MemoryBlocks()
  const added = await addPath({ writer: blocks }, join(home, 'user'), options)
  assert.deepEqual(await namesIn(blocks, added.cid), ['secret too'])
  assert.equal(added.skipped, 1)
  for (const path of [secret, join(secret, 'key'), join(home, 'link')])
    await assert.rejects(addPath({ writer: discardingWriter }, path, options), { code: 'SPECIAL_FILE' })
  await addPath({ writer: discardingWriter }, beside, options)
})

test('deep and wide folders', async (context) => {
  const home = await temporaryFolder(context)
  let path = join(home, 'deep')
  await mkdir(path)
  for (let depth = 0; depth < 100; depth++) {
    path = join(path, 'd')
    await mkdir(path)
  }
  await writeFile(join(path, 'f'), 'x')
  const added = await addPath({ writer: discardingWriter }, join(home, 'deep'), everything)
  assert.equal(added.blocks, 102)
  await rm(join(home, 'deep'), { recursive: true })
})
