// Homes that join: what a member's line and a hub's line make of a machine, and that older homes go on working.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deriveKeys } from '../../src/net/admission.ts'
import { decodeSecrets } from '../../src/net/secrets.ts'
import { Home } from '../../src/node/home.ts'
import { openPeer } from '../../src/node/open.ts'
import { until } from '../twins/until.ts'

const directory = await mkdtemp(join(tmpdir(), 'potluck-invites-'))
after(() => rm(directory, { recursive: true, force: true }))

const flags = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false }
const open = (name: string, online = true) =>
  openPeer({ home: new Home(join(directory, name)), online, doing: 'start', flags })

test('a hub joins by its own line, keeps the network key alone, and can only invite hubs', async () => {
  await using member = await open('member')
  const { line } = await member.invite({ hub: true })
  {
    await using joining = await open('hub', false)
    assert.equal((await joining.join(line)).connected, false)
  }
  const path = join(directory, 'hub', 'cluster.key')
  const { current } = decodeSecrets(Buffer.from((await readFile(path, 'utf8')).trim(), 'base64url'))
  const secret = Buffer.from((await readFile(join(directory, 'member', 'cluster.key'), 'utf8')).trim(), 'base64url')
  assert.equal(secret.byteLength, 32, 'a secret that nobody replaced stays as older homes have it')
  assert.deepEqual([current.kind, Buffer.from(current.bytes)], ['hub', Buffer.from(deriveKeys(secret).networkKey)])
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  await using hub = await open('hub')
  await until('it is connected', async () => {
    const { connections } = (await hub.status()) as { connections: number }
    return connections === 1
  })
  await assert.rejects(hub.invite(), { code: 'NOT_A_MEMBER' })
  assert.equal((await hub.invite({ hub: true })).line.split('-')[0], 'potluckhub1')
})

test('a damaged key is named and not overwritten, and a line mends it', async () => {
  const home = join(directory, 'damaged')
  await (await open('damaged'))[Symbol.asyncDispose]()
  await writeFile(join(home, 'cluster.key'), 'AAAA\n')
  await assert.rejects(open('damaged'), { code: 'SECRET_INVALID', message: /cluster\.key/ })
  assert.equal(await readFile(join(home, 'cluster.key'), 'utf8'), 'AAAA\n')
  await using member = await open('member')
  const { line } = await member.invite()
  {
    await using joining = await open('damaged', false)
    await joining.join(line)
  }
  assert.equal(await readFile(join(home, 'cluster.key.previous'), 'utf8'), 'AAAA\n')
  await using joined = await open('damaged')
  assert.equal((await joined.invite()).line.split('-')[0], 'potluck1')
})
