// `sim network`: hundreds of real peers in a few processes on this machine, over loopback, while some are killed and others
// come. It starts them, lets them rest, churns, lets them rest again, and measures lookups and what a peer costs in each of
// these phases. Who does what is planned from the seed; PeerIds and timing are real, so no two runs are alike.
import { type Clock, sleep, systemClock } from '../base/clock.ts'
import { type Random, seededRandom, systemRandom } from '../base/random.ts'
import type { PeerId } from '../core/peer.ts'
import { newSecret } from '../net/admission.ts'
import { Role } from './role.ts'
import type { AskOutcome, Gauge, Outcome } from './swarm-peers.ts'
import { contentKey, planRound, type Round } from './swarm-plan.ts'
import { askedOf, costOf, type Phase, recallOf } from './swarm-report.ts'
import type { SwarmAnswer, SwarmCommand } from './swarm-role.ts'

export interface SwarmOptions {
  nodes: number
  processes: number
  seed: number
  /** The part of the peers that is killed in a minute; as many come. */
  churnPerMinute: number
  /** How long there is churn. */
  churnMs: number
  /** How long each of the phases without churn takes. */
  restMs: number
  /** Until the peers have found each other, after the last has started. */
  settleMs: number
  /** Lookups of all peers together. */
  asksPerSecond: number
  signal: AbortSignal
  say: (sentence: string) => void
}

export interface SwarmResult {
  nodes: number
  processes: number
  seed: number
  churnPerMinute: number
  phases: Phase[]
}

const roundMs = 10_000

/** Peers that a process starts in one go: those of a go do not know each other. */
const startedAtOnce = 5

/** The swarm is calm when timers fire no later than this. */
const calmLateMs = 100
const calmEveryMs = 500
const calmLimitMs = 20_000

/** Contents that are announced before the measuring: each meets twenty servers, most of them new. */
const contentsMost = 50

export async function runSwarm(options: SwarmOptions): Promise<SwarmResult> {
  const { nodes, processes, seed, churnPerMinute } = options
  using swarm = await Swarm.open(options)
  const phases = [await swarm.grow(), await swarm.phase('still', options.restMs, 0)]
  if (options.churnMs > 0) {
    phases.push(await swarm.phase('churn', options.churnMs, churnPerMinute))
    phases.push(await swarm.phase('after', options.restMs, 0))
  }
  return { nodes, processes, seed, churnPerMinute, phases }
}

type SwarmRole = Role<SwarmCommand, SwarmAnswer>

class Swarm implements Disposable {
  readonly #options: SwarmOptions
  readonly #roles: SwarmRole[]
  readonly #random: Random
  readonly #clock: Clock = systemClock
  readonly #roll = new Map<PeerId, { process: number; address: string }>()
  readonly #contents = new Map<number, PeerId>()
  #gauges: Gauge[] = []
  /** The part of a kill that rounds have been too short for. */
  #killsOwed = 0

  private constructor(options: SwarmOptions, roles: SwarmRole[]) {
    this.#options = options
    this.#roles = roles
    this.#random = seededRandom(options.seed)
  }

  static async open(options: SwarmOptions): Promise<Swarm> {
    const { processes, seed, signal } = options
    const roles: SwarmRole[] = []
    const swarm = new Swarm(options, roles)
    try {
      const secret = Buffer.from(newSecret(systemRandom)).toString('base64')
      for (let index = 0; index < processes; index++) roles.push(new Role('swarm-role', signal))
      await Promise.all(roles.map((role) => role.ask({ do: 'open', secret, seed })))
      swarm.#gauges = await swarm.#gauge()
      return swarm
    } catch (error) {
      swarm[Symbol.dispose]()
      throw error
    }
  }

