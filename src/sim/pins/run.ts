// One seed, one run of a cluster that keeps content: clients pin and unpin while faults strike, all is healed, the cluster
// comes to rest, some of what is left is unpinned while a member is away, and the checkers judge. A run depends on nothing but
// its options; two runs of the same give the same digest.
import { lineLog, silentLog } from '../../base/log.ts'
import { type Random, seededRandom } from '../../base/random.ts'
import type { Finding } from '../checkers.ts'
import { Cluster, fork, type MachinePorts, type SimulatedPeer } from '../cluster.ts'
import { Faults, type Trouble } from '../faults.ts'
import { seconds } from '../history.ts'
import { judged } from '../judged.ts'
import { pick } from '../workload.ts'
import { fateOf, type MemberAtEnd, neededBytesOf, type PinEnding, pinFindingsOf, restlessOf } from './checkers.ts'
import { ContentMaker } from './content.ts'
import { damagesOf } from './damage.ts'
import { PinHistory, pinLineOf } from './history.ts'
import type { Dag, PinProgram, ShownPin } from './program.ts'
import { Witness } from './witness.ts'
import { PinWorkload } from './workload.ts'

export interface PinRunOptions {
  seed: number
  peers: number
  /** Operations that clients begin. */
  steps: number
  isVerbose?: boolean
}

export interface PinRunResult {
  seed: number
  findings: Finding[]
  history: PinHistory
  /** Equal for equal runs. */
  digest: string
  events: number
  simulatedMs: number
  movedBytes: number
  neededBytes: number
  log: string[]
}

/** Bytes that may be moved for each that has to be: the most of some hundred seeds was 1.44. */
const factor = 2
const stepMs = 1_500
const faultEverySteps = 14
const settleEveryMs = 5_000
const settleLimitMs = 10 * 60_000
/** While the cluster comes to rest, so much of nothing happening is left out each time. */
const skipEveryMs = 30_000
const skipMs = 15 * 60_000
const statusLimitMs = 60_000
/** What is still on its way when all looks well arrives within this. */
const afterglowMs = 20_000
/** Everybody has collected by then. */
const collectMs = 5_000
/** A capacity that fills up. */
const tightBytes = 300_000

/** A holder that is away for longer is replaced: not a crash and a restart, but what is away for a while. */
const graceMs = 40_000

/** `start` gets the grace time with which the programs are to be started. */
export async function runPinSeed(
  start: (ports: MachinePorts, graceMs: number) => Promise<PinProgram>,
  options: PinRunOptions,
): Promise<PinRunResult> {
  const log: string[] = []
  const random = seededRandom(options.seed)
  const shape = shapeOf(options.seed)
  const programs: PinProgram[] = []
  const started = async (ports: MachinePorts) => {
    const program = await start(ports, graceMs)
    programs.push(program)
    return program
  }
  const capacities = seededRandom(options.seed ^ 0xca9)
  const cluster: Cluster<PinProgram> = new Cluster(
    {
      start: started,
      log: (peer) =>
        options.isVerbose
          ? lineLog('debug', (line) => log.push(`${seconds(cluster.time.nowMs)} ${peer} ${line}`))
          : silentLog,
    },
    {
      seed: options.seed,
      zones: shape.zones,
      loss: shape.loss,
      capacityOf: () => capacityOf(shape, capacities),
    },
  )
  const history = new PinHistory(() => cluster.time.nowMs)
  const findings = await judged(cluster, () =>
    new PinRun(cluster, { history, random: fork(random), shape, programs }, options).all(),
  )
  const { digest, fired, nowMs } = cluster.time
  const [movedBytes, neededBytes] = [movedBytesOf(programs), neededBytesOf(history)]
  const { seed } = options
  return { seed, findings, history, digest, events: fired, simulatedMs: nowMs, movedBytes, neededBytes, log }
}

interface Shape {
  zones: number
  loss: number
  trouble: Trouble
  isTight: boolean
}

function shapeOf(seed: number): Shape {
  const random = seededRandom(seed ^ 0x5eed)
  return {
    zones: 1 + Math.floor(random.unit() * 4),
    loss: random.unit() < 0.33 ? random.unit() * 0.05 : 0,
    trouble: pick(random, ['still', 'all', 'churn'] as const),
    isTight: random.unit() < 0.25,
  }
}

/** Now and then somebody gives nothing. */
function capacityOf({ isTight }: Shape, random: Random): number {
  const [nothing, amount] = [random.unit() < 0.05, random.unit()]
  if (nothing) return 0
  return isTight ? Math.round(tightBytes * (0.5 + amount)) : 100e9
}

interface PinRunDeps {
  history: PinHistory
  random: Random
  shape: Pick<Shape, 'trouble' | 'isTight'>
  programs: PinProgram[]
}

class PinRun {
  readonly #cluster: Cluster<PinProgram>
  readonly #history: PinHistory
  readonly #random: Random
  readonly #programs: PinProgram[]
  readonly #options: PinRunOptions
  readonly #isTight: boolean
  readonly #workload: PinWorkload
  readonly #witness: Witness
  readonly #faults: Faults<PinProgram>
  /** The most that any clock was ahead. */
  #skewMostMs = 0

