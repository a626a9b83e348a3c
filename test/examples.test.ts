// The examples are programs that people run first and copy from: each must end well and say what its reader expects. A new
// one has to be added here, with the words that show that it did its work.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const examples = fileURLToPath(new URL('../examples/', import.meta.url))
const timeoutMs = 100_000

// Everything that an example makes goes below here, and has to be gone in the end.
const temporary = await mkdtemp(join(tmpdir(), 'potluck-examples-'))
after(() => rm(temporary, { recursive: true, force: true }))

const expected: Record<string, { words: RegExp[] }> = {
  'demo.ts': {
    words: [
      /on 3 machines after .*\n {2}held by (?=.*attic)(?=.*cellar)\w+ \(\w+\), \w+ \(\w+\), \w+ \(\w+\)\n/,
      /found through the DHT: (?=.*anna)\w+, \w+, \w+/,
      /(\w+) is gone after .* of 9\d\.\d MiB/,
      /9\d\.\d MiB in .*\n(?: {4}.* came from \w+\n)+/,
      /202 files are the same, byte for byte/,
      /3 copies again after .*: \w+, \w+, \w+\n/,
      /(\w+) starts again: .*\n {2}\1: \d+ blocks, all as they should be\n {2}held by (?=.*\1)\w+, \w+, \w+\n/,
      /Every step held, in .*\./,
    ],
  },
  'names.ts': {
    words: [
      /^set on (\d) of \1\nthe other reads the same: true\nBe kind\.\ntoo late: VERSION_MISMATCH\nclosed for today\n$/,
    ],
  },
  'share-a-folder.ts': { words: [/^bafkrei\w+ 26 hello\.txt\nhello from the first peer\n$/] },
}

async function run(name: string, args: string[]): Promise<string> {
  // Node's cache of compiled code is no litter; it would lie in the same folder.
  const cache = process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), 'node-compile-cache')
  const env = { ...process.env, TMPDIR: temporary, NODE_COMPILE_CACHE: cache }
  const options = { env, cwd: temporary, timeout: timeoutMs }
  const { stdout } = await promisify(execFile)(process.execPath, [join(examples, name), ...args], options)
  return stdout
}

test('every example has its words here', async () => {
  const programs = (await readdir(examples)).filter((name) => /\.[jt]s$/.test(name))
  assert.deepEqual(programs.sort(), Object.keys(expected).sort())
})

for (const [name, { words }] of Object.entries(expected))
  test(`examples/${name} does what it says, and cleans up`, { timeout: timeoutMs }, async () => {
    const said = await run(name, [])
    for (const each of words) assert.match(said, each)
    assert.deepEqual(await readdir(temporary), [])
  })

test('the demo takes files of your own, and says which one is missing', { timeout: timeoutMs }, async () => {
  const path = join(temporary, 'my own file')
  await writeFile(path, 'hello')
  const said = await run('demo.ts', [path])
  assert.match(said, /anna adds my own file/)
  assert.match(said, /1 file is the same, byte for byte/)
  const failed = await run('demo.ts', [join(temporary, 'nothing here')]).catch((error) => error as Failed)
  assert.equal((failed as Failed).code, 1)
  assert.match((failed as Failed).stderr, /The demo failed: .*nothing here/s)
  assert.deepEqual(await readdir(temporary), ['my own file'])
})

interface Failed {
  code: number
  stderr: string
}
