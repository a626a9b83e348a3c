// What is wrong with this peer, and how to mend it: a list of checks, each a pure function over facts that were gathered
// before, so that every sentence can be tested. A check says one thing, as somebody would say it who knows the machine; it
// mends nothing itself. Without a running peer it looks at the disk alone, and says so.
import { isAbsolute } from 'node:path'
import type { WorkerStatus } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { Member } from '../core/member.ts'
import { formatSize, formatTime } from '../core/units.ts'
import type { Reach } from '../net/reach.ts'
import type { ReplicasStatus } from '../replicas/words.ts'
import type { DiskSpace } from '../store/disk-space.ts'
import type { CheckResult } from './api.ts'

/** What a running peer knows beyond its disk. */
export interface OnlineFacts {
  reach: Reach
  /** How far the clocks of others are ahead of ours, milliseconds; empty if nobody told. */
  clocksAheadMs: readonly number[]
  members: readonly Pick<Member, 'peer' | 'state' | 'liveness' | 'zone'>[]
  self: string
  membership: string
  connections: number
  /** Bootstrap addresses that do not answer. */
  unreached: readonly string[]
  /** Only of a member. */
  replicas: ReplicasStatus | undefined
  workers: readonly WorkerStatus[]
  /** Blocks that could not be read again since the start. */
  rotten: number
}

export interface Facts {
  home: string
  disk: DiskSpace
  storeBytes: number
  capacity: number
  online: OnlineFacts | undefined
}

/** All checks in the order in which somebody would look. */
export function diagnose(facts: Facts): CheckResult[] {
  const { online } = facts
  const local = [diskCheck(facts), capacityCheck(facts)]
  if (!online) return [notRunning(facts), ...local]
  return [
    reachCheck(online),
    bootstrapCheck(online),
    clockCheck(online),
    membersCheck(online),
    copiesCheck(online),
    ...local,
    storeCheck(online),
    workersCheck(online),
  ]
}

function well(check: string, message: string): CheckResult {
  return { check, ok: true, message }
}

function ill(check: string, message: string, mend: string): CheckResult {
  return { check, ok: false, message, mend }
}

function notRunning({ home }: Facts): CheckResult {
  const message = 'no peer is running on this home, so only the disk was looked at'
  const flag = isAbsolute(home) ? ` (home ${home})` : ''
  return ill('running', `${message}${flag}`, "start one with 'potluck start'")
}

export function reachCheck({ reach }: Pick<OnlineFacts, 'reach'>): CheckResult {
  // Whoever is alone, or has just started, may be so on purpose.
  return reach.kind === 'unreachable' ? ill('reachability', ...halves(reach.why)) : well('reachability', reach.why)
}

// A sentence on what is, then those on what to do.
function halves(why: string): [string, string] {
  const at = why.indexOf('. ')
  return at === -1 ? [why, 'connect to other peers'] : [why.slice(0, at), why.slice(at + 2)]
}

export function bootstrapCheck({
  unreached,
  connections,
}: Pick<OnlineFacts, 'unreached' | 'connections'>): CheckResult {
  const [first, ...more] = unreached
  if (first === undefined)
    return well('bootstrap', `connected to ${connections} ${connections === 1 ? 'peer' : 'peers'}`)
  const rest = more.length > 0 ? ` and ${more.length} more` : ''
  const mend =
    connections > 0
      ? "others are connected, so this may wait; if that machine is gone for good, take its address out with 'potluck config bootstrap'"
      : "is that machine on, and can this one reach it? 'potluck invite' on a machine of the cluster gives addresses that work now"
  return { ...ill('bootstrap', `${first}${rest} does not answer`, mend), ok: connections > 0 }
}

