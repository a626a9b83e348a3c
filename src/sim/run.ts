// One seed, one run: a cluster starts, clients work while faults strike, all is healed, the cluster comes to rest, and the
// checkers judge. A run depends on nothing but its options; two runs of the same give the same digest.
import { type Log, lineLog, silentLog } from '../base/log.ts'
import { seededRandom } from '../base/random.ts'
import { type Ending, type Finding, findingsOf, type Replica } from './checkers.ts'
import type { Inspected, Program } from './client.ts'
import { Cluster, fork, type StartProgram } from './cluster.ts'
import { Faults, type Trouble } from './faults.ts'
import { History, lineOf, seconds } from './history.ts'
import { judged } from './judged.ts'
import { Watchers } from './watchers.ts'
import { pick, Workload } from './workload.ts'

export interface RunOptions {
  seed: number
  peers: number
  /** Operations that clients begin. */
  steps: number
  /** True if disks acknowledge before they sync. */
  disksLie?: boolean | undefined
  /** Keeps what the programs log, for a run that is looked at. */
  isVerbose?: boolean
}

export interface RunResult {
  seed: number
  findings: Finding[]
  history: History
  /** Equal for equal runs. */
  digest: string
  events: number
  simulatedMs: number
  log: string[]
}

/** Mean time between two operations, and between two faults, of an eventful minute or two. */
const stepMs = 300
const faultEverySteps = 14
const settleEveryMs = 2_000
/** Anti-entropy, hints and members have this long to bring everything together once all is healed. */
const settleLimitMs = 20 * 60_000
/** What is still on its way when all looks well arrives within this. */
const afterglowMs = 10_000

export async function runSeed(start: StartProgram<Program>, options: RunOptions): Promise<RunResult> {
  const log: string[] = []
  const random = seededRandom(options.seed)
  const shape = shapeOf(options.seed)
  const cluster: Cluster<Program> = new Cluster(
    { start, log: (peer) => (options.isVerbose ? peerLog(peer, log, cluster) : silentLog) },
    { seed: options.seed, zones: shape.zones, loss: shape.loss, disksLie: options.disksLie },
  )
  const history = new History(() => cluster.time.nowMs)
  const findings = await judged(cluster, () =>
    new Run(cluster, history, { random: fork(random), shape, options }).all(),
  )
  const { digest, fired, nowMs } = cluster.time
  return { seed: options.seed, findings, history, digest, events: fired, simulatedMs: nowMs, log }
}

interface Shape {
  zones: number
  loss: number
  strictShare: number
  trouble: Trouble
}

/** Seeds differ in kind, not only in luck: a third of them leave the ring alone, in a third members come and go, a third lose messages. */
function shapeOf(seed: number): Shape {
  const random = seededRandom(seed ^ 0x5eed)
  return {
    zones: 1 + Math.floor(random.unit() * 4),
    loss: random.unit() < 0.33 ? random.unit() * 0.1 : 0,
    strictShare: random.unit(),
    trouble: pick(random, ['still', 'all', 'churn'] as const),
  }
}

class Run {
  readonly #cluster: Cluster<Program>
  readonly #history: History
  readonly #options: RunOptions
  readonly #shape: Shape
  readonly #workload: Workload
  readonly #faults: Faults<Program>
  readonly #watchers: Watchers
  readonly #random: ReturnType<typeof seededRandom>

  constructor(
    cluster: Cluster<Program>,
    history: History,
    { random, shape, options }: { random: ReturnType<typeof seededRandom>; shape: Shape; options: RunOptions },
  ) {
    this.#cluster = cluster
    this.#history = history
    this.#options = options
    this.#shape = shape
    this.#random = random
    const { strictShare, trouble } = shape
    this.#workload = new Workload({ cluster, history, random: fork(random) }, { hotKeys: 2, coldKeys: 20, strictShare })
    this.#faults = new Faults({ cluster, history, random: fork(random), workload: this.#workload }, { trouble })
    this.#watchers = new Watchers(cluster)
  }

