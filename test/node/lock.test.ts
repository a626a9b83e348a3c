// The lock of a home: one holder at a time, stale ones recovered, and no two winners however many try.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Home } from '../../src/node/home.ts'
import { lockHome } from '../../src/node/lock.ts'

async function withHome(work: (home: Home) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'potluck-lock-'))
  try {
    await work(new Home(directory))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const take = (home: Home, doing: string, waitMs = 0) =>
  lockHome({ home, clock: systemClock, random: systemRandom }, { doing, waitMs })

test('a second peer in the same home is told who runs there', () =>
  withHome(async (home) => {
    const release = await take(home, 'start')
    await assert.rejects(take(home, 'start', 60_000), {
      code: 'ALREADY_RUNNING',
      message: `a peer is already running in ${home.path} (process ${process.pid})`,
    })
    await release()
    await (await take(home, 'start'))()
    assert.deepEqual(await readdir(home.path), [])
  }))

test('a command that holds the home for a moment is waited for, with a limit', () =>
  withHome(async (home) => {
    const release = await take(home, 'gc')
    await assert.rejects(take(home, 'verify'), { code: 'HOME_BUSY' })
    const waiting = take(home, 'verify', 60_000)
    await release()
    await (await waiting)()
  }))

test('the lock of a process that is gone is recovered, by exactly one of many', () =>
  withHome(async (home) => {
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'exit')
    const gone = { pid: child.pid, host: hostname(), started: 'long ago', doing: 'start' }
    await writeFile(home.at('lock'), JSON.stringify(gone))
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => take(home, 'start')))
    assert.equal(tries.filter((one) => one.status === 'fulfilled').length, 1)
    assert.equal(JSON.parse(await readFile(home.at('lock'), 'utf8')).pid, process.pid)
    assert.deepEqual(await readdir(home.path), ['lock'])
  }))

test(
  'a process id that was given to another process does not keep the lock',
  { skip: process.platform !== 'linux' && 'only Linux tells when a process started' },
  () =>
    withHome(async (home) => {
      const reused = { pid: process.pid, host: hostname(), started: '1@another boot', doing: 'start' }
      await writeFile(home.at('lock'), JSON.stringify(reused))
      await (await take(home, 'start'))()
    }),
)

test('a damaged lock is recovered', () =>
  withHome(async (home) => {
    await writeFile(home.at('lock'), '{"pid":')
    await (await take(home, 'start'))()
  }))

test('a lock from another host counts as held', () =>
  withHome(async (home) => {
    await writeFile(home.at('lock'), JSON.stringify({ pid: 1, host: 'elsewhere', started: '', doing: 'start' }))
    const said = { code: 'ALREADY_RUNNING', message: /elsewhere; if that is gone, remove .*\/lock/ }
    await assert.rejects(take(home, 'start'), said)
  }))
