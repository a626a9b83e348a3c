// Clients that work on a cluster while it suffers. They put, remove, read and count at random peers, on few keys that they
// fight over and on many that they do not, and write down what they saw and what they were told. A client reads before it
// writes, most of the time, and hands back what it has seen; what it says it saw is what the checkers judge by.
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Program, Shown } from './client.ts'
import type { Cluster, SimulatedPeer } from './cluster.ts'
import type { History, Operation } from './history.ts'

export interface WorkloadDeps {
  cluster: Cluster<Program>
  history: History
  random: Random
}

export interface WorkloadOptions {
  /** Keys that clients fight over; as many again are counters. */
  hotKeys: number
  coldKeys: number
  /** Share of operations that count owners only. */
  strictShare: number
}

/** A client gives up after this long, in simulated time. */
const patienceMs = 20_000
const inFlightMax = 32

type Peer = SimulatedPeer<Program>

interface Seen extends Shown {
  /** What the values were when they were read: the context may cover more, never less. */
  values: string[]
}

interface Wish {
  kind: 'put' | 'remove' | 'cas'
  key: string
  strict: boolean
  seen: Seen | 'unread' | undefined
}

export class Workload {
  readonly #cluster: Cluster<Program>
  readonly #history: History
  readonly #random: Random
  readonly #options: WorkloadOptions
  readonly #seen = new Map<string, Seen>()
  readonly #inFlight = new Map<Operation, Peer>()
  /** Calls that have not come back, with the program that was asked. */
  readonly #calls = new Map<Operation, Program>()
  #writes = 0

  constructor({ cluster, history, random }: WorkloadDeps, options: WorkloadOptions) {
    this.#cluster = cluster
    this.#history = history
    this.#random = random
    this.#options = options
  }

  /** Begins one random operation at a random peer; it goes on by itself. */
  step(): void {
    const awake = this.#cluster.running().filter(({ run }) => !run!.clock.asleep)
    if (awake.length === 0 || this.#inFlight.size >= inFlightMax) return
    const peer = pick(this.#random, awake)
    const strict = this.#random.unit() < this.#options.strictShare
    const roll = this.#random.unit()
    if (roll < 0.2) void this.#count(peer)
    else if (roll < 0.3) void this.#overwrite(peer, strict)
    else if (roll < 0.5) void this.#get(peer, this.#key(), strict)
    else if (roll < 0.9) void this.#put(peer, this.#key(), strict)
    else if (roll < 0.97) void this.#remove(peer, this.#key(), strict)
    else void this.#list(peer)
  }

  /** Operations at a peer that is gone end without an answer. */
  abandon(peer: Peer): void {
    for (const [operation, at] of this.#inFlight)
      if (at === peer) this.#end(operation, { outcome: 'unknown', error: 'its peer went away' })
  }

  /** Calls that never came back from programs that still run: everything that waits has a limit. */
  hanging(): Operation[] {
    const running = new Set(this.#cluster.running().map(({ run }) => run!.program))
    return [...this.#calls].flatMap(([operation, program]) => (running.has(program) ? [operation] : []))
  }

  /** True when every operation has ended. */
  get isIdle(): boolean {
    return this.#inFlight.size === 0
  }

  #key(): string {
    const { hotKeys, coldKeys } = this.#options
    if (this.#random.unit() < 0.6) return `hot/${Math.floor(this.#random.unit() * hotKeys)}`
    return `cold/${Math.floor(this.#random.unit() * coldKeys)}`
  }

  async #get(peer: Peer, key: string, strict: boolean): Promise<Seen | undefined> {
    const program = peer.run?.program
    if (!program) return undefined
    const operation = this.#begin(peer, program, { kind: 'get', key, strict })
    try {
      const shown = await program.get(key, { strict })
      this.#end(operation, { outcome: 'done', values: shown.values })
      this.#seen.set(`${peer.name} ${key}`, shown)
      return shown
    } catch (error) {
      this.#end(operation, { outcome: 'failed', error: describe(error) })
      return undefined
    } finally {
      this.#calls.delete(operation)
    }
  }

  async #put(peer: Peer, key: string, strict: boolean): Promise<void> {
    const seen = await this.#context(peer, key)
    await this.#write(peer, { kind: 'put', key, strict, seen })
  }

  async #remove(peer: Peer, key: string, strict: boolean): Promise<void> {
    const seen = await this.#get(peer, key, strict)
    if (seen && seen.values.length > 0) await this.#write(peer, { kind: 'remove', key, strict, seen })
  }

  /** A put as people type it: it says nothing of what it replaces. */
  async #overwrite(peer: Peer, strict: boolean): Promise<void> {
    const key = `plain/${Math.floor(this.#random.unit() * this.#options.hotKeys)}`
    await this.#write(peer, { kind: 'put', key, strict, seen: 'unread' })
  }

  /** Reads and writes what must be next: strict compare-and-set. */
  async #count(peer: Peer): Promise<void> {
    const key = `count/${Math.floor(this.#random.unit() * this.#options.hotKeys)}`
    const seen = await this.#get(peer, key, true)
    if (seen) await this.#write(peer, { kind: 'cas', key, strict: true, seen })
  }

  async #list(peer: Peer): Promise<void> {
    await peer.run?.program?.list().catch(() => {})
  }

  /** Something seen just now, or before, or at another peer, or nothing at all. */
  async #context(peer: Peer, key: string): Promise<Seen | undefined> {
    const roll = this.#random.unit()
    if (roll < 0.15) return undefined
    if (roll < 0.6) return await this.#get(peer, key, false)
    const other = roll < 0.8 ? peer : pick(this.#random, this.#cluster.peers)
    return this.#seen.get(`${other.name} ${key}`)
  }

  async #write(peer: Peer, { kind, key, strict, seen }: Wish): Promise<void> {
    const program = peer.run?.program
    if (!program) return
    const write = `w${++this.#writes}`
    const isGuess = seen === 'unread'
    const [saw, context] = isGuess ? [[], seen] : [seen?.values ?? [], seen?.context]
    const operation = this.#begin(peer, program, { kind, key, strict, write, saw, isGuess })
    try {
      const written = await program.write(key, {
        value: kind === 'remove' ? undefined : write,
        context,
        strict,
        isConditional: kind === 'cas',
      })
      this.#end(operation, { outcome: 'done', ...written })
    } catch (error) {
      this.#end(operation, { outcome: program.isRefusal(error) ? 'failed' : 'unknown', error: describe(error) })
    } finally {
      this.#calls.delete(operation)
    }
  }

  #begin(peer: Peer, program: Program, begun: Omit<Parameters<History['begin']>[0], 'peer'>): Operation {
    const operation = this.#history.begin({ ...begun, peer: peer.name })
    this.#inFlight.set(operation, peer)
    this.#calls.set(operation, program)
    this.#cluster.time.schedule(patienceMs, () =>
      this.#end(operation, { outcome: 'unknown', error: 'its client gave up' }),
    )
    return operation
  }

  #end(operation: Operation, ended: Parameters<History['end']>[1]): void {
    this.#inFlight.delete(operation)
    this.#history.end(operation, ended)
  }
}

function describe(error: unknown): string {
  return codeOf(error) ?? sentenceOf(error)
}

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random.unit() * items.length)]!
}