  async all(): Promise<Finding[]> {
    const cluster = this.#cluster
    await cluster.startAll([cluster.add()])
    for (let count = 1; count < this.#options.peers; count++) await cluster.startAll([cluster.add()])
    await cluster.time.run(settleLimitMs, () => this.#agree() && cluster.running().length === this.#options.peers)
    this.#history.event(`${this.#options.peers} peers are up`)
    this.#watchers.attach()
    for (let step = 0; step < this.#options.steps; step++) {
      this.#workload.step()
      if (this.#random.unit() * faultEverySteps < 1) this.#faults.strike()
      this.#watchers.attach()
      await cluster.time.run(-Math.log(1 - this.#random.unit()) * stepMs)
    }
    this.#faults.heal()
    await this.#settle()
    return [...this.#unsettled(), ...findingsOf(this.#history, this.#ending())]
  }

  /** Waits until nothing is left to do: everybody up and of one mind, every hint delivered, all replicas alike. */
  async #settle(): Promise<void> {
    const { time } = this.#cluster
    const untilMs = time.nowMs + settleLimitMs
    while (time.nowMs < untilMs) {
      await time.run(settleEveryMs)
      if (this.#isSettled()) break
    }
    await time.run(afterglowMs)
    this.#history.event('the cluster has come to rest')
  }

  #isSettled(): boolean {
    if (!this.#faults.isIdle || !this.#workload.isIdle || !this.#agree()) return false
    const ending = this.#ending()
    return findingsOf(new History(() => 0), { ...ending, wiped: new Set() }).every(
      ({ checker }) => checker !== 'replicas converge' && checker !== 'hints are delivered',
    )
  }

  #unsettled(): Finding[] {
    const down = this.#cluster.peers.filter((peer) => !peer.run?.program && !this.#faults.gone.has(peer))
    const hanging = this.#workload.hanging()
    return [
      ...down.map(({ name }) => ({ checker: 'everybody comes back', sentence: `${name} did not start again` })),
      ...[...this.#faults.leaving].map(({ name }) => ({
        checker: 'leaving ends',
        sentence: `${name} could not leave`,
      })),
      ...hanging.map((operation) => ({ checker: 'every call ends', sentence: lineOf(operation), key: operation.key })),
    ]
  }

  #agree(): boolean {
    const epochs = new Set(this.#members().map(({ inspected }) => inspected.epoch))
    return epochs.size === 1
  }

  #members(): { name: string; inspected: Inspected }[] {
    return this.#cluster
      .running()
      .filter((peer) => !this.#faults.gone.has(peer))
      .map(({ name, run }) => ({ name, inspected: run!.program!.inspect() }))
  }

  #ending(): Ending {
    const members = this.#members()
    const keys = new Set(this.#history.operations.map(({ key }) => key))
    const replicas: Replica[] = members.map(({ name, inspected }) => {
      const owned = [...keys].filter((key) => inspected.owns(key))
      const nothing = { values: [], removed: false }
      return { peer: name, owned: new Map(owned.map((key) => [key, inspected.held(key) ?? nothing])) }
    })
    return {
      replicas,
      wiped: this.#faults.wiped,
      epochs: new Map(members.map(({ name, inspected }) => [name, inspected.epoch])),
      hints: new Map(members.map(({ name, inspected }) => [name, inspected.hints])),
      watchers: this.#watchers.seen(),
      ringStoodStill: this.#shape.trouble === 'still',
    }
  }
}

function peerLog(peer: string, lines: string[], cluster: Cluster<Program>): Log {
  return lineLog('debug', (line) => lines.push(`${seconds(cluster.time.nowMs)} ${peer} ${line}`))
}

/** What a person needs to see of a run that failed: the findings, and the history of their keys between the faults. */
export function storyOf({ findings, history }: RunResult): string[] {
  const keys = new Set(findings.flatMap(({ key }) => key ?? []))
  const told = [
    ...history.events.map(({ atMs, sentence }) => ({ atMs, line: `      ${seconds(atMs)} ${sentence}` })),
    ...history.operations
      .filter(({ key }) => keys.has(key))
      .map((operation) => ({ atMs: operation.startMs, line: lineOf(operation) })),
  ].sort((a, b) => a.atMs - b.atMs)
  const most = 20
  const shown = findings.slice(0, most).map(({ checker, sentence }) => `${checker}: ${sentence}`)
  return [
    ...shown,
    ...(findings.length > most ? [`and ${findings.length - most} more`] : []),
    ...told.map(({ line }) => line),
  ]
}
