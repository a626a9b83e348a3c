// Where output goes: readers that leave early, targets that are no files, and names that try to look like more than one.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, readdir, writeFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { Program } from '../twins/program.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())
const home = program.path('home')

async function added(path: string): Promise<string> {
  return String((await program.run(home, ['add', '--no-pin', path])).lines[0]?.cid)
}

test('messages that nobody reads any more do not end the work', async () => {
  const folder = program.path('with a pipe')
  await mkdir(folder)
  for (const name of ['a', 'b']) execFileSync('mkfifo', [`${folder}/${name}`])
  const child = program.spawn(['--home', home, 'add', '--no-pin', folder, folder])
  child.stderr?.destroy()
  child.stdout?.resume()
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('export writes into a pipe that is there, and leaves it there', async () => {
  const file = program.path('file')
  await writeFile(file, 'content')
  const cid = await added(file)
  const [folder, pipe] = [program.path('pipes'), program.path('pipes/pipe')]
  await mkdir(folder)
  execFileSync('mkfifo', [pipe])
  const [exported, car] = await Promise.all([
    program.run(home, ['export', cid, '-o', pipe]),
    createReadStream(pipe).toArray(),
  ])
  assert.equal(exported.code, 0, exported.stderr)
  assert.equal(Buffer.concat(car).byteLength, exported.lines[0]?.size)
  assert.ok((await lstat(pipe)).isFIFO())
  assert.deepEqual(await readdir(folder), ['pipe'])
})

test('a name with a line end is one line of a listing', async () => {
  const folder = program.path('names')
  await mkdir(folder)
  await writeFile(`${folder}/one\ntwo`, '')
  const cid = await added(folder)
  const child = program.spawn(['--home', home, 'ls', cid])
  const listing = Buffer.concat((await child.stdout?.toArray()) ?? []).toString()
  assert.match(listing, /^\S+ +0 B {2}one\\u000atwo\n$/)
})
