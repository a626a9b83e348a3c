// Clients that keep content while the cluster suffers. At random peers they add content with some copies, wait until so many
// have it, pin it again, unpin it, let their own copy go and read, and they scrub and collect as a peer does by itself. What
// they were told is written down.
import { codeOf, sentenceOf } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { Cluster, SimulatedPeer } from '../cluster.ts'
import { pick } from '../workload.ts'
import type { ContentMaker } from './content.ts'
import type { Begun, PinHistory, PinOperation } from './history.ts'
import type { Dag, PinProgram } from './program.ts'
import type { Witness } from './witness.ts'

export interface PinWorkloadDeps {
  cluster: Cluster<PinProgram>
  history: PinHistory
  random: Random
  content: ContentMaker
  witness: Witness
}

type Peer = SimulatedPeer<PinProgram>

/** A client gives up after this long, in simulated time. */
const patienceMs = 90_000
const inFlightMax = 32
const copiesMost = 4
/** Pins that end do so within this, or not before the simulation has. */
const soonMs = 60_000
const monthMs = 30 * 86_400_000

/** Errors after which nothing has happened. */
const refusals = new Set(['COPIES_INVALID', 'COPIES_UNAVAILABLE', 'TOO_LARGE'])

export class PinWorkload {
  readonly dags: Dag[] = []
  readonly #deps: PinWorkloadDeps
  readonly #inFlight = new Map<PinOperation, Peer>()
  /** Calls that have not come back, with the program that was asked. */
  readonly #calls = new Map<PinOperation, PinProgram>()

  constructor(deps: PinWorkloadDeps) {
    this.#deps = deps
  }

  /** Begins one random operation at a random peer; it goes on by itself. */
  step(): void {
    const { cluster, random } = this.#deps
    const awake = cluster.running().filter(({ run }) => !run!.clock.asleep)
    if (awake.length === 0 || this.#inFlight.size >= inFlightMax) return
    const peer = pick(random, awake)
    const roll = random.unit()
    if (this.dags.length === 0 || roll < 0.25) void this.#add(peer)
    else if (roll < 0.4) void this.#pin(peer, pick(random, this.dags))
    else if (roll < 0.5) void this.unpin(peer, pick(random, this.dags))
    else if (roll < 0.55) void this.#letGo(peer, pick(random, this.dags))
    else if (roll < 0.8) void this.#read(peer, pick(random, this.dags))
    else if (roll < 0.9) void peer.run?.program?.scrub().catch(() => {})
    else void peer.run?.program?.collect().catch(() => {})
  }

  /** Operations at a peer that is gone end without an answer. */
  abandon(peer: Peer): void {
    for (const [operation, at] of this.#inFlight)
      if (at === peer) this.#end(operation, { outcome: 'unknown', error: 'its peer went away' })
  }

  /** Calls that never came back from programs that still run. */
  hanging(): PinOperation[] {
    const running = new Set(this.#deps.cluster.running().map(({ run }) => run!.program))
    return [...this.#calls].flatMap(([operation, program]) => (running.has(program) ? [operation] : []))
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0
  }

  async unpin(peer: Peer, dag: Dag, isInformed = this.#deps.witness.agreesOn(dag)): Promise<void> {
    await this.#run(peer, { kind: 'unpin', dag: dag.name, isInformed }, async (program) =>
      (await program.unpin(dag.root)) ? ['something'] : [],
    )
  }

  async #add(peer: Peer): Promise<void> {
    const dag = this.#deps.content.make()
    this.dags.push(dag)
    this.#deps.history.event(`${dag.name} is made: ${dag.root}`)
    this.#deps.history.sizes.set(dag.name, dag.sizeBytes)
    this.#deps.witness.watch(dag)
    await this.#pin(peer, dag)
  }

  async #pin(peer: Peer, dag: Dag): Promise<void> {
    const { random, witness } = this.#deps
    const copies = 1 + Math.floor(random.unit() * copiesMost)
    const [expires, isSoon, elsewhere] = [random.unit() < 0.15, random.unit() < 0.7, random.unit() < 0.1]
    const endsAfterMs = expires ? (isSoon ? random.unit() * soonMs : monthMs) : undefined
    const endsMs = endsAfterMs === undefined ? undefined : peer.run!.clock.nowMs() - peer.skewMs + endsAfterMs
    const isPinned = await this.#run(peer, { kind: 'pin', dag: dag.name, copies, endsMs }, async (program) => {
      await program.pin(dag, { copies, endsAfterMs, elsewhere })
      return []
    })
    if (!isPinned || random.unit() < 0.3) return
    const count = 1 + Math.floor(random.unit() * copies)
    await this.#run(peer, { kind: 'wait', dag: dag.name, copies: count }, async (program) => {
      await program.wait(dag.root, count)
      return witness.holdersOf(dag)
    })
  }

  async #letGo(peer: Peer, dag: Dag): Promise<void> {
    await this.#run(peer, { kind: 'let go', dag: dag.name }, async (program) => {
      await program.letGo(dag.root)
      return []
    })
  }

  async #read(peer: Peer, dag: Dag): Promise<void> {
    await this.#run(peer, { kind: 'read', dag: dag.name }, async (program) => {
      await program.read(dag.root)
      return []
    })
  }

  async #run(
    peer: Peer,
    begun: Omit<Begun, 'peer'>,
    work: (program: PinProgram) => Promise<string[]>,
  ): Promise<boolean> {
    const program = peer.run?.program
    if (!program) return false
    const operation = this.#deps.history.begin({ ...begun, peer: peer.name })
    this.#inFlight.set(operation, peer)
    this.#calls.set(operation, program)
    const giveUp = () => this.#end(operation, { outcome: 'unknown', error: 'its client gave up' })
    const cancel = this.#deps.cluster.time.schedule(patienceMs, giveUp)
    try {
      this.#end(operation, { outcome: 'done', found: await work(program) })
    } catch (error) {
      const isRefusal = refusals.has(codeOf(error) ?? '')
      this.#end(operation, { outcome: isRefusal ? 'failed' : 'unknown', error: codeOf(error) ?? sentenceOf(error) })
    } finally {
      cancel()
      this.#calls.delete(operation)
    }
    return operation.outcome === 'done'
  }

  #end(operation: PinOperation, ended: Parameters<PinHistory['end']>[1]): void {
    this.#inFlight.delete(operation)
    this.#deps.history.end(operation, ended)
  }
}
