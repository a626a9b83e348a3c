// A cluster in memory for tests of the whole organ: machines that run, crash and come back with or without their disk, lines
// between them, calls and broadcasts that take some milliseconds of a virtual clock.
import { type Abortable, abortable, withDeadline } from '../../src/base/abort.ts'
import { sentenceOf } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { CoreError, sha256 } from '../../src/core/block.ts'
import type { PeerId, PeerInfo } from '../../src/core/peer.ts'
import type { Admission, AnswerCall, Broadcast, Calls, Connected, Network } from '../../src/core/ports.ts'
import { type Members, openMembers } from '../../src/members/members.ts'
import { protocol } from '../../src/members/messages.ts'
import { VirtualClock } from '../twins/clock.ts'
import { newPeerId } from '../twins/dht.ts'
import { MemoryTable } from '../twins/table.ts'
import { twinSigner } from './signer.ts'

const delayMs = 5
type Listener = (message: { from: PeerId; bytes: Uint8Array }) => void

export interface MachineOptions {
  zone?: string
  capacity?: number
  /** Undefined for a hub. */
  secret?: string | undefined
}

export class TwinCluster implements AsyncDisposable {
  readonly clock = new VirtualClock()
  readonly random: Random
  readonly machines: Machine[] = []
  /** While true, broadcasts reach nobody. */
  isMute = false
  readonly #lines = new Set<string>()
  readonly #cuts = new Set<string>()

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  machine(options: MachineOptions = {}): Machine {
    const machine = new Machine(this, newPeerId(this.random), { secret: 'secret', ...options })
    this.machines.push(machine)
    return machine
  }

  /** Machines that run and have met the first of them. */
  async start(count: number, options: (index: number) => MachineOptions = () => ({})): Promise<Machine[]> {
    const machines = Array.from({ length: count }, (_, index) => this.machine(options(index)))
    for (const machine of machines) await machine.start()
    for (const machine of machines.slice(1)) await this.clock.until(machine.meet(machines[0]!))
    await this.clock.advance(10_000)
    return machines
  }

  /** Runs until it holds, or fails; gives how long it took. */
  async until(what: string, holds: () => boolean, withinMs = 120_000): Promise<number> {
    const startMs = this.clock.monotonicMs()
    while (!holds()) {
      if (this.clock.monotonicMs() - startMs > withinMs) throw new Error(`waited too long until ${what}`)
      await this.clock.advance(50)
    }
    return this.clock.monotonicMs() - startMs
  }

  agree(): boolean {
    const views = this.machines.filter(({ runs }) => runs).map(({ members }) => members.view())
    return views.every(({ epoch }) => epoch === views[0]!.epoch)
  }

  cut(a: Machine, b: Machine): void {
    this.#cuts.add(lineOf(a.peer, b.peer))
    this.unlink(a, b)
  }

  /** The line stays open and carries nothing. */
  deaden(a: Machine, b: Machine): void {
    this.#cuts.add(lineOf(a.peer, b.peer))
  }

  heal(): void {
    this.#cuts.clear()
  }

  isLinked(a: PeerId, b: PeerId): boolean {
    return this.#lines.has(lineOf(a, b))
  }

