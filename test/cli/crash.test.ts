// Commands and peers that are killed outright on their way, as by a power cut or an impatient user. Running the command again
// finishes the work; what is then there is what was added, and every block in the store is sound.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { seededRandom } from '../../src/base/random.ts'
import { Program } from '../twins/program.ts'
import { until } from '../twins/until.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())
const random = seededRandom(46)
const folder = program.path('photos')
/** Blocks of the folder that have files of their own. */
const largeBlocks = 48

before(async () => {
  await mkdir(join(folder, 'small'), { recursive: true })
  for (let index = 0; index < 4; index++)
    await writeFile(join(folder, `film ${index}`), randomBytes((largeBlocks / 4) << 20))
  for (let index = 0; index < 50; index++)
    await writeFile(join(folder, 'small', `${index}`), randomBytes(3_000 + index))
})

/** Files of blocks in a home. */
async function blockFiles(home: string): Promise<number> {
  const entries = await readdir(join(home, 'blocks'), { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).length
}

/** Resolves at a random moment on the way from nothing to the whole folder: when a home has so many more block files. */
async function somewhere(home: string): Promise<void> {
  const present = await blockFiles(home)
  const more = 1 + Math.floor(random.unit() * (largeBlocks / 6))
  await until('more blocks are on the disk', async () => (await blockFiles(home)) >= present + more)
}

async function assertSound(home: string): Promise<void> {
  const verified = await program.run(home, ['verify'])
  assert.equal(verified.code, 0, verified.stderr)
}

async function assertSame(copy: string): Promise<void> {
  const names = async (path: string) => (await readdir(path, { recursive: true })).sort()
  assert.deepEqual(await names(copy), await names(folder))
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    assert.deepEqual(await readFile(join(copy, path.slice(folder.length))), await readFile(path), path)
  }
}

test('an add that was killed several times is finished by the next one', async () => {
  const home = program.path('alone')
  let killed = 0
  for (let kill = 0; kill < 3; kill++) {
    const child = program.spawn(['--home', home, 'add', '--no-pin', folder])
    const exited = once(child, 'exit')
    await Promise.race([somewhere(home), exited])
    child.kill('SIGKILL')
    if ((await exited)[1] === 'SIGKILL') killed++
    if (kill === 1) await assertSound(home)
  }
  assert.ok(killed > 0, 'at least one was killed before it had ended')
  const added = await program.run(home, ['add', '--no-pin', folder])
  assert.equal(added.code, 0, added.stderr)
  await assertSound(home)
  assert.equal(await blockFiles(home), largeBlocks, 'what the killed ones left behind is gone')
  const copy = program.path('alone copy')
  const got = await program.run(home, ['get', String(added.lines[0]?.cid), '-o', copy])
  assert.equal(got.code, 0, got.stderr)
  await assertSame(copy)
})

test('peers that are killed while they add and fetch start again and finish', async () => {
  let anna = await program.start('anna')
  const adding = anna.run('add', folder)
  await Promise.race([somewhere(anna.home), adding])
  await anna.end('SIGKILL')
  const failed = await adding
  if (failed.code !== 0) assert.match(failed.stderr, /^potluck: /)
  anna = await program.start('anna')
  const added = await anna.run('add', folder)
  assert.equal(added.code, 0, added.stderr)
  const cid = String(added.lines[0]?.cid)
  const invited = await anna.run('invite')
  const joined = await program.run(program.path('ben'), ['join', String(invited.lines[0]?.line)])
  assert.equal(joined.code, 0, joined.stderr)
  let ben = await program.start('ben')

  const copy = program.path('copy')
  let killed = 0
  for (let kill = 0; kill < 3; kill++) {
    const getting = ben.run('get', cid, '-o', copy)
    await Promise.race([somewhere(ben.home), getting])
    await ben.end('SIGKILL')
    if ((await getting).code !== 0) killed++
    ben = await program.start('ben')
  }
  assert.ok(killed > 0, 'at least one was killed before it had ended')
  const got = await ben.run('get', cid, '-o', copy)
  assert.equal(got.code, 0, got.stderr)
  await assertSame(copy)
  for (const peer of [anna, ben]) await assertSound(peer.home)
  assert.deepEqual(
    (await anna.run('pin', 'ls')).lines.map((pin) => pin.cid),
    [cid],
  )
})
