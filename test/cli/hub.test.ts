// A hub in real processes: it has the network key alone, brings two members together, and answers over HTTP who provides what.
// Then it dies, and nothing that was there needs it: the members talk, and meet again after both were killed, one of
// them with a new port.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { hubToken } from '../../src/net/admission.ts'
import { decodeSecrets, keysOf } from '../../src/net/secrets.ts'
import { Home } from '../../src/node/home.ts'
import { Program, type RunningPeer } from '../twins/program.ts'
import { until } from '../twins/until.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())

const licence = fileURLToPath(new URL('../../LICENSE', import.meta.url))
let [hub, anna, ben]: RunningPeer[] = []
let cid: string
let token: string

async function invite(at: RunningPeer, ...flags: string[]): Promise<string> {
  const { code, lines, stderr } = await at.run('invite', ...flags)
  assert.equal(code, 0, stderr)
  return String(lines[0]?.line)
}

async function connections(at: RunningPeer): Promise<string[]> {
  return (await at.run('peers')).lines.map(({ peerId }) => String(peerId))
}

async function vias(at: RunningPeer): Promise<string[]> {
  return (await at.run('find', cid)).lines.map(({ via, peerId }) => `${via} ${peerId}`)
}

/** The API of a peer, as programs on its machine use it. */
async function fromApi(at: RunningPeer, path: string): Promise<Response> {
  const { token } = (await new Home(at.home).readApi())!
  return await fetch(`${at.api}${path}`, { headers: { authorization: `Bearer ${token}` } })
}

before(async () => {
  anna = await program.start('anna')
  const joined = await program.run(program.path('hub'), ['join', await invite(anna, '--hub')])
  assert.equal(joined.code, 0, joined.stderr)
  hub = await program.start('hub', '--hub', '--routing', '127.0.0.1:0')
  const met = await anna.run('connect', String(hub.addresses[0]))
  assert.equal(met.code, 0, met.stderr)
  const own = await program.run(program.path('ben'), ['join', await invite(anna)])
  assert.equal(own.code, 0, own.stderr)
  // ben keeps nothing for others, so that what he finds is at anna.
  ben = await program.start('ben', '--capacity', '0', '--bootstrap', String(hub.addresses[0]))
  await until('ben has met both', async () => (await connections(ben!)).length === 2)
  const added = await anna.run('add', licence)
  cid = String(added.lines[0]?.cid)
  const secret = await new Home(hub.home).readSecret('cluster.key')
  token = hubToken(keysOf(decodeSecrets(secret!).current).networkKey)
})

test('the index needs a token of the network, and says who provides what it was told', async () => {
  assert.match(String(hub!.routing), /^http:\/\/127\.0\.0\.1:\d+$/)
  const url = `${hub!.routing}/routing/v1/providers/${cid}`
  assert.equal((await fetch(url)).status, 401)
  const ask = async () => {
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    assert.equal(response.status, 200)
    return ((await response.json()) as { Providers: { ID: string; Addrs: string[] }[] }).Providers
  }
  await until('the announcement has reached the hub', async () => (await ask()).length > 0)
  assert.deepEqual(
    (await ask()).map(({ ID, Addrs }) => [ID, Addrs.length > 0]),
    [[anna!.peerId, true]],
  )
})

test('find shows all three ways, and the hub was learnt from its connection', async () => {
  await until('the hub has told', async () => (await vias(ben!)).includes(`hub ${anna!.peerId}`))
  const found = await vias(ben!)
  for (const via of ['ring', 'peers', 'dht']) assert.ok(found.includes(`${via} ${anna!.peerId}`), found.join())
})

test('the API of a peer answers the same questions to programs of its machine', async () => {
  const response = await fromApi(ben!, `/routing/v1/providers/${cid}`)
  const { Providers } = (await response.json()) as { Providers: { ID: string }[] }
  assert.ok(Providers.some(({ ID }) => ID === anna!.peerId))
  const peer = await fromApi(ben!, `/routing/v1/peers/${anna!.peerId}`)
  const { Peers } = (await peer.json()) as { Peers: { ID: string; Addrs: string[]; Protocols: string[] }[] }
  assert.deepEqual(
    Peers.map(({ ID, Protocols }) => [ID, Protocols]),
    [[anna!.peerId, ['transport-bitswap']]],
  )
  assert.ok(anna!.addresses.some((address) => address.startsWith(Peers[0]?.Addrs[0] ?? 'none')))
})

test('a light client, which knows nobody but a hub by its URL, finds through it and fetches', async () => {
  const joined = await program.run(program.path('carl'), ['join', await invite(anna!)])
  assert.equal(joined.code, 0, joined.stderr)
  for (const setting of [
    ['bootstrap', ''],
    ['hubs', `${hub!.routing}/routing/v1, http://127.0.0.1:1`],
  ])
    assert.equal((await program.run(program.path('carl'), ['config', ...setting])).code, 0)
  const carl = await program.start('carl', '--capacity', '0')
  assert.deepEqual(await connections(carl), [])
  assert.deepEqual(await vias(carl), [`hub ${anna!.peerId}`])
  const got = await carl.run('get', cid, '-o', program.path('light'))
  assert.equal(got.code, 0, got.stderr)
  assert.deepEqual(Object.keys(got.lines[0]?.sources as object), [anna!.peerId])
  assert.equal((await carl.run('leave')).code, 0)
  assert.equal(await carl.end('SIGTERM'), 0)
})

test('without the hub the members talk, and meet again after both were killed, one with a new port', async () => {
  await hub!.end('SIGKILL')
  assert.equal((await ben!.run('cat', cid)).code, 0)
  await Promise.all([anna!.end('SIGKILL'), ben!.end('SIGKILL')])
  const first = anna!.addresses
  // ben has no address of anna but the one that he remembers: that of the invite line is set aside.
  await program.run(program.path('ben'), ['config', 'bootstrap', String(hub!.addresses[0])])
  ben = await program.start('ben', '--capacity', '0')
  anna = await program.again('anna', anna!)
  assert.deepEqual(anna.addresses, first)
  await until('they have met', async () => (await connections(ben!)).includes(anna!.peerId))
  await until('she is found', async () => (await vias(ben!)).some((found) => found.endsWith(anna!.peerId)))
  assert.ok(!(await vias(ben!)).some((found) => found.startsWith('hub ')))
  await anna.end('SIGKILL')
  anna = await program.start('anna')
  assert.notDeepEqual(anna.addresses, first)
  await until('they meet again at the new port', async () => (await connections(ben!)).includes(anna!.peerId))
  assert.equal((await ben!.run('get', cid, '-o', program.path('got'))).code, 0)
})

test('a hub that comes back is met and asked again, with another port too, and stops when it is told to', async () => {
  const listen = String(hub!.addresses[0]).replace(/\/p2p\/.*/, '')
  hub = await program.start('hub', '--listen', listen, '--hub', '--routing', '127.0.0.1:0')
  await until('ben has met it', async () => (await connections(ben!)).includes(hub!.peerId))
  await until('it knows who provides', async () => (await vias(ben!)).some((found) => found.startsWith('hub ')))
  assert.equal(await hub.end('SIGTERM'), 0)
  assert.equal((await ben!.run('find', cid)).code, 0)
})
