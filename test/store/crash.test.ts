// A process that writes to the store is killed outright, again and again in one home, at moments of its own making: right after
// it said something. Whatever it had acknowledged is there, nothing is damaged, and nothing is left lying about.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CID } from 'multiformats/cid'
import { seededRandom } from '../../src/base/random.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import { deps, withFolder } from './stores.ts'

const program = fileURLToPath(new URL('./adding.ts', import.meta.url))
const kills = 10

/** What the killed process had said. */
class Told {
  /** Leaves by root. */
  readonly flushed = new Map<string, string[]>()
  readonly pinned = new Set<string>()
  readonly unpinned = new Set<string>()
  rounds = 0
  collections = 0

  hear(line: string): void {
    const [what, root = '', ...leaves] = line.split(' ')
    if (what === 'flushed') this.flushed.set(root, leaves)
    else if (what === 'pinned') this.pinned.add(root)
    // From here on it may be either way, and then it is gone.
    else if (what === 'unpinning') {
      this.pinned.delete(root)
      this.flushed.delete(root)
    } else if (what === 'unpinned') this.unpinned.add(root)
    else if (what === 'adding') this.rounds++
    else if (what === 'collected') this.collections++
  }

  /** What was flushed and not pinned is there until the next collection. */
  forgetUnpinned(): void {
    for (const root of this.flushed.keys()) if (!this.pinned.has(root)) this.flushed.delete(root)
  }
}

/** Runs the program until it has said so many lines, kills it, and hears all that it had said by then. */
async function runAndKill(args: string[], told: Told, lines: number): Promise<void> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  let heard = 0
  for await (const line of createInterface({ input: child.stdout })) {
    told.hear(line)
    if (++heard === lines) child.kill('SIGKILL')
  }
  assert.equal((await closed)[1], 'SIGKILL')
}

async function assertWhole(store: Store, told: Told, home: string): Promise<void> {
  for (const [root, leaves] of told.flushed) for (const cid of [root, ...leaves]) await store.get(CID.parse(cid))
  const pins = new Set([...store.pins.list()].map(({ cid }) => cid.toString()))
  for (const root of told.pinned) assert.ok(pins.has(root), `${root} is pinned`)
  for (const root of told.unpinned) assert.ok(!pins.has(root), `${root} is not pinned`)
  const { problems } = await store.verify()
  assert.deepEqual(problems, [])
  assert.equal(await fileBytes(join(home, 'blocks')), store.stats().fileBytes, 'verify removed what nobody needs')
}

async function fileBytes(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  return bytes
}

test(`a process that is killed ${kills} times while it adds and collects loses nothing that it acknowledged`, () =>
  withFolder(async (home) => {
    const random = seededRandom(20_261_121)
    const told = new Told()
    for (let kill = 0; kill < kills; kill++) {
      const collects = kill % 2 === 0 ? 'adds' : 'collects'
      await runAndKill([home, String(kill), collects], told, 1 + Math.floor(random.unit() * 30))
      await using store = await openStore(deps, { directory: home })
      await assertWhole(store, told, home)
      told.forgetUnpinned()
    }
    assert.ok(told.rounds > kills && told.collections > 0, 'it was killed while it did something')
    await using store = await openStore(deps, { directory: home })
    await store.gc()
    const { incomplete } = await store.gc()
    assert.deepEqual(incomplete, [])
    await assertWhole(store, told, home)
  }))
