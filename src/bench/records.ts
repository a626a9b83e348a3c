// How fast records are, with three members of a cluster as three processes on this machine: quorum writes and reads of 100
// bytes, how long they take at half that load, when others hear of a write, and when a killed member is noticed. Beside
// them what the machine gives in the same run: durable writes to one catalog, and requests over the same connections.
import { join } from 'node:path'
import { systemClock } from '../base/clock.ts'
import { systemRandom } from '../base/random.ts'
import type { PeerId } from '../core/peer.ts'
import { newSecret } from '../net/admission.ts'
import { p99 } from './load.ts'
import type { RecordsAnswer, RecordsCommand, Work } from './records-role.ts'
import type { BenchOptions, BenchResult, Figure } from './report.ts'
import { Role } from './role.ts'

const inFlight = 64
const warmUpMs = 2_000
const durationMs = 3_000
const capacity = 100e9
const news = { perSecond: 50, durationMs: 4_000, waitMs: 10_000 }

type MemberRole = Role<RecordsCommand, RecordsAnswer>

interface Member {
  role: MemberRole
  peer: PeerId
}

interface Cluster extends Disposable {
  members: Member[]
  /** Starts one more process and waits until all know it. */
  join(name: string, capacity: number): Promise<Member>
}

export async function benchRecords({ directory, runs, signal, say }: BenchOptions): Promise<BenchResult> {
  const figures = emptyFigures()
  for (let run = 0; run < runs; run++) {
    say(`run ${run + 1} of ${runs}`)
    using cluster = startCluster(join(directory, `cluster-${run}`), signal)
    for (const name of ['a', 'b', 'c']) await cluster.join(name, capacity)
    await measureLoad(cluster.members[0]!.role, figures)
    await measureNews(cluster, figures)
    await measureNotice(cluster, figures)
  }
  return { bench: 'records', figures: Object.values(figures) }
}

function emptyFigures() {
  const figure = (what: string, unit: Figure['unit']): Figure => ({ what, unit, values: [] })
  const beside = (what: string, unit: Figure['unit'], ceiling: string) => ({
    ...figure(what, unit),
    ceiling: { what: ceiling, values: [] as number[] },
  })
  return {
    writes: beside(`quorum writes, ${inFlight} in flight`, 'writes/s', 'durable writes to one catalog'),
    reads: beside(`quorum reads, ${inFlight} in flight`, 'reads/s', 'bare requests and answers'),
    writesSlowest: figure('quorum writes at half that load, p99', 'ms'),
    readsSlowest: figure('quorum reads at half that load, p99', 'ms'),
    writesAlone: beside('quorum writes, one at a time', 'writes/s', 'durable writes to one catalog'),
    readsAlone: beside('quorum reads, one at a time', 'reads/s', 'bare requests and answers'),
    newsAtOwners: figure('until watchers at owners hear of a write, p99', 'ms'),
    newsAtOthers: figure('until a watcher at a member that holds nothing hears of a write, p99', 'ms'),
    noticed: figure('until a killed member is shown dead by all', 's'),
  }
}

type Figures = ReturnType<typeof emptyFigures>

async function measureLoad(member: MemberRole, figures: Figures): Promise<void> {
  const closed = async (work: Work, lanes: number, forMs = durationMs) =>
    (await member.ask({ do: 'closed', work, inFlight: lanes, durationMs: forMs })).perSecond!
  const slowest = async (work: Work, perSecond: number) =>
    p99((await member.ask({ do: 'open-loop', work, perSecond, durationMs })).tookMs!)
  for (const work of ['write', 'read'] as const) await closed(work, inFlight, warmUpMs)
  const { writes, reads, writesAlone, readsAlone } = figures
  for (const [work, limit, many, one, slow] of [
    ['write', 'table', writes, writesAlone, figures.writesSlowest],
    ['read', 'echo', reads, readsAlone, figures.readsSlowest],
  ] as const) {
    many.ceiling.values.push(await closed(limit, inFlight))
    const perSecond = await closed(work, inFlight)
    many.values.push(perSecond)
    slow.values.push(await slowest(work, perSecond / 2))
    one.ceiling.values.push(await closed(limit, 1))
    one.values.push(await closed(work, 1))
  }
}

async function measureNews(cluster: Cluster, figures: Figures): Promise<void> {
  const [writer, ...owners] = cluster.members as [Member, ...Member[]]
  const other = await cluster.join('d', 0)
  for (const { role } of [...owners, other]) await role.ask({ do: 'watch' })
  const { tookMs } = await writer.role.ask({ do: 'open-loop', work: 'news', ...news })
  const heard = ({ role }: Member) =>
    role.ask({ do: 'watched', count: tookMs!.length, waitMs: news.waitMs }).then(({ tookMs: took }) => took!)
  figures.newsAtOwners.values.push(p99((await Promise.all(owners.map(heard))).flat()))
  figures.newsAtOthers.values.push(p99(await heard(other)))
}

async function measureNotice({ members }: Cluster, figures: Figures): Promise<void> {
  const [first, second, killed] = members as [Member, Member, Member]
  const { peer } = killed
  const notices = [first, second].map(({ role }) => role.ask({ do: 'notice', peer }))
  const killedMs = systemClock.nowMs()
  killed.role[Symbol.dispose]()
  const noticedMs = (await Promise.all(notices)).map((notice) => notice.noticedMs!)
  figures.noticed.values.push((Math.max(...noticedMs) - killedMs) / 1_000)
}

function startCluster(directory: string, signal: AbortSignal): Cluster {
  const roles: MemberRole[] = []
  const members: Member[] = []
  const secret = Buffer.from(newSecret(systemRandom)).toString('base64')
  const bootstrap: string[] = []
  return {
    members,
    async join(name, capacity) {
      const role: MemberRole = new Role('records-role', signal)
      roles.push(role)
      const place = { home: join(directory, name), secret, bootstrap, zone: name, capacity }
      const { peer, address } = await role.ask({ do: 'open', ...place })
      const member = { role, peer: peer! }
      members.push(member)
      bootstrap.push(address!)
      await Promise.all(roles.map((each) => each.ask({ do: 'gather', members: members.length })))
      return member
    },
    [Symbol.dispose]() {
      for (const role of roles) role[Symbol.dispose]()
    },
  }
}
