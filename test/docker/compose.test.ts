// What the Docker network is started with must exist: its compose file and the README name flags of `start`, and a flag that
// was renamed would stop every container at once. That the network works is what docker/test shows.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const top = new URL('../../', import.meta.url)
const launcher = fileURLToPath(new URL('src/cli/launch.js', top))
const compose = await readFile(new URL('docker/compose.yaml', top), 'utf8')
const dockerfile = await readFile(new URL('docker/Dockerfile', top), 'utf8')

test('every flag in the compose file is one of start', async () => {
  const commands = compose.split('\n').filter((line) => /^ +command: /.test(line))
  const flags = new Set(commands.flatMap((line) => line.match(/--[a-z-]+/g) ?? []))
  assert.ok(flags.size > 3)
  const { stdout: help } = await promisify(execFile)(process.execPath, [launcher, 'start', '--help'])
  for (const flag of flags) assert.match(help, new RegExp(`${flag}\\b`), `potluck start has no ${flag}`)
})

test('what the image copies exists, and every program in docker/ that the network needs is in an image', async () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, paths = '']) => paths.split(' '))
  for (const path of copied) await readFile(new URL(path, top)).catch((error) => assert.equal(error.code, 'EISDIR'))
  const programs = (await readdir(new URL('docker/', top))).filter(
    (name) => !/^(Dockerfile|compose\.yaml|test|network\.js)$/.test(name),
  )
  assert.deepEqual(
    copied.filter((path) => path.startsWith('docker/')).sort(),
    programs.map((name) => `docker/${name}`).sort(),
  )
})

test('only loopback is published, and only the API that is meant to be', () => {
  const published = [...compose.matchAll(/ports: (.*)/g)].map(([, ports]) => ports)
  assert.equal(published.length, 1)
  assert.match(published[0]!, /^\['127\.0\.0\.1:/)
  assert.equal(compose.match(/--api-published/g)?.length, 1)
})
