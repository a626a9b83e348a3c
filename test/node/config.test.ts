// Settings: what the file may hold, what it says when it may not, and which source goes first.
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { configKeys, mergeConfig, parseSetting, readSettings, writeSettings } from '../../src/node/config.ts'
import { Home, homePath } from '../../src/node/home.ts'

const directory = await mkdtemp(join(tmpdir(), 'potluck-config-'))
after(() => rm(directory, { recursive: true, force: true }))
const home = new Home(directory)

test('flags go before the file, the file before the defaults', () => {
  const config = mergeConfig({ mdns: false }, { mdns: true, network: 'open' })
  assert.equal(config.mdns, false)
  assert.equal(config.network, 'open')
  assert.deepEqual(config.listen, configKeys.listen.fallback)
  assert.ok(Object.isFrozen(config))
})

test('settings survive a round trip, for the owner alone', async () => {
  await writeSettings(home, { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false })
  assert.deepEqual(await readSettings(home), { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false })
  assert.equal((await stat(home.at('config.json'))).mode & 0o777, 0o600)
})

const bad: [what: string, text: string, sentence: RegExp][] = [
  ['not JSON', '{', /is not JSON/],
  ['not an object', '[1]', /JSON object/],
  ['an unknown key', '{"lisen":[]}', /no key 'lisen'; the keys are listen, api/],
  ['a wrong type', '{"mdns":"maybe"}', /'mdns' must be true or false/],
  ['an API for everybody', '{"api":"0.0.0.0:5101"}', /'api' must be a loopback address/],
  ['a newer version', '{"version":99}', /newer potluck/],
  ['a prototype key', '{"toString":1}', /no key 'toString'/],
]
for (const [what, text, sentence] of bad)
  test(`config.json with ${what} is refused with a sentence`, async () => {
    await writeFile(home.at('config.json'), text)
    await assert.rejects(readSettings(home), sentence)
  })

test('lists come as JSON or as text with commas or spaces', () => {
  assert.deepEqual(parseSetting('bootstrap', '/a, /b'), ['/a', '/b'])
  assert.deepEqual(parseSetting('bootstrap', ['/a', '/b']), ['/a', '/b'])
  assert.throws(() => parseSetting('bootstrap', [1]), { code: 'CONFIG_INVALID' })
})

test('times, rates and counts of repair come as text with a unit or as plain numbers', () => {
  assert.equal(parseSetting('repair.grace', '12h'), 43_200_000)
  assert.equal(parseSetting('repair.grace', 43_200_000), 43_200_000)
  assert.equal(parseSetting('repair.grace', '0'), 0)
  for (const rate of ['20MB', '20MB/s', '20000000', 20e6]) assert.equal(parseSetting('repair.rate', rate), 20e6)
  assert.equal(parseSetting('repair.rate', '0'), 0)
  assert.equal(parseSetting('repair.concurrency', '16'), 16)
  for (const [key, value] of [
    ['repair.grace', '29d'],
    ['repair.grace', 'soon'],
    ['repair.grace', -1],
    ['repair.rate', 'fast'],
    ['repair.rate', 1.5],
    ['repair.concurrency', '0'],
    ['repair.concurrency', 17],
    ['repair.concurrency', '2h'],
  ] as const)
    assert.throws(() => parseSetting(key, value), { code: 'CONFIG_INVALID' }, `${key} ${value}`)
})

test('the home is the flag, else the environment, else ~/.potluck', () => {
  assert.equal(homePath('/a', { POTLUCK_HOME: '/b' }), '/a')
  assert.equal(homePath(undefined, { POTLUCK_HOME: '/b' }), '/b')
  assert.match(homePath(undefined, {}), /\.potluck$/)
})

test('secrets are kept for the owner alone, and a damaged one is not replaced in silence', async () => {
  const secret = Uint8Array.from({ length: 32 }, (_, index) => index)
  await home.writeSecret('cluster.key', secret)
  assert.deepEqual(await home.readSecret('cluster.key'), secret)
  assert.equal((await stat(home.at('cluster.key'))).mode & 0o777, 0o600)
  await writeFile(home.at('cluster.key'), '')
  await assert.rejects(home.readSecret('cluster.key'), { code: 'HOME_INVALID' })
  assert.equal(await home.readSecret('identity.key'), undefined)
})

test('hubs are base URLs, with or without what the specification adds to them', () => {
  const hubs = 'https://hub.example/ http://192.168.1.20:8102/routing/v1, https://hub.example/behind/routing/v1/'
  assert.deepEqual(parseSetting('hubs', hubs), [
    'https://hub.example',
    'http://192.168.1.20:8102',
    'https://hub.example/behind',
  ])
  for (const text of ['hub.example', 'ftp://hub.example', 'https://me:secret@hub.example', 'https://hub.example/?a=1'])
    assert.throws(() => parseSetting('hubs', text), /'hubs' must be a list of URLs/)
  assert.equal(parseSetting('routing', '[::]:0'), '[::]:0')
  for (const text of ['8102', '0.0.0.0:99999', 'http://a:1'])
    assert.throws(() => parseSetting('routing', text), /must be HOST:PORT, such as 0\.0\.0\.0:8102/)
})
