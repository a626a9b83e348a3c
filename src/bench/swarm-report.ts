// The figures of a swarm, phase by phase: how many lookups found what they were for, by how many steps, how fast, and what
// a peer costs meanwhile. Pure: outcomes and gauges in, a document and a table out. A lookup for servers is judged by those
// that were there: nobody who died or came during the round is held against it.
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { positionOf, positionOfPeer } from '../routing/keyspace.ts'
import { p99 } from './load.ts'
import { median } from './report.ts'
import type { AskOutcome, Gauge } from './swarm-peers.ts'

export interface Asked {
  lookups: number
  /** Parts of 1. */
  succeeded: number
  hopsMedian: number
  hopsP99: number
  /** Peers that a lookup asked, and how many of those did not answer. */
  askedMean: number
  failedMean: number
  medianMs: number
  p99Ms: number
  /** Of a lookup for servers: the part of the nearest that it gave. */
  recall?: number
  /** Why lookups failed, and how often. */
  failures: Record<string, number>
}

export interface Cost {
  peers: number
  /** Resident memory of all processes, by peer: the program itself is in it. */
  mbPerPeer: number
  /** What one process takes before the first peer. */
  mbOfEmptyProcess: number
  connectionsPerPeer: number
  knownPerPeer: number
  filesPerPeer: number
  /** Of one core, during the phase: parts of 1. */
  corePerPeer: number
  /** How late timers fired at 99 of 100, in the slowest process: what the machine adds to every step of a lookup. */
  lateMs: number
}

export interface Phase {
  phase: string
  seconds: number
  killed: number
  started: number
  asks: Partial<Record<AskOutcome['do'], Asked>>
  cost: Cost
}

const MB = 1e6

export function askedOf(outcomes: readonly (AskOutcome & { recall?: number })[]): Asked {
  const numbers = (of: (outcome: AskOutcome & { recall?: number }) => number | undefined) =>
    outcomes.map(of).filter((value) => value !== undefined)
  const hops = numbers(({ hops }) => hops)
  const took = numbers(({ tookMs }) => tookMs)
  const recalls = numbers(({ recall }) => recall)
  const failures: Record<string, number> = {}
  for (const { ok, why = 'unknown' } of outcomes) if (!ok) failures[why] = (failures[why] ?? 0) + 1
  return {
    lookups: outcomes.length,
    succeeded: mean(numbers(({ ok }) => (ok ? 1 : 0))),
    hopsMedian: median(hops),
    hopsP99: p99(hops),
    askedMean: mean(numbers(({ asked }) => asked)),
    failedMean: mean(numbers(({ failed }) => failed)),
    medianMs: median(took),
    p99Ms: p99(took),
    ...(recalls.length > 0 && { recall: mean(recalls) }),
    failures,
  }
}

/** What all processes cost per peer, and how much they worked since the gauges before. */
export function costOf(gauges: readonly Gauge[], before: readonly Gauge[], seconds: number): Cost {
  const sum = (of: (gauge: Gauge) => number, all = gauges) => all.reduce((total, gauge) => total + of(gauge), 0)
  const peers = sum((gauge) => gauge.peers)
  const cpuMs = sum((gauge) => gauge.cpuMs) - sum((gauge) => gauge.cpuMs, before)
  return {
    peers,
    mbPerPeer: sum((gauge) => gauge.rssBytes) / MB / peers,
    mbOfEmptyProcess: sum((gauge) => gauge.emptyRssBytes) / MB / gauges.length,
    connectionsPerPeer: sum((gauge) => gauge.connections) / peers,
    knownPerPeer: sum((gauge) => gauge.known) / peers,
    filesPerPeer: sum((gauge) => gauge.files) / peers,
    corePerPeer: cpuMs / 1_000 / seconds / peers,
    lateMs: Math.max(...gauges.map((gauge) => gauge.lateMs)),
  }
}

/**
 * The part of the servers nearest to a key that an answer has. `steady` are those who were there all the time, `passing`
 * those who came or went: an answer may have them or not.
 */
export function recallOf(
  key: Uint8Array,
  { found, asker, steady, passing }: { found: PeerId[]; asker: PeerId; steady: PeerId[]; passing: ReadonlySet<PeerId> },
): number {
  const given = new Set(found)
  const there = [...steady, ...found.filter((peer) => passing.has(peer))].filter((peer) => peer !== asker)
  const position = positionOf(key)
  const nearest = there
    .map((peer) => ({ peer, distance: xor(position, positionOfPeer(peer)) }))
    .sort((a, b) => Buffer.compare(a.distance, b.distance))
    .slice(0, limits.dhtReplicas)
  return nearest.length === 0 ? 1 : nearest.filter(({ peer }) => given.has(peer)).length / nearest.length
}

/** For people: a table of lookups, and one of what peers cost. */
export function swarmLines(phases: readonly Phase[]): string[] {
  const names = { find: 'find providers', closest: 'find servers', announce: 'announce' }
  const asks = phases.flatMap(({ phase, asks }) =>
    (['find', 'closest', 'announce'] as const).flatMap((kind) => {
      const asked = asks[kind]
      return asked ? [[phase, names[kind], ...cellsOf(asked)]] : []
    }),
  )
  const costs = phases.map(({ phase, seconds, killed, started, cost }) => [
    phase,
    seconds.toFixed(0),
    `${cost.peers}`,
    `-${killed} +${started}`,
    cost.mbPerPeer.toFixed(1),
    cost.connectionsPerPeer.toFixed(1),
    cost.knownPerPeer.toFixed(1),
    cost.filesPerPeer.toFixed(1),
    `${(cost.corePerPeer * 100).toFixed(2)} %`,
    cost.lateMs.toFixed(0),
  ])
  const why = phases.flatMap(({ phase, asks }) =>
    Object.entries(asks).flatMap(([kind, { failures }]) =>
      Object.entries(failures).map(([sentence, times]) => `${phase}: ${times} times ${kind} failed: ${sentence}`),
    ),
  )
  return [
    ...table([
      ['phase', 'lookups', 'count', 'success', 'recall', 'hops', 'p99', 'asked', 'no answer', 'ms', 'p99 ms'],
      ...asks,
    ]),
    '',
    ...table([
      ['phase', 'seconds', 'peers', 'churn', 'MB/peer', 'connections', 'known', 'files', 'of a core', 'late ms'],
      ...costs,
    ]),
    ...why,
  ]
}

function cellsOf(asked: Asked): string[] {
  return [
    `${asked.lookups}`,
    `${(asked.succeeded * 100).toFixed(1)} %`,
    asked.recall === undefined ? '' : `${(asked.recall * 100).toFixed(1)} %`,
    `${asked.hopsMedian}`,
    `${asked.hopsP99}`,
    asked.askedMean.toFixed(1),
    asked.failedMean.toFixed(1),
    asked.medianMs.toFixed(0),
    asked.p99Ms.toFixed(0),
  ]
}

/** Columns as wide as they must be: the first two begin at the left, the rest end at the right. */
function table(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: string[]) =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ')
  return rows.map((row) => line(row).trimEnd())
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ b[index]!)
}
