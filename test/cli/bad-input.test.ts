// What goes wrong at a command line: each gets a clear sentence on stderr, nothing on stdout, and its exit code.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { after, test } from 'node:test'
import { Program } from '../twins/program.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())
const home = program.path('home')
await writeFile(program.path('garbage.car'), 'this is no CAR')
const absent = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
const blake3 = 'bafkr4ieujft6nsbhg5ibsilzk2ua4eg7kbjpecilsrzjsteusajj6bhtx4'

const cases: [what: string, args: string[], code: number, sentence: RegExp][] = [
  ['no such command', ['fetch', 'x'], 2, /unknown command/],
  ['no such flag', ['add', '--fast', 'x'], 2, /unknown option/],
  ['an argument too few', ['get'], 2, /missing required argument/],
  ['a wrong time', ['--timeout', 'soon', 'status'], 2, /'soon' is not a time/],
  ['a wrong size', ['cat', absent, '--length', 'much'], 2, /'much' is not a size/],
  ['a missing path', ['add', '--no-pin', 'nowhere/to/be/found'], 3, /nowhere\/to\/be\/found/],
  ['a name for two paths', ['add', '--name', 'a', '.', '.'], 2, /--name takes one path/],
  ['a name that is none', ['add', '--name', '../a', '.'], 2, /cannot be a name/],
  ['a name for nothing', ['add', '--name', 'a', '--only-hash', '.'], 2, /--only-hash/],
  ['an unknown profile', ['add', '--no-pin', '--profile', 'best', '.'], 2, /best/],
  ['no copies at all', ['add', '--copies', '0', '.'], 2, /--copies takes a number from 1 to 16, not '0'/],
  ['copies of what is not kept', ['add', '--no-pin', '--copies', '2', '.'], 2, /not pinned has no copies/],
  ['a stay that is no time', ['pin', 'add', '--expires', 'soon', absent], 2, /'soon' is not a time/],
  ['copies that need a peer', ['add', '--copies', '2', '.'], 6, /no peer is running/],
  ['a wrong grace', ['start', '--repair-grace', '1y'], 2, /--repair-grace: 'repair.grace' must be a time such as 12h/],
  ['a preview of one pin', ['status', absent, '--preview', 'leave'], 2, /of all pins, not of one/],
  ['a preview without a peer', ['status', '--preview', 'leave'], 6, /no peer is running/],
  ['not a CID', ['get', 'bafyphotos'], 2, /'bafyphotos' is not a CID/],
  ['a name without a peer', ['get', 'photos'], 6, /names need a running peer/],
  ['a CID of an unknown hash', ['cat', blake3], 1, /multihash 0x1e/],
  ['a path that climbs', ['get', `${absent}/../..`], 2, /'\.\.'/],
  ['content that is nowhere', ['cat', absent], 6, /no peer is running/],
  ['garbage as CAR', ['import', program.path('garbage.car')], 5, /CAR/],
  ['a missing CAR', ['import', 'missing.car'], 3, /missing\.car/],
  ['the home with its secrets', ['add', '--no-pin', home], 1, /home of this peer/],
  ['a peer that is needed', ['peers'], 6, /no peer is running: start one with 'potluck start'/],
  ['a peer that is needed to pin', ['add', '.'], 6, /no peer is running/],
  ['an invite line with a typo', ['join', 'potluck1-abc'], 2, /invite line/],
  ['an unknown key', ['config', 'colour'], 2, /no key 'colour'/],
  ['a wrong value', ['config', 'api', '0.0.0.0:1'], 2, /loopback/],
  [
    'not a multiaddr to listen on',
    ['start', '--listen', 'nonsense', '--api', '127.0.0.1:0', '--no-mdns', '--no-upnp'],
    2,
    /nonsense/,
  ],
  ['no such benchmark', ['bench', 'luck'], 2, /no benchmark 'luck'/],
]

for (const [what, args, code, sentence] of cases)
  test(`${what}: exit code ${code}`, async () => {
    const ran = await program.run(home, args)
    assert.match(ran.stderr, sentence)
    assert.equal(ran.code, code, ran.stderr)
    assert.equal(ran.stdout, '')
    assert.doesNotMatch(ran.stderr, /unexpected| {4}at /)
  })

test('a port in use is named', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  const listen = await program.run(home, [
    'start',
    '--listen',
    `/ip4/127.0.0.1/tcp/${port}`,
    '--api',
    '127.0.0.1:0',
    '--no-mdns',
    '--no-upnp',
  ])
  const api = await program.run(home, [
    'start',
    '--listen',
    '/ip4/127.0.0.1/tcp/0',
    '--api',
    `127.0.0.1:${port}`,
    '--no-mdns',
    '--no-upnp',
  ])
  server.close()
  for (const { code, stderr } of [listen, api]) {
    assert.equal(code, 1, stderr)
    assert.match(stderr, new RegExp(`${port}.*in use`))
  }
})

test('a peer that is told to stop while it starts stops', { timeout: 20_000 }, async () => {
  const starting = program.path('starting')
  await mkdir(starting)
  const watcher = watch(starting)
  const flags = ['--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0', '--no-mdns', '--no-upnp']
  const child = program.spawn(['--home', starting, 'start', ...flags])
  for (let name = ''; name !== 'lock'; ) [, name] = await once(watcher, 'change')
  watcher.close()
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('help shows examples and exit codes, for the program and each command', async () => {
  const help = await program.run(home, ['--help'])
  assert.equal(help.code, 0)
  for (const command of [
    'start',
    'add',
    'get',
    'cat',
    'ls',
    'find',
    'pin',
    'gc',
    'verify',
    'export',
    'import',
    'peers',
    'connect',
    'invite',
    'join',
    'status',
    'config',
    'bench',
  ]) {
    assert.match(help.stdout, new RegExp(`^  ${command}\\b`, 'm'))
    const own = await program.run(home, command === 'pin' ? ['pin', 'add', '--help'] : [command, '--help'])
    assert.equal(own.code, 0)
    assert.match(own.stdout, /Examples:[\s\S]*Exit codes: 0 done/)
  }
})

test('a name that is not UTF-8 costs only what it names, and is told', async () => {
  const folder = program.path('names')
  await mkdir(folder)
  await writeFile(Buffer.concat([Buffer.from(`${folder}/bad `), Buffer.of(0xff)]), '1')
  await writeFile(`${folder}/good`, '2')
  const added = await program.run(home, ['add', '--no-pin', folder, folder])
  assert.equal(added.code, 1)
  assert.match(added.stderr, /everything else was added, but 2 files or folders were left out/)
  assert.deepEqual(
    added.lines.map(({ size, misnamed }) => [size, misnamed]),
    [
      [1, 1],
      [1, 1],
    ],
  )
})

test('what is there already is replaced only when asked, and how to ask is said', async () => {
  const added = await program.run(home, ['add', '--no-pin', '-'], Buffer.from('new'))
  const cid = String(added.lines[0]?.cid)
  const target = program.path('target')
  await writeFile(target, 'old')
  const refused = await program.run(home, ['get', cid, '-o', target])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /only with --overwrite/)
  assert.equal((await program.run(home, ['get', cid, '-o', target, '--overwrite'])).code, 0)
})

test('a peer whose time is up stops cleanly and says so', async () => {
  const peer = await program.start('timed', '--timeout', '2s')
  const [code] = (await once(peer.process, 'exit')) as [number]
  assert.equal(code, 124)
  // The home is free again.
  assert.equal((await program.run(peer.home, ['status'])).code, 0)
})