export function clockCheck({ clocksAheadMs }: Pick<OnlineFacts, 'clocksAheadMs'>): CheckResult {
  if (clocksAheadMs.length === 0) return well('clock', 'nobody has told the time to compare with')
  const sorted = [...clocksAheadMs].sort((a, b) => a - b)
  const aheadMs = sorted[Math.floor(sorted.length / 2)]!
  if (Math.abs(aheadMs) <= limits.clockSkewMs) return well('clock', 'the clock agrees with those of other peers')
  const by = formatTime(Math.abs(aheadMs))
  return ill(
    'clock',
    `the clock of this machine is ${by} ${aheadMs > 0 ? 'behind' : 'ahead of'} those of other peers`,
    'let the system set its clock by the network (NTP): ends of pins and of records are moments in time',
  )
}

export function membersCheck({
  members,
  self,
  membership,
}: Pick<OnlineFacts, 'members' | 'self' | 'membership'>): CheckResult {
  const others = members.filter(({ peer, state }) => peer !== self && state !== 'left')
  const dead = others.filter(({ liveness }) => liveness === 'dead')
  if (dead.length === 0) return well('members', membership)
  const names = dead.slice(0, 3).map(({ peer, zone }) => `${peer} (${zone})`)
  const more = dead.length > 3 ? ` and ${dead.length - 3} more` : ''
  return ill(
    'members',
    `${dead.length} of ${others.length} other members ${dead.length === 1 ? 'is' : 'are'} not there: ${names.join(', ')}${more}`,
    "start them again, or 'potluck forget PEER' for one that is lost for good",
  )
}

export function copiesCheck({ replicas }: Pick<OnlineFacts, 'replicas'>): CheckResult {
  if (!replicas) return well('copies', 'this peer keeps nothing for a cluster')
  const { driven, underReplicated } = replicas
  if (underReplicated === 0) return well('copies', `all ${driven} pins that this peer looks after have their copies`)
  return ill(
    'copies',
    `${underReplicated} of the ${driven} pins that this peer looks after have fewer copies than wanted`,
    "'potluck pin ls' shows which; more members or more --capacity mend it by themselves, or wish for fewer --copies",
  )
}

export function diskCheck({ disk, home }: Pick<Facts, 'disk' | 'home'>): CheckResult {
  const { freeBytes, totalBytes } = disk
  const message = `${formatSize(freeBytes)} of ${formatSize(totalBytes)} are free on the disk of ${home}`
  if (freeBytes >= totalBytes * limits.diskFreePart) return well('disk', message)
  return ill('disk', `only ${message}`, "'potluck gc' frees what nothing needs; or give it a larger disk")
}

export function capacityCheck({ disk, storeBytes, capacity, online }: Facts): CheckResult {
  const held = online?.replicas?.heldBytes ?? 0
  if (capacity > disk.freeBytes + storeBytes)
    return ill(
      'capacity',
      `this machine promises ${formatSize(capacity)} to its cluster, and its disk has room for ${formatSize(disk.freeBytes + storeBytes)}`,
      "promise less: 'potluck config capacity SIZE', then start it again",
    )
  if (capacity > 0 && held > capacity * limits.highWaterPart)
    return ill(
      'capacity',
      `${formatSize(held)} of the ${formatSize(capacity)} that this machine gives are taken`,
      "give more with 'potluck config capacity SIZE', or add a member",
    )
  return well('capacity', `${formatSize(held)} of the ${formatSize(capacity)} that this machine gives are taken`)
}

export function storeCheck({ rotten }: Pick<OnlineFacts, 'rotten'>): CheckResult {
  if (rotten === 0) return well('store', 'no block was found damaged since the start')
  return ill(
    'store',
    `${rotten} ${rotten === 1 ? 'block was' : 'blocks were'} found damaged since the start`,
    "what others hold is fetched again by itself; 'potluck verify' reads everything, and a disk that rots wants replacing",
  )
}

export function workersCheck({ workers }: Pick<OnlineFacts, 'workers'>): CheckResult {
  const failing = workers.filter(({ lastError }) => lastError !== undefined)
  const [first] = failing
  if (!first) return well('background work', `${workers.length} kinds of background work go well`)
  return ill(
    'background work',
    `${failing.map(({ name, errors }) => `${name} (failed ${errors} times)`).join(', ')}; the last reason: ${first.lastError}`,
    'it is tried again by itself; if it goes on, the log of the peer says more',
  )
}
