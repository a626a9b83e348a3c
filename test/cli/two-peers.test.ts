// Two machines, as the README tells it: one adds a folder with odd names, the other joins by one line, finds it and fetches
// it. Then the things that users do next: resume, pin, collect, verify, export, import.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Program, type RunningPeer } from '../twins/program.ts'
import { until } from '../twins/until.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())

let anna: RunningPeer
let ben: RunningPeer
let cid: string
const large = randomBytes(5 << 20)
const folder = program.path('photos ☀️')
const odd = ['-rf', 'two\nlines', 'ü\u0308', 'a'.repeat(255), ' spaces ', 'quote\'"$(x)']

before(async () => {
  await mkdir(join(folder, 'deep', 'empty'), { recursive: true })
  await writeFile(join(folder, 'large.bin'), large)
  await writeFile(join(folder, 'empty.txt'), '')
  await symlink('../large.bin', join(folder, 'deep', 'link'))
  for (const name of odd)
    await writeFile(join(folder, 'deep', name), `named ${name}`)
    // ben keeps nothing for others, so that what he reads comes from anna.
  ;[anna, ben] = (await program.cluster(['anna', 'ben'], '--capacity', '0')) as [RunningPeer, RunningPeer]
  const added = await anna.run('add', folder)
  assert.equal(added.code, 0, added.stderr)
  cid = String(added.lines[0]?.cid)
  const { size, blocks, held } = added.lines[0] ?? {}
  assert.deepEqual(added.lines, [{ cid, path: folder, size, blocks, skipped: 0, misnamed: 0, copies: 3, held }])
})

test('the first line of start says who and where', () => {
  assert.match(anna.peerId, /^12D3KooW/)
  assert.match(String(anna.addresses[0]), /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW/)
  assert.match(anna.api, /^http:\/\/127\.0\.0\.1:\d+$/)
})

test('the other peer finds it', async () => {
  const found = await ben.run('find', cid)
  assert.equal(found.code, 0, found.stderr)
  assert.ok(found.lines.some(({ peerId }) => peerId === anna.peerId))
})

test('the other peer gets it, every name and byte', async () => {
  const target = program.path('fetched')
  const got = await ben.run('get', cid, '-o', target)
  assert.equal(got.code, 0, got.stderr)
  const [result] = got.lines
  assert.equal(result?.cid, cid)
  assert.equal(result?.path, target)
  assert.ok(Number(((result?.sources ?? {}) as Record<string, number>)[anna.peerId]) > large.byteLength)
  assert.deepEqual(await readFile(join(target, 'large.bin')), large)
  assert.deepEqual((await readdir(join(target, 'deep'))).sort(), [...odd, 'empty', 'link'].sort())
  for (const name of odd) assert.equal(await readFile(join(target, 'deep', name), 'utf8'), `named ${name}`)
  assert.equal(await readlink(join(target, 'deep', 'link')), '../large.bin')
  assert.deepEqual(await readdir(join(target, 'deep', 'empty')), [])
  assert.equal(await readFile(join(target, 'empty.txt'), 'utf8'), '')
  const again = await ben.run('get', cid, '-o', target)
  assert.deepEqual(again.lines[0]?.sources, {}, 'the second time everything is here')
})

test('paths, ranges and listings', async () => {
  const range = await ben.run('cat', `${cid}/large.bin`, '--offset', '1048570', '--length', '20')
  assert.equal(range.code, 0, range.stderr)
  const whole = ben.run('ls', '-r', cid)
  const names = (await whole).lines.map(({ name }) => name)
  assert.ok(names.includes('deep/empty') && names.includes('deep/two\nlines') && names.includes('large.bin'))
  const missing = await ben.run('cat', `${cid}/deep/nothing`)
  assert.equal(missing.code, 3)
  assert.match(missing.stderr, /nothing/)
  assert.equal(missing.stdout, '')
})

test('a pin keeps it through gc; without one it goes, on every member', async () => {
  const blocksOf = async (peer: RunningPeer) => {
    await peer.run('gc')
    const [{ store } = {}] = (await peer.run('status')).lines
    return (store as { blocks: number }).blocks
  }
  assert.equal((await ben.run('pin', 'add', cid, '--wait', '1')).code, 0)
  assert.ok((await blocksOf(ben)) > 0)
  const [pin, ...others] = (await ben.run('pin', 'ls')).lines
  assert.deepEqual([pin?.cid, pin?.copies, pin?.held, pin?.holders, others], [cid, 3, 1, [anna.peerId], []])
  assert.match(String(pin?.why), /3 copies are wanted/)
  const [page] = (await ben.run('status', cid)).lines
  assert.deepEqual(page, pin)
  assert.equal((await ben.run('verify')).code, 0)
  assert.equal((await ben.run('pin', 'rm', cid)).code, 0)
  await until('nothing of it is left', async () => (await blocksOf(ben)) + (await blocksOf(anna)) === 0)
  assert.equal((await ben.run('pin', 'rm', cid)).code, 3)
  assert.deepEqual((await anna.run('pin', 'ls')).lines, [])
  assert.equal((await anna.run('add', folder)).lines[0]?.cid, cid)
})

