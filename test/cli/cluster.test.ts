// A cluster of real processes, as the README tells it: members, names on all of them, a conflict and its merge, a minority
// that is refused, members that die and come back, one that leaves and one that is forgotten. The two sides of a conflict
// are made by running them one after the other.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Program, type RunningPeer } from '../twins/program.ts'
import { until } from '../twins/until.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())

const names = ['anna', 'ben', 'cleo']
let peers: RunningPeer[]
const [anna, ben, cleo] = [() => peers[0]!, () => peers[1]!, () => peers[2]!]

async function alive(at: RunningPeer): Promise<string[]> {
  const { lines } = await at.run('members')
  return lines.filter(({ liveness }) => liveness === 'alive').map(({ peerId }) => String(peerId))
}

async function get(at: RunningPeer, name: string, ...flags: string[]): Promise<Record<string, unknown>> {
  const { lines, stderr } = await at.run('name', 'get', name, ...flags)
  assert.equal(stderr, '')
  return lines[0]!
}

before(async () => {
  peers = await program.cluster(names)
  for (const peer of peers) await until('all members are seen', async () => (await alive(peer)).length === names.length)
})

test('members shows everybody, with zone, capacity and share', async () => {
  const { lines } = await ben().run('members')
  assert.deepEqual(lines.map(({ peerId }) => peerId).toSorted(), peers.map(({ peerId }) => peerId).toSorted())
  assert.equal(lines.filter(({ self }) => self).length, 1)
  const shares = lines.map(({ share }) => Number(share))
  assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9)
  for (const { state, zone, capacity } of lines) assert.deepEqual([state, zone, capacity], ['joined', 'home', 100e9])
})

test('a name that is set on one is read on all, and stands for content', async () => {
  const added = await anna().run('add', new URL('../../LICENSE', import.meta.url).pathname)
  const cid = String(added.lines[0]?.cid)
  const set = await anna().run('name', 'set', 'team/handbook', cid, '-w', 'all')
  assert.deepEqual([set.code, set.lines[0]?.acks, set.lines[0]?.wanted], [0, 3, 3])
  for (const peer of peers) assert.equal((await get(peer, 'team/handbook')).value, cid)
  const cat = await cleo().run('cat', 'team/handbook')
  assert.match(cat.stdout, /MIT License/)
  const got = await cleo().run('get', 'team/handbook', '-o', program.path('got'))
  assert.deepEqual([got.code, got.lines[0]?.cid, got.lines[0]?.path], [0, cid, program.path('got')], got.stderr)
  const car = program.path('handbook.car')
  const exported = await cleo().run('export', 'team/handbook', '-o', car)
  assert.deepEqual([exported.code, exported.lines[0]?.cid], [0, cid], exported.stderr)
  const listed = await ben().run('name', 'ls', 'team/')
  assert.deepEqual(
    listed.lines.map(({ name }) => name),
    ['team/handbook'],
  )
})

test('a name that is given while adding stands for content in every command', async () => {
  const added = await anna().run('add', new URL('../../LICENSE', import.meta.url).pathname, '--name', 'team/licence')
  assert.equal(added.code, 0, added.stderr)
  const [{ cid, name } = {}] = added.lines
  assert.deepEqual([(await get(ben(), 'team/licence')).value, name], [cid, 'team/licence'])
  const output = program.path('licence')
  const got = await ben().run('get', 'team/licence', '-o', output)
  assert.deepEqual([got.code, got.lines[0]?.cid], [0, cid], got.stderr)
  const exported = await ben().run('export', 'team/licence', '-o', `${output}.car`)
  assert.deepEqual([exported.code, exported.lines[0]?.cid], [0, cid], exported.stderr)
})

test('compare and set writes only over what was seen', async () => {
  const first = await anna().run('name', 'set', 'motd', 'one', '--if-version', 'none')
  const version = String(first.lines[0]?.version)
  assert.equal((await ben().run('name', 'set', 'motd', 'two', '--if-version', version)).code, 0)
  const late = await cleo().run('name', 'set', 'motd', 'three', '--if-version', version)
  assert.equal(late.code, 1)
  assert.match(late.stderr, /'motd' has another version/)
  assert.equal((await get(cleo(), 'motd')).value, 'two')
})

test('a minority is refused when it is strict, and goes on when it is not; conflicts are shown until merged', async () => {
  await Promise.all([ben().end('SIGKILL'), cleo().end('SIGKILL')])
  const strict = await anna().run('name', 'set', 'door', 'red', '--strict')
  assert.equal(strict.code, 4)
  assert.match(strict.stderr, /wants 2 of 3 owners and 1 answered/)
  assert.equal((await anna().run('name', 'get', 'door')).code, 3, 'what was refused is not there')
  const own = await anna().run('name', 'set', 'door', 'green')
  assert.deepEqual([own.code, own.lines[0]?.acks, own.lines[0]?.wanted], [0, 1, 3])
  assert.equal((await anna().run('name', 'get', 'door', '-r', 'quorum')).code, 4)
  await anna().end('SIGKILL')
  const others = await Promise.all([program.again('ben', ben()), program.again('cleo', cleo())])
  const other = await others[0].run('name', 'set', 'door', 'blue')
  assert.equal(other.code, 0, other.stderr)
  peers = [await program.again('anna', anna()), ...others]
  const shown = async () => {
    const { value, conflicts } = await get(cleo(), 'door')
    return [value, ...(conflicts as string[])].toSorted().join()
  }
  await until('both values are seen', async () => (await shown()) === 'blue,green')
  const merged = await cleo().run('name', 'set', 'door', '--merge', 'violet')
  assert.deepEqual([merged.lines[0]?.value, merged.lines[0]?.conflicts], ['violet', []], merged.stderr)
  await until('the merge is everywhere', async () => (await get(anna(), 'door')).value === 'violet')
  assert.deepEqual((await get(anna(), 'door')).conflicts, [])
  const history = await anna().run('name', 'history', 'door')
  assert.ok(history.lines.some(({ value }) => value === 'green'))
})