  reaches(a: PeerId, b: PeerId): Machine | undefined {
    if (this.#cuts.has(lineOf(a, b))) return undefined
    return this.machines.find(({ peer, runs }) => peer === b && runs)
  }

  link(a: Machine, b: Machine): void {
    if (this.isLinked(a.peer, b.peer)) return
    this.#lines.add(lineOf(a.peer, b.peer))
    a.network.tell({ peer: b.peer, connected: true })
    b.network.tell({ peer: a.peer, connected: true })
  }

  unlink(a: Machine, b: Machine): void {
    if (!this.#lines.delete(lineOf(a.peer, b.peer))) return
    a.network.tell({ peer: b.peer, connected: false })
    b.network.tell({ peer: a.peer, connected: false })
  }

  wait(ms: number = delayMs): Promise<void> {
    return new Promise((resolve) => void this.clock.timer(ms, resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.machines) if (machine.runs) await this.clock.until(machine.stop())
  }
}

function lineOf(a: PeerId, b: PeerId): string {
  return [a, b].sort().join()
}

export class Machine {
  readonly peer: PeerId
  readonly cluster: TwinCluster
  options: MachineOptions
  table = new MemoryTable()
  network: TwinNetwork
  answer: AnswerCall | undefined
  readonly topics = new Map<string, Listener>()
  runs = false
  /** Of its calls and answers, without frames. */
  sentBytes = 0
  broadcasts = 0
  #members: Members | undefined
  #loops: WorkerLoop[] = []

  constructor(cluster: TwinCluster, peer: PeerId, options: MachineOptions) {
    this.cluster = cluster
    this.peer = peer
    this.options = options
    this.network = new TwinNetwork(this)
  }

  get members(): Members {
    return this.#members!
  }

  async start(): Promise<Members> {
    const { clock, random } = this.cluster
    const { zone = 'home', capacity = 1_000_000, secret } = this.options
    this.network = new TwinNetwork(this)
    this.#members = await openMembers(
      {
        network: this.network,
        broadcast: this.#broadcast(),
        signer: twinSigner(this.peer),
        admission: twinAdmission(this.peer, secret),
        table: this.table,
        clock,
        random: seededRandom(Math.floor(random.unit() * 2 ** 32)),
        log: silentLog,
        openCalls: async ({ answer }) => {
          this.answer = answer
          return new TwinCalls(this)
        },
      },
      { zone, capacity },
    )
    this.#loops = this.members.workers.map((worker) => new WorkerLoop({ worker, clock, log: silentLog }))
    for (const loop of this.#loops) loop.start()
    this.runs = true
    return this.members
  }

  async stop(): Promise<void> {
    this.crash()
    await Promise.all([...this.#loops.map((loop) => loop.stop()), this.members[Symbol.asyncDispose]()])
  }

  /** The process is gone, and its lines with it. */
  crash(): void {
    this.runs = false
    this.answer = undefined
    this.topics.clear()
    for (const other of this.cluster.machines) this.cluster.unlink(this, other)
  }

  async meet(other: Machine): Promise<void> {
    await this.network.connect({ peer: other.peer, addresses: other.network.addresses() })
  }

  /** Peers in its view, as the last four letters of each. */
  seen(): PeerId[] {
    return this.members.view().members.map(({ peer }) => peer)
  }

  #broadcast(): Broadcast {
    const { cluster } = this
    return {
      publish: async (topic, bytes) => {
        if (cluster.isMute || !this.runs) return 0
        this.broadcasts++
        const reached = new Set<Machine>([this])
        for (const at of reached)
          for (const other of cluster.machines)
            if (other.topics.has(topic) && cluster.isLinked(at.peer, other.peer)) reached.add(other)
        reached.delete(this)
        for (const other of reached)
          void cluster.wait().then(() => other.topics.get(topic)?.({ from: this.peer, bytes }))
        return reached.size
      },
      subscribe: (topic, listen) => {
        this.topics.set(topic, listen)
        return () => this.topics.delete(topic)
      },
    }
  }
}

class TwinNetwork implements Network {
  readonly self: PeerId
  readonly #machine: Machine
  readonly #listeners = new Set<(event: { peer: PeerId; connected: boolean }) => void>()
  extraAddresses: string[] = []

  constructor(machine: Machine) {
    this.#machine = machine
    this.self = machine.peer
  }

  addresses(): string[] {
    return [`/memory/${this.self}`, ...this.extraAddresses].map((address) => `${address}/p2p/${this.self}`)
  }

  connected(): Connected[] {
    const { cluster } = this.#machine
    const linked = cluster.machines.filter(({ peer }) => cluster.isLinked(peer, this.self))
    return linked.map(({ peer, network }) => ({
      peer,
      addresses: network.addresses(),
      direction: 'out',
      relayed: false,
      protocols: [protocol],
    }))
  }

  async connect(target: string | PeerInfo, { signal }: Abortable = {}): Promise<PeerId> {
    const { cluster } = this.#machine
    const { peer, addresses } = target as PeerInfo
    await abortable(cluster.wait(), signal)
    const other = cluster.reaches(this.self, peer)
    if (!other || !this.#machine.runs || addresses.length === 0)
      throw new CoreError('STREAM_BROKEN', `${peer} cannot be reached`, { retryable: true })
    cluster.link(this.#machine, other)
    return peer
  }

  open(): never {
    throw new Error('calls are simulated above streams')
  }

  handle(): never {
    throw new Error('calls are simulated above streams')
  }

  onDirect(): () => void {
    return () => {}
  }

  onPeer(listen: (event: { peer: PeerId; connected: boolean }) => void): () => void {
    this.#listeners.add(listen)
    return () => this.#listeners.delete(listen)
  }

  tell(event: { peer: PeerId; connected: boolean }): void {
    for (const listen of this.#listeners) listen(event)
  }
}

class TwinCalls implements Calls {
  readonly #machine: Machine

  constructor(machine: Machine) {
    this.#machine = machine
  }

  async call(peer: PeerId, request: Uint8Array, options: Parameters<Calls['call']>[2] = {}): Promise<Uint8Array> {
    const { cluster } = this.#machine
    const { signal, timeoutMs = 5_000 } = options
    if (!this.#machine.runs || !cluster.isLinked(this.#machine.peer, peer))
      throw new CoreError('STREAM_BROKEN', `there is no line to ${peer}`, { retryable: true })
    this.#machine.sentBytes += request.byteLength
    const run = async (): Promise<Uint8Array> => {
      await cluster.wait()
      const other = cluster.reaches(this.#machine.peer, peer)
      if (!other?.answer) return await new Promise<never>(() => {})
      let given: Uint8Array | Error
      try {
        given = await other.answer(request.slice(), this.#machine.peer, {})
        other.sentBytes += given.byteLength
      } catch (error) {
        given = new CoreError('CALL_REFUSED', sentenceOf(error), { cause: error })
      }
      await cluster.wait()
      if (given instanceof Error) throw given
      return given
    }
    return await withDeadline(cluster.clock, timeoutMs, `a call to ${peer}`, run, { signal })
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function twinAdmission(self: PeerId, secret: string | undefined): Admission {
  const proofOf = (peer: PeerId) => sha256(new TextEncoder().encode(`${secret} ${peer}`))
  return {
    proof: () => (secret === undefined ? undefined : proofOf(self)),
    proves: (peer, proof) => secret !== undefined && Buffer.compare(proofOf(peer), proof) === 0,
  }
}