  /** Starts all peers, each knowing a few that were there, waits until they have met, and has some announce contents. */
  async grow(): Promise<Phase> {
    const { nodes, processes, settleMs, say } = this.#options
    const startedMs = this.#clock.monotonicMs()
    const outcomes: Judged[] = []
    const none = { announce: 0, find: 0, closest: 0 }
    while (this.#roll.size < nodes) {
      // The first peers must know each other, or there would be several networks.
      const starts = Math.min(Math.max(this.#roll.size, 1), startedAtOnce * processes, nodes - this.#roll.size)
      outcomes.push(...(await this.#round({ durationMs: 0, kills: 0, starts, asks: none })))
      await this.#calm()
      say(`${this.#roll.size} of ${nodes} peers run`)
    }
    await sleep(this.#clock, settleMs, this.#options.signal)
    await this.#calm()
    const contents = Math.min(nodes, contentsMost)
    const durationMs = (contents / this.#options.asksPerSecond) * 1_000
    const asks = { ...none, announce: contents }
    outcomes.push(...(await this.#round({ durationMs, kills: 0, starts: 0, asks })))
    return await this.#close('warm-up', startedMs, outcomes)
  }

  /** Rounds of lookups, with or without churn, for so long. */
  async phase(name: string, durationMs: number, churnPerMinute: number): Promise<Phase> {
    const { asksPerSecond, say } = this.#options
    const startedMs = this.#clock.monotonicMs()
    const outcomes: Judged[] = []
    for (let leftMs = durationMs; leftMs > 0; leftMs -= roundMs) {
      const lengthMs = Math.min(leftMs, roundMs)
      this.#killsOwed += (this.#roll.size * churnPerMinute * lengthMs) / 60_000
      const kills = Math.min(Math.floor(this.#killsOwed), this.#roll.size - 2)
      this.#killsOwed -= kills
      const asks = Math.max(5, (asksPerSecond * lengthMs) / 1_000)
      const round = { announce: Math.round(asks * 0.2), find: Math.round(asks * 0.6), closest: Math.round(asks * 0.2) }
      outcomes.push(...(await this.#round({ durationMs: lengthMs, kills, starts: kills, asks: round })))
      say(`${name}: ${Math.round((this.#clock.monotonicMs() - startedMs) / 1_000)} s, ${outcomes.length} steps`)
    }
    return await this.#close(name, startedMs, outcomes)
  }

  /** The peers end with their processes. */
  [Symbol.dispose](): void {
    for (const role of this.#roles) role[Symbol.dispose]()
  }

  async #round(round: Round): Promise<Judged[]> {
    const before = [...this.#roll.keys()]
    const { processes } = this.#options
    const plan = planRound({ roll: this.#roll, contents: this.#contents, processes, random: this.#random }, round)
    const answers = await Promise.all(this.#roles.map((role, index) => role.ask({ do: 'run', steps: plan[index]! })))
    for (const [process, { outcomes = [] }] of answers.entries())
      for (const outcome of outcomes) this.#note(outcome, process)
    const steady = before.filter((peer) => this.#roll.has(peer))
    const passing = new Set([...before, ...this.#roll.keys()])
    for (const peer of steady) passing.delete(peer)
    return answers.flatMap(({ outcomes = [] }) => outcomes).map((outcome) => this.#judge(outcome, { steady, passing }))
  }

  #note(outcome: Outcome, process: number): void {
    if (outcome.do === 'start') this.#roll.set(outcome.peer, { process, address: outcome.address })
    if (outcome.do === 'announce' && outcome.ok) this.#contents.set(outcome.content, outcome.peer)
    if (outcome.do !== 'kill') return
    this.#roll.delete(outcome.peer)
    for (const [content, announcer] of this.#contents) if (announcer === outcome.peer) this.#contents.delete(content)
  }

  #judge(outcome: Outcome, there: { steady: PeerId[]; passing: ReadonlySet<PeerId> }): Judged {
    if (outcome.do !== 'closest' || !outcome.found) return outcome
    const key = contentKey(this.#options.seed, outcome.content)
    return { ...outcome, recall: recallOf(key, { found: outcome.found, asker: outcome.peer, ...there }) }
  }

  async #close(phase: string, startedMs: number, outcomes: Judged[]): Promise<Phase> {
    const seconds = (this.#clock.monotonicMs() - startedMs) / 1_000
    const before = this.#gauges
    this.#gauges = await this.#gauge()
    const asks: Phase['asks'] = {}
    for (const kind of ['find', 'closest', 'announce'] as const) {
      const own = outcomes.filter((outcome): outcome is JudgedAsk => outcome.do === kind)
      if (own.length > 0) asks[kind] = askedOf(own)
    }
    const count = (kind: Outcome['do']) => outcomes.filter((outcome) => outcome.do === kind).length
    const cost = costOf(this.#gauges, before, seconds)
    return { phase, seconds, killed: count('kill'), started: count('start'), asks, cost }
  }

  // More peers than the machine carries lose the connections that they have: those who are there meet before others come.
  async #calm(): Promise<void> {
    const limitMs = this.#clock.monotonicMs() + calmLimitMs
    let gauges: Gauge[]
    do {
      await sleep(this.#clock, calmEveryMs, this.#options.signal)
      gauges = await this.#gauge()
    } while (this.#clock.monotonicMs() < limitMs && gauges.some(({ lateMs }) => lateMs > calmLateMs))
  }

  async #gauge(): Promise<Gauge[]> {
    return (await Promise.all(this.#roles.map((role) => role.ask({ do: 'gauge' })))).map(({ gauge }) => gauge!)
  }
}

type JudgedAsk = AskOutcome & { recall?: number }
type Judged = Exclude<Outcome, AskOutcome> | JudgedAsk
