// One of the processes of `bench records`: a member of a small cluster on this machine that writes, reads, watches and notices
// as its parent says. How a member is made is in one place, `openMember`; everything else goes through what it gives.
import { withDeadline } from '../base/abort.ts'
import { sleep, systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import { openCalls } from '../core/calls.ts'
import type { PeerId } from '../core/peer.ts'
import type { Calls, Membership, Table } from '../core/ports.ts'
import { linksOf } from '../files/links.ts'
import { openHost } from '../net/host.ts'
import { newIdentity } from '../net/identity.ts'
import { secretsOf } from '../net/secrets.ts'
import { openCluster } from '../node/cluster.ts'
import { countBuffersAsHeap } from '../node/heap.ts'
import type { Records } from '../records/words.ts'
import { openStore } from '../store/open.ts'
import { closedLoop, openLoop } from './load.ts'
import { answerParent } from './role.ts'

/** What is done over and over; `table` and `echo` are the limits of this machine for writes and reads. */
export type Work = 'write' | 'read' | 'news' | 'table' | 'echo'

export type RecordsCommand =
  /** Becomes a member; the secret is base64. */
  | { do: 'open'; home: string; secret: string; bootstrap: string[]; zone: string; capacity: number }
  /** Waits until so many members are known, alive and settled. */
  | { do: 'gather'; members: number }
  | { do: 'closed'; work: Work; inFlight: number; durationMs: number }
  | { do: 'open-loop'; work: Work; perSecond: number; durationMs: number }
  | { do: 'watch' }
  /** Waits until so many news have come, `waitMs` at most. */
  | { do: 'watched'; count: number; waitMs: number }
  /** Waits until a member is shown dead. */
  | { do: 'notice'; peer: PeerId }

export interface RecordsAnswer {
  peer?: PeerId
  address?: string
  perSecond?: number
  /** How long each took, milliseconds. */
  tookMs?: number[]
  /** Wall time; all processes are on one machine. */
  noticedMs?: number
}

interface BenchMember {
  address: string
  membership: Membership
  records: Pick<Records, 'get' | 'put' | 'watch' | 'status'>
  /** A table of this member's store. */
  table: Table
  /** Sends requests to others, who send them back. */
  echo: Calls
}

const copies = 3
const valueBytes = 100
const gatherMs = 60_000
const pollMs = 10
const value = new Uint8Array(valueBytes).fill(120)
const newsPrefix = 'news/'

let own: BenchMember | undefined
const counts: Record<Work, number> = { write: 0, read: 0, news: 0, table: 0, echo: 0 }
const newsMs: number[] = []

countBuffersAsHeap()
answerParent(answer)

async function answer(command: RecordsCommand): Promise<RecordsAnswer> {
  if (command.do === 'open') {
    own = await openMember(command)
    return { peer: own.membership.self, address: own.address }
  }
  const member = own!
  switch (command.do) {
    case 'gather':
      await until(`${command.members} members have met`, gatherMs, () => haveMet(member, command.members))
      return {}
    case 'closed':
      return { perSecond: await closedLoop(systemClock, command, () => work(member, command.work)) }
    case 'open-loop':
      return { tookMs: await openLoop(systemClock, command, () => work(member, command.work)) }
    case 'watch':
      member.records.watch(newsPrefix, ({ winner }) => {
        newsMs.push(systemClock.nowMs() - Number(Buffer.from(winner?.value ?? []).toString()))
      })
      return {}
    case 'watched':
      return { tookMs: await watched(command.count, command.waitMs) }
    case 'notice':
      await until('a killed member is shown dead', gatherMs, () => {
        return member.membership.member(command.peer)?.liveness === 'dead'
      })
      return { noticedMs: systemClock.nowMs() }
  }
}

/** A member as a peer on this machine is one: real disk, real sockets on loopback. */
async function openMember(command: RecordsCommand & { do: 'open' }): Promise<BenchMember> {
  const { home, secret, bootstrap, zone, capacity } = command
  const common = { clock: systemClock, random: systemRandom, log: silentLog }
  // Nothing is closed: the process is killed when it has served.
  const scope = new Scope()
  const store = scope.use(await openStore({ ...common, linksOf }, { directory: home }))
  const secrets = secretsOf({ kind: 'member', bytes: Buffer.from(secret, 'base64') })
  const host = scope.use(
    await openHost(
      { ...common, datastore: store.table('libp2p') },
      {
        identity: await newIdentity(),
        listen: ['/ip4/127.0.0.1/tcp/0'],
        bootstrap,
        network: { kind: 'private', secrets },
        mdns: false,
      },
    ),
  )
  const tables = { members: store.table('members'), records: store.table('records') }
  const { network, broadcast, signer, admission } = host
  const { members, records } = scope.use(
    await openCluster(
      { ...common, network, broadcast, signer, admission, tables },
      { zone, capacity, copies, isInvited: bootstrap.length > 0 },
    ),
  )
  const echo = await openCalls(
    { ...common, network },
    { protocol: '/potluck/bench-echo/1.0.0', answer: async (request) => request },
  )
  return { address: network.addresses()[0]!, membership: members, records, table: store.table('bench'), echo }
}

function haveMet({ membership, records }: BenchMember, count: number): boolean {
  const members = membership.view().members.map(({ peer }) => membership.member(peer))
  const others = members.filter((member) => member?.peer !== membership.self)
  const all = others.every((member) => member?.liveness === 'alive' && membership.proven(member.peer))
  return members.length === count && all && records.status().ringsUnsettled === 0
}

async function work({ membership, records, table, echo }: BenchMember, what: Work): Promise<unknown> {
  const index = counts[what]++
  switch (what) {
    case 'write':
      return await records.put(`bench/${index}`, value, { w: 'quorum' })
    case 'read':
      return await records.get(`bench/${index % counts.write}`, { r: 'quorum' })
    case 'news': {
      const text = String(systemClock.nowMs()).padEnd(valueBytes)
      return await records.put(`${newsPrefix}${index}`, Buffer.from(text), { w: 'quorum' })
    }
    case 'table':
      return await table.write([{ put: String(index), value }])
    case 'echo': {
      const others = membership.members().filter(({ peer }) => peer !== membership.self)
      return await echo.call(others[index % others.length]!.peer, value)
    }
  }
}

/** How long each news took; one that has not come counts as the whole wait. */
async function watched(count: number, waitMs: number): Promise<number[]> {
  await until('all news have come', waitMs, () => newsMs.length >= count).catch(() => {})
  return [...newsMs, ...Array.from({ length: Math.max(0, count - newsMs.length) }, () => waitMs)]
}

async function until(what: string, limitMs: number, holds: () => boolean): Promise<void> {
  await withDeadline(systemClock, limitMs, `waiting until ${what}`, async (signal) => {
    while (!holds()) await sleep(systemClock, pollMs, signal)
  })
}
