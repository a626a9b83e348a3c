// One process at a time opens a home. The lock is a file that names the process; it is taken by linking a finished file
// into place, which is atomic, so two that start at once cannot both succeed. A lock whose process is gone (crash, power
// loss) is stale and is recovered. A process id alone may have been reused, so its start time is compared where the
// system tells it (Linux). A process in another container has an id that says nothing here; whether it lives is told by a
// pulse.
import { link, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { type Abortable, abortable } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { NodeError } from './errors.ts'
import type { Home } from './home.ts'
import { hasPulse, showPulse } from './pulse.ts'

interface Holder {
  pid: number
  host: string
  /** Start of the process as the system counts it; empty where it does not tell. */
  started: string
  /** Of the running kernel, and in which namespace of it the process id counts; only where the system tells both (Linux). */
  boot?: string
  namespace?: string
  /** Name of the socket at which the process shows its pulse, if it could make one. */
  pulse?: string
  /** What it is doing: `start`, or a command that needs the store for a moment. */
  doing: string
}

const retryMs = 100
const recoveryMs = 10

export interface LockOptions extends Abortable {
  doing: string
  /** How long to wait for a command that holds the home for a moment; a running peer is not waited for. */
  waitMs: number
}

/** Takes the lock of a home; the returned function releases it. Throws ALREADY_RUNNING or HOME_BUSY. */
export async function lockHome(
  deps: { home: Home; clock: Clock; random: Random },
  options: LockOptions,
): Promise<() => Promise<void>> {
  const { home, random } = deps
  const draft = `lock.${process.pid}.${Buffer.from(random.bytes(6)).toString('hex')}`
  const pulse = `${draft}.pulse`
  const hidePulse = await showPulse(home.at(pulse))
  try {
    const own: Holder = { ...(await thisProcess()), ...(hidePulse && { pulse }), doing: options.doing }
    await writeFile(home.at(draft), JSON.stringify(own), { mode: 0o600 })
    await take(deps, home.at(draft), options)
    return async () => {
      await rm(home.at('lock'), { force: true })
      await hidePulse?.()
    }
  } catch (error) {
    await hidePulse?.()
    if (error instanceof NodeError || options.signal?.aborted) throw error
    const full = ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '')
    const why = full ? 'the disk is full; free some space and try again' : sentenceOf(error)
    throw new NodeError('HOME_INVALID', `${home.at('lock')} cannot be written: ${why}`, { cause: error })
  } finally {
    await rm(home.at(draft), { force: true })
  }
}

async function take(
  { home, clock }: { home: Home; clock: Clock },
  draft: string,
  { waitMs, signal }: LockOptions,
): Promise<void> {
  const path = home.at('lock')
  const until = clock.monotonicMs() + waitMs
  for (;;) {
    if (await linked(draft, path)) return
    const text = await readFile(path, 'utf8').catch(() => '')
    const holder = parseHolder(text)
    if (!holder || !(await alive(home, holder))) {
      if (!(await removeStale(home, text, draft))) await sleep(clock, recoveryMs, signal)
    } else if (holder.doing === 'start') {
      throw new NodeError('ALREADY_RUNNING', `a peer is already running in ${home.path} (${named(holder, path)})`)
    } else if (clock.monotonicMs() >= until) {
      const why = `'potluck ${holder.doing}' (${named(holder, path)}) is using ${home.path}; try again when it is done`
      throw new NodeError('HOME_BUSY', why, { retryable: true })
    } else {
      await abortable(sleep(clock, retryMs, signal), signal)
    }
  }
}

async function linked(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

// Two may find the same stale lock, and the slower one must not remove the lock that the faster one has taken meanwhile:
// so whoever recovers holds a guard, and looks again while holding it. False if somebody else is at it.
async function removeStale(home: Home, stale: string, draft: string): Promise<boolean> {
  const path = home.at('lock')
  const guard = `${path}.recovery`
  if (!(await linked(draft, guard))) {
    // Left by a recovery that was killed in its one millisecond.
    const holder = parseHolder(await readFile(guard, 'utf8').catch(() => ''))
    if (!holder || !(await alive(home, holder))) await rm(guard, { force: true })
    return false
  }
  try {
    if ((await readFile(path, 'utf8').catch(() => '')) !== stale) return true
    const { pulse } = parseHolder(stale) ?? {}
    if (pulse !== undefined) await rm(home.at(pulse), { force: true })
    await rm(path, { force: true })
    return true
  } finally {
    await rm(guard, { force: true })
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Holder
    if (!Number.isInteger(holder.pid)) return undefined
    if (holder.pulse === undefined || /^lock\.\d+\.[0-9a-f]+\.pulse$/.test(holder.pulse)) return holder
    const { pulse: _unknown, ...rest } = holder
    return rest
  } catch {
    return undefined
  }
}

// Nobody here can tell whether a process of another host is gone, so people must.
function named({ pid, host }: Holder, path: string): string {
  return host === hostname()
    ? `process ${pid}`
    : `process ${pid} of the machine ${host}; if that is gone, remove ${path}`
}

// A lock from another machine (a shared disk) cannot be checked, so it counts as alive. Containers have host names and
// process ids of their own, but those of one machine share its boot id, and see each other's pulse.
async function alive(home: Home, holder: Holder): Promise<boolean> {
  const own = await thisProcess()
  const isSameBoot = own.boot !== undefined && holder.boot === own.boot
  if (isSameBoot && holder.namespace !== own.namespace)
    return holder.pulse === undefined || (await hasPulse(home.at(holder.pulse)))
  if (!isSameBoot && holder.host !== own.host) return true
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
  return holder.started === '' || holder.started === (await startOf(holder.pid))
}

async function thisProcess(): Promise<Omit<Holder, 'doing'>> {
  const [started, boot, namespace] = await Promise.all([
    startOf(process.pid),
    bootId().catch(() => undefined),
    readlink('/proc/self/ns/pid').catch(() => undefined),
  ])
  return { pid: process.pid, host: hostname(), started, ...(boot && namespace && { boot, namespace }) }
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

// Field 22 of /proc/PID/stat, counted behind the command name, which may itself hold spaces and parentheses; with the
// boot id, since ticks count from boot.
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return `${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}@${await bootId()}`
  } catch {
    return ''
  }
}