  constructor(
    cluster: Cluster<PinProgram>,
    { history, random, shape: { trouble, isTight }, programs }: PinRunDeps,
    options: PinRunOptions,
  ) {
    this.#cluster = cluster
    this.#history = history
    this.#random = random
    this.#programs = programs
    this.#isTight = isTight
    this.#options = options
    const content = new ContentMaker(fork(random))
    const isGone = (peer: SimulatedPeer<PinProgram>) => this.#faults.gone.has(peer)
    const isLeaving = (peer: SimulatedPeer<PinProgram>) => this.#faults.leaving.has(peer)
    const isLost = ({ name }: SimulatedPeer<PinProgram>) => this.#faults.wiped.has(name)
    this.#witness = new Witness({ cluster, history, isGone, isLeaving, isLost }, { graceMs })
    const witness = this.#witness
    this.#workload = new PinWorkload({ cluster, history, random: fork(random), content, witness })
    const more = damagesOf({ cluster, history, random: fork(random), witness, faults: () => this.#faults })
    this.#faults = new Faults({ cluster, history, random: fork(random), workload: this.#workload }, { trouble, more })
  }

  async all(): Promise<Finding[]> {
    const { peers, steps } = this.#options
    const cluster = this.#cluster
    await cluster.startAll([cluster.add()])
    for (let count = 1; count < peers; count++) await cluster.startAll([cluster.add()])
    await cluster.time.run(settleLimitMs, () => cluster.running().length === peers && this.#agree())
    this.#history.event(`${peers} peers are up`)
    for (let step = 0; step < steps; step++) {
      this.#workload.step()
      if (this.#random.unit() * faultEverySteps < 1) this.#faults.strike()
      await cluster.time.run(-Math.log(1 - this.#random.unit()) * stepMs)
      this.#look()
    }
    this.#faults.heal()
    await this.#settle()
    await this.#endSome()
    await this.#settle()
    const ending = this.#ending(await this.#statuses())
    return [...this.#unsettled(), ...pinFindingsOf(this.#history, ending)]
  }

  #look(): void {
    for (const { name } of this.#cluster.peers.slice(this.#options.peers)) this.#history.joined.add(name)
    for (const { skewMs } of this.#cluster.peers) this.#skewMostMs = Math.max(this.#skewMostMs, skewMs)
    this.#witness.look()
  }

  /** Waits until nothing is left to do. Peers scrub and collect meanwhile, as they do by themselves. */
  async #settle(): Promise<void> {
    const { time } = this.#cluster
    const untilMs = time.nowMs + settleLimitMs
    let skipAtMs = time.nowMs + skipEveryMs
    for (const { run } of this.#members()) void upkeep(run!.program!).catch(() => {})
    while (time.nowMs < untilMs) {
      if (time.nowMs >= skipAtMs) {
        skipAtMs = time.nowMs + skipEveryMs
        for (const { run } of this.#members()) run!.program!.skip(skipMs)
        for (const { run } of this.#members()) void upkeep(run!.program!).catch(() => {})
      }
      for (const end = time.nowMs + settleEveryMs; time.nowMs < end; ) {
        await time.run(1_000)
        this.#look()
      }
      if (this.#isSettled()) break
    }
    await time.run(afterglowMs)
    // What was let go of in the last moment is collected too.
    for (const { run } of this.#members()) void upkeep(run!.program!).catch(() => {})
    await time.run(collectMs)
    this.#look()
    this.#history.event('the cluster has come to rest')
  }

  /** Unpins some of what is kept while a member is away, which then comes back with all that it had. */
  async #endSome(): Promise<void> {
    const { wallMs, known } = this.#ending(new Map())
    const kept = this.#workload.dags.filter(
      ({ name }) => known.has(name) && fateOf(this.#history, name, wallMs).fate === 'kept',
    )
    const members = this.#cluster.running()
    const away = pick(this.#random, members)
    this.#history.event(`${away.name} is away while some of the pins end`)
    this.#cluster.crash(away, { power: true })
    for (const dag of kept) {
      if (this.#random.unit() < 0.5) continue
      const peer = pick(this.#random, members)
      if (peer !== away) void this.#workload.unpin(peer, dag, true)
    }
    await this.#cluster.time.run(10_000, () => this.#workload.isIdle)
    await this.#cluster.time.run(this.#random.unit() * 2 * graceMs)
    this.#faults.start(away)
  }

  #isSettled(): boolean {
    if (!this.#faults.isIdle || !this.#workload.isIdle || !this.#agree()) return false
    return restlessOf(this.#history, this.#ending(new Map())).length === 0
  }

  #unsettled(): Finding[] {
    const down = this.#cluster.peers.filter((peer) => !peer.run?.program && !this.#faults.gone.has(peer))
    return [
      ...down.map(({ name }) => ({ checker: 'everybody comes back', sentence: `${name} did not start again` })),
      ...this.#stuck().map(({ name }) => ({
        checker: 'leaving ends',
        sentence: `${name} could not leave`,
      })),
      ...this.#workload.hanging().map((operation) => ({
        checker: 'every call ends',
        sentence: pinLineOf(operation),
        key: operation.dag,
      })),
    ]
  }

  /** Those that still leave; where there is little room, nobody may be able to take over what they hold. */
  #stuck(): SimulatedPeer<PinProgram>[] {
    return this.#isTight ? [] : [...this.#faults.leaving]
  }

  #agree(): boolean {
    return new Set(this.#members().map(({ run }) => run!.program!.inspect().epoch)).size === 1
  }

  #members(): SimulatedPeer<PinProgram>[] {
    return this.#cluster.running().filter((peer) => !this.#faults.gone.has(peer))
  }

  async #statuses(): Promise<PinEnding['shown']> {
    const shown = new Map<string, { peer: string; status: ShownPin | undefined }>()
    for (const dag of this.#workload.dags) {
      const peer = pick(this.#random, this.#members())
      const status = await this.#cluster.time.until(peer.run!.program!.status(dag.root), statusLimitMs)
      shown.set(dag.name, { peer: peer.name, status })
    }
    return shown
  }

  #ending(shown: PinEnding['shown']): PinEnding {
    const { dags } = this.#workload
    const shares = sharesOf(dags)
    const members = this.#members()
    const wall = members.map(({ run }) => run!.clock.nowMs())
    const [earliest, latest] = [Math.min(...wall), Math.max(...wall)]
    return {
      members: members.map((peer) => memberAtEnd(peer, { dags, shares, isLeaving: this.#faults.leaving.has(peer) })),
      known: this.#witness.known(),
      shown,
      whole: new Set(dags.filter((dag) => isWhole(dag, members)).map(({ name }) => name)),
      wallMs: {
        earliest,
        latest,
        earliestEver: earliest - this.#skewMostMs,
        latestEver: latest + this.#skewMostMs,
      },
      movedBytes: movedBytesOf(this.#programs),
      factor,
    }
  }
}

async function upkeep(program: PinProgram): Promise<void> {
  await program.scrub()
  await program.collect()
}

function memberAtEnd(
  { name, machine, capacity, disk, run }: SimulatedPeer<PinProgram>,
  { dags, shares, isLeaving }: { dags: readonly Dag[]; shares: ReadonlyMap<string, number>; isLeaving: boolean },
): MemberAtEnd {
  const { blocks } = disk
  const { heldBytes, reservedBytes } = run!.program!.inspect()
  const those = (test: (dag: Dag) => boolean) => new Set(dags.filter(test).map((dag) => dag.name))
  return {
    name,
    zone: machine.zone,
    capacity,
    isLeaving,
    usedBytes: heldBytes + reservedBytes,
    full: those((dag) => dag.blocks.every(({ cid }) => blocks.holds(cid))),
    pinned: those(({ root }) => blocks.isPinned(root)),
    traces: those((dag) => dag.blocks.some(({ cid }) => shares.get(cid.toString()) === 1 && blocks.lists(cid))),
  }
}

/** In how many contents each block is. */
function sharesOf(dags: readonly Dag[]): Map<string, number> {
  const shares = new Map<string, number>()
  for (const { cid } of dags.flatMap(({ blocks }) => blocks))
    shares.set(cid.toString(), (shares.get(cid.toString()) ?? 0) + 1)
  return shares
}

function isWhole({ blocks }: Dag, members: readonly SimulatedPeer<PinProgram>[]): boolean {
  return blocks.every(({ cid }) => members.some(({ disk }) => disk.blocks.holds(cid)))
}

function movedBytesOf(programs: readonly PinProgram[]): number {
  return programs.reduce((sum, program) => sum + program.movedBytes(), 0)
}

/** What a person needs to see of a run that failed: the findings, and the history of their contents between the faults. */
export function pinStoryOf({ findings, history }: PinRunResult): string[] {
  const dags = new Set(findings.flatMap(({ key }) => key ?? []))
  const told = [
    ...history.events.map(({ atMs, sentence }) => ({ atMs, line: `      ${seconds(atMs)} ${sentence}` })),
    ...history.operations
      .filter(({ dag }) => dags.has(dag))
      .map((operation) => ({ atMs: operation.startMs, line: pinLineOf(operation) })),
    ...history.holdings
      .filter(({ dag }) => dags.has(dag))
      .map(({ atMs, dag, peer, change }) => ({ atMs, line: `      ${seconds(atMs)} ${peer}: ${dag} ${change}` })),
  ].sort((a, b) => a.atMs - b.atMs)
  const most = 20
  return [
    ...findings.slice(0, most).map(({ checker, sentence }) => `${checker}: ${sentence}`),
    ...(findings.length > most ? [`and ${findings.length - most} more`] : []),
    ...told.map(({ line }) => line),
  ]
}
