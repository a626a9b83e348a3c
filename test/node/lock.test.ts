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
    const [winner] = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    await winner?.()
    assert.deepEqual(await readdir(home.path), [])
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

const onlyLinux = { skip: process.platform !== 'linux' && 'only Linux has containers of this kind' }

test('a lock from another container of this machine is held while its process lives, and no longer', onlyLinux, () =>
  withHome(async (home) => {
    // The system takes about a hundred bytes as the address of a socket; a home may lie deeper.
    const deep = new Home(join(home.path, 'd'.repeat(150)))
    await deep.make()
    const pulse = 'lock.1.abc.pulse'
    const module = new URL('../../src/node/pulse.ts', import.meta.url)
    const script = `const { showPulse } = await import('${module}')
      console.log(await showPulse('${deep.at(pulse)}') !== undefined)
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    assert.equal(String((await once(child.stdout, 'data'))[0]), 'true\n')
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    const other = {
      pid: process.pid,
      host: hostname(),
      started: '1@',
      boot,
      namespace: 'pid:[1]',
      pulse,
      doing: 'start',
    }
    await writeFile(deep.at('lock'), JSON.stringify(other))
    await assert.rejects(take(deep, 'start'), { code: 'ALREADY_RUNNING' })
    child.kill('SIGKILL')
    await once(child, 'exit')
    await (await take(deep, 'start'))()
    assert.deepEqual(await readdir(deep.path), [])
  }),
)

test('a lock from another container that shows no pulse counts as held', onlyLinux, () =>
  withHome(async (home) => {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    const other = { pid: 2 ** 22, host: hostname(), started: '1@', boot, namespace: 'pid:[1]', doing: 'start' }
    await writeFile(home.at('lock'), JSON.stringify(other))
    await assert.rejects(take(home, 'start'), { code: 'ALREADY_RUNNING' })
    await writeFile(home.at('lock'), JSON.stringify({ ...other, pulse: '../lock.1.abc.pulse' }))
    await assert.rejects(take(home, 'start'), { code: 'ALREADY_RUNNING' })
  }),
)