test('what was acknowledged survives kill -9 of two of three, at once', async () => {
  const written = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      peers[index % 3]!.run('name', 'set', `log/${index}`, `line ${index}`, '-w', 'quorum'),
    ),
  )
  for (const { code, stderr } of written) assert.equal(code, 0, stderr)
  await Promise.all([ben().end('SIGKILL'), cleo().end('SIGKILL')])
  peers = [anna(), ...(await Promise.all([program.again('ben', ben()), program.again('cleo', cleo())]))]
  await until('they are back', async () => (await alive(anna())).length === 3)
  for (let index = 0; index < 20; index++) {
    const at = peers[(index + 1) % 3]!
    await until('all owners answer', async () => (await at.run('name', 'get', `log/${index}`, '-r', 'all')).code === 0)
    assert.equal((await get(at, `log/${index}`)).value, `line ${index}`)
  }
})

test('watch tells of changes as they happen', async () => {
  const child = program.spawn(['--home', cleo().home, '--json', 'name', 'watch', 'news/'])
  const seen: string[] = []
  child.stdout?.on('data', (data) => seen.push(String(data)))
  await until('the watcher hears of a change', async () => {
    await anna().run('name', 'set', 'news/today', `rain ${seen.length}`)
    return seen.join('').includes('"news/today"')
  })
  child.kill('SIGINT')
})

test('a peer that leaves is out of the ring, keeps nothing and is alone; the names stay', async () => {
  const left = await cleo().run('leave')
  assert.equal(left.code, 0, left.stderr)
  await until('the others see it go', async () => {
    const { lines } = await anna().run('members')
    return lines.find(({ peerId }) => peerId === cleo().peerId)?.state === 'left'
  })
  assert.equal((await get(anna(), 'door', '-r', 'all')).value, 'violet')
  const alone = await cleo().run('members')
  assert.deepEqual(
    alone.lines.map(({ peerId }) => peerId),
    [cleo().peerId],
  )
  assert.equal((await cleo().run('name', 'get', 'door')).code, 3)
})

test('a lost member can be forgotten, one that is alive cannot', async () => {
  const refused = await anna().run('forget', ben().peerId)
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /is alive/)
  await ben().end('SIGKILL')
  await until('its death is noticed', async () => !(await alive(anna())).includes(ben().peerId))
  assert.equal((await anna().run('forget', ben().peerId)).code, 0)
  const { lines } = await anna().run('members')
  assert.ok(!lines.some(({ peerId }) => peerId === ben().peerId))
  assert.equal((await get(anna(), 'door', '-r', 'all')).acks, 1)
})

test('a machine that was forgotten is told so, and comes back as a new member', async () => {
  const line = String((await anna().run('invite')).lines[0]?.line)
  peers[1] = await program.again('ben', ben())
  const old = ben().peerId
  await until('it is told', async () => (await ben().run('name', 'get', 'door')).code === 7)
  for (const args of [['members'], ['leave'], ['name', 'set', 'door', 'red'], ['cat', 'team/handbook']]) {
    const { code, stderr } = await ben().run(...args)
    assert.deepEqual([code, /was forgotten by .*'potluck join LINE'/.test(stderr)], [7, true], stderr)
  }
  const shutOut = await anna().run('rotate', '--exclude', old)
  assert.equal(shutOut.code, 0, shutOut.stderr)
  assert.equal((await anna().run('rotate', '--exclude', 'nobody')).code, 2)
  const late = await ben().run('join', line)
  assert.notEqual(late.code, 0, 'the line is of the secret that was replaced')
  const joined = await ben().run('join', String((await anna().run('invite')).lines[0]?.line))
  assert.equal(joined.code, 0, joined.stderr)
  await until('it is back', async () => (await alive(anna())).length === 2)
  assert.equal((await alive(anna())).includes(old), false)
  assert.equal((await get(ben(), 'door', '-r', 'all')).value, 'violet')
})

test('a peer does not begin to leave while nobody could take over what it keeps', async () => {
  const lone = await program.start('lone')
  assert.equal((await lone.run('name', 'set', 'only/copy', 'here')).code, 0)
  const refused = await lone.run('leave')
  assert.deepEqual([refused.code, /nobody can take over/.test(refused.stderr)], [4, true], refused.stderr)
  assert.equal((await get(lone, 'only/copy')).value, 'here')
})
