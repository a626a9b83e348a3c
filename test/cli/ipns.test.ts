// IPNS as a user runs it: publish on one machine, resolve and read on another, again after a restart, and what goes wrong.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { Program } from '../twins/program.ts'
import { until } from '../twins/until.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())
const license = new URL('../../LICENSE', import.meta.url).pathname

test('a name is published on one peer, and is a REF on the other', async () => {
  let [anna, ben] = await program.cluster(['anna', 'ben'])
  await until('they are members of each other', async () => (await ben!.run('members')).lines.length === 2)
  const added = await anna!.run('add', license)
  const value = `/ipfs/${added.lines[0]?.cid}`
  const published = await anna!.run('name', 'publish', String(added.lines[0]?.cid))
  assert.equal(published.code, 0, published.stderr)
  const { name, validUntil } = published.lines[0] as { name: string; validUntil: string }
  assert.match(name, /^\/ipns\/k51qzi5uqu5d/)
  assert.ok(Number.isFinite(Date.parse(validUntil)))
  assert.deepEqual(published.lines, [{ name, value, sequence: 0, validUntil }])
  const resolved = await ben!.run('name', 'resolve', anna!.peerId)
  assert.deepEqual(resolved.lines, published.lines, resolved.stderr)
  const cat = await ben!.run('cat', name)
  assert.equal(cat.stdout, await readFile(license, 'utf8'), cat.stderr)
  const target = program.path('fetched')
  const got = await ben!.run('get', `ipns://${name.slice(6)}`, '-o', target)
  assert.equal(got.code, 0, got.stderr)

  await anna!.end('SIGTERM')
  anna = await program.again('anna', anna!)
  const again = await anna.run('name', 'publish', name, '--lifetime', '1h')
  assert.deepEqual([again.code, again.stderr.includes('cannot point at itself')], [2, true])
  await until('they meet again', async () => (await anna!.run('peers')).lines.length > 0)
  const second = await anna.run('name', 'publish', `${value}`, '--lifetime', '1h')
  assert.equal(second.lines[0]?.sequence, 1, second.stderr)
  await until('the newer record is seen', async () => {
    const { lines } = await ben!.run('name', 'resolve', name)
    return lines[0]?.sequence === 1
  })
  assert.equal((await ben!.run('name', 'resolve', ben!.peerId)).code, 3)
  assert.equal((await ben!.run('name', 'resolve', 'example.org')).code, 2)
  assert.equal((await ben!.run('name', 'publish', value, '--lifetime', '1s')).code, 2)
})