test('copies that nobody can hold are asked for, told, and not waited for', async () => {
  const [leaf] = (await anna.run('ls', cid)).lines.filter(({ name }) => name === 'large.bin')
  const many = await anna.run('pin', 'add', String(leaf?.cid), '--copies', '4')
  assert.equal(many.code, 0, many.stderr)
  assert.match(many.stderr, /there is 1 member that can hold it; it gets a second copy when another joins/)
  const waited = await anna.run('pin', 'add', String(leaf?.cid), '--copies', '4', '--wait', '2')
  assert.equal(waited.code, 4, waited.stderr)
  const offloaded = await anna.run('add', join(folder, 'large.bin'), '--offload')
  assert.equal(offloaded.code, 4)
  assert.match(offloaded.stderr, /stays here/)
  assert.equal((await anna.run('gc')).code, 0)
  const [preview] = (await anna.run('status', '--preview', 'leave')).lines
  assert.deepEqual([preview?.change, preview?.peerId], ['leave', anna.peerId])
  const used = (await ben.run('members')).lines.map(({ used }) => Number(used) > large.byteLength)
  assert.deepEqual(used.toSorted(), [false, true])
  assert.equal((await ben.run('pin', 'rm', String(leaf?.cid))).code, 0)
})

test('CAR out of one peer and into a store without a running peer', async () => {
  const car = program.path('photos.car')
  assert.equal((await anna.run('export', cid, '-o', car)).code, 0)
  const home = program.path('offline')
  const imported = await program.run(home, ['import', car])
  assert.equal(imported.code, 0, imported.stderr)
  assert.equal(imported.lines[0]?.cid, cid)
  assert.equal((await program.run(home, ['verify'])).code, 0)
  assert.deepEqual(
    (await program.run(home, ['pin', 'ls'])).lines.map((pin) => pin.cid),
    [cid],
  )
  const truncated = program.path('truncated.car')
  await writeFile(truncated, (await readFile(car)).subarray(0, 3_000_000))
  const broken = await program.run(home, ['import', truncated])
  assert.equal(broken.code, 5)
  assert.match(broken.stderr, /truncated|ends/i)
})

test('stdin is a file like any other', async () => {
  const added = await program.run(program.path('stdin'), ['add', '--no-pin', '-'], Buffer.from('hello world'))
  assert.deepEqual(added.lines[0], {
    cid: 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e',
    path: '-',
    size: 11,
    blocks: 1,
    skipped: 0,
    misnamed: 0,
  })
  const old = await program.run(
    program.path('stdin'),
    ['add', '--only-hash', '--profile', 'unixfs-v0-2015', '-'],
    Buffer.from('hello world'),
  )
  assert.equal(old.lines[0]?.cid, 'Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD')
})

test('a hash alone needs no content in the store, and pins none that is there', async () => {
  const home = program.path('hashing')
  const hash = async (text: string) => {
    const { code, stderr, lines } = await program.run(home, ['add', '--only-hash', '-'], Buffer.from(text))
    assert.equal(code, 0, stderr)
    return lines[0]?.cid
  }
  const there = await program.run(home, ['add', '--no-pin', '-'], Buffer.from('hello world'))
  assert.equal(await hash('hello world'), there.lines[0]?.cid)
  const elsewhere = String(await hash('goodbye'))
  assert.deepEqual((await program.run(home, ['pin', 'ls'])).lines, [])
  assert.equal((await program.run(home, ['cat', elsewhere])).code, 6)
})

test('a peer killed outright starts again with all it had, a second one in its home is refused', async () => {
  await anna.end('SIGKILL')
  anna = await program.start('anna')
  assert.equal((await anna.run('verify')).code, 0)
  assert.deepEqual(
    (await anna.run('pin', 'ls')).lines.map((pin) => pin.cid),
    [cid],
  )
  const second = await program.run(anna.home, [
    'start',
    '--listen',
    '/ip4/127.0.0.1/tcp/0',
    '--api',
    '127.0.0.1:0',
    '--no-mdns',
    '--no-upnp',
  ])
  assert.equal(second.code, 1)
  assert.match(second.stderr, /already running/)
  const other = await program.start('somebody')
  const refused = await other.run('connect', String(anna.addresses[0]))
  assert.equal(refused.code, 7, refused.stderr)
  assert.equal(await other.end('SIGTERM'), 0)
  assert.equal(await ben.end('SIGINT'), 0)
})
