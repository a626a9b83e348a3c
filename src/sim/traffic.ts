// What membership costs and how fast it notices, by the size of the cluster. Every size is simulated with the real members
// and nothing else on the wire: all join, many at a time and each
// through somebody who is there, the cluster comes to rest, which is when nobody passes on news of those who have
// joined, and bytes are counted; then one machine loses power.
import { systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import type { Liveness } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import { Cluster, type SimulatedPeer, type StartProgram } from './cluster.ts'
import { pingBytesPerSecond } from './fabric.ts'

/** A program of which only membership matters. */
export interface MemberProgram extends AsyncDisposable {
  epoch(): string
  /** News that it still passes on. */
  untold(): number
  /** Others that it suspects or thinks dead. */
  notAlive(): PeerId[]
  livenessOf(peer: PeerId): Liveness | undefined
}

export interface TrafficOptions {
  sizes: readonly number[]
  seed: number
  signal: AbortSignal
  say: (sentence: string) => void
}

export interface TrafficPoint {
  members: number
  /** Sent by one member on average while the cluster is at rest, headers included; pings of libp2p are counted below. */
  bytesPerSecond: number
  /** Sent by the busiest member. */
  bytesPerSecondMost: number
  /** Connections of one member on average, and of the one that has most. */
  lines: number
  linesMost: number
  /** Sent by one member on average to keep them alive. */
  pingBytesPerSecond: number
  /** From the first start until all have one epoch. */
  joinedSeconds: number
  /** From the first start until nobody passes on any more who has joined. */
  restSeconds: number
  /** From the loss of a machine until half of the others, and all of them, think it dead. */
  noticedByHalfSeconds: number
  noticedByAllSeconds: number
  /** Members thought suspect or dead while all were well. */
  falseAlarms: number
  /** Real time. */
  seconds: number
}

const zones = 5
/** Members that start at the same time. */
const wave = 50
const joinLimitMs = 10 * 60_000
const restLimitMs = 20 * 60_000
const countedMs = 60_000
const noticeLimitMs = 120_000
const pollMs = 250
/** A suspicion lasts longer. */
const alarmsPollMs = 2_000

type Peer = SimulatedPeer<MemberProgram>

export async function simulateMembers(
  start: StartProgram<MemberProgram>,
  { sizes, seed, signal, say }: TrafficOptions,
): Promise<TrafficPoint[]> {
  const points: TrafficPoint[] = []
  for (const members of sizes) {
    signal.throwIfAborted()
    const startMs = systemClock.monotonicMs()
    const point = await measure(start, members, seed)
    points.push({ ...point, seconds: (systemClock.monotonicMs() - startMs) / 1000 })
    say(`${members} members: ${Math.round(point.bytesPerSecond)} B/s each`)
  }
  return points
}

async function measure(
  start: StartProgram<MemberProgram>,
  members: number,
  seed: number,
): Promise<Omit<TrafficPoint, 'seconds'>> {
  const cluster = new Cluster({ start, log: () => silentLog }, { seed, zones })
  const { time } = cluster
  await cluster.startAll([cluster.add()])
  while (cluster.peers.length < members) await cluster.startAll(newcomers(cluster, members))
  const isJoined = () => new Set(cluster.running().map((peer) => programOf(peer).epoch())).size === 1
  await until(cluster, joinLimitMs, isJoined)
  const joinedSeconds = time.nowMs / 1000
  await until(cluster, restLimitMs, () => cluster.running().every((peer) => programOf(peer).untold() === 0))
  const restSeconds = time.nowMs / 1000
  const before = cluster.peers.map(({ machine }) => machine.sentBytes)
  const alarms = new Set<string>()
  for (let passedMs = 0; passedMs < countedMs; passedMs += alarmsPollMs) {
    await time.run(alarmsPollMs)
    for (const alarm of alarmsOf(cluster.peers)) alarms.add(alarm)
  }
  const rates = cluster.peers.map(({ machine }, index) => ((machine.sentBytes - before[index]!) / countedMs) * 1000)
  const lines = cluster.peers.map(({ run }) => [...cluster.fabric.linesOf(run!.network)].length)
  const lost = cluster.peers.at(-1)!
  cluster.crash(lost, { power: true })
  const lostMs = time.nowMs
  const dead = () => cluster.running().filter((peer) => programOf(peer).livenessOf(lost.peer) === 'dead').length
  await until(cluster, noticeLimitMs, () => 2 * dead() >= members - 1)
  const noticedByHalfSeconds = (time.nowMs - lostMs) / 1000
  await until(cluster, noticeLimitMs, () => dead() >= members - 1)
  const noticedByAllSeconds = (time.nowMs - lostMs) / 1000
  for (const peer of cluster.peers) cluster.crash(peer, { power: true })
  return {
    members,
    bytesPerSecond: mean(rates),
    bytesPerSecondMost: Math.max(...rates),
    lines: mean(lines),
    linesMost: Math.max(...lines),
    pingBytesPerSecond: mean(lines) * pingBytesPerSecond,
    joinedSeconds,
    restSeconds,
    noticedByHalfSeconds,
    noticedByAllSeconds,
    falseAlarms: alarms.size,
  }
}

/** Machines of one wave, each invited by another of those who are there: invite lines are made on many machines. */
function newcomers(cluster: Cluster<MemberProgram>, members: number): Peer[] {
  const there = cluster.running()
  return Array.from({ length: Math.min(wave, members - there.length) }, (_, index) => {
    const added = cluster.add()
    const { machine, peer } = there[index % there.length]!
    added.invitedBy = [`${machine.address}/p2p/${peer}`]
    return added
  })
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

async function until(cluster: Cluster<MemberProgram>, limitMs: number, isDone: () => boolean): Promise<void> {
  for (let passedMs = 0; passedMs < limitMs && !isDone(); passedMs += pollMs) await cluster.time.run(pollMs)
}

function alarmsOf(peers: readonly Peer[]): string[] {
  return peers.flatMap((peer) =>
    programOf(peer)
      .notAlive()
      .map((other) => `${peer.name} of ${other}`),
  )
}

function programOf(peer: Peer): MemberProgram {
  return peer.run!.program!
}
