// A cluster in memory: peers with the real records over twins of membership, calls, gossip and tables, on a virtual clock.
// Links can be cut one way, peers crash and come back with what was durable, and every run is the same.
import { decode, encode } from '@ipld/dag-cbor'
import { sleep } from '../../src/base/clock.ts'
import { lineLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { sha256 } from '../../src/core/block.ts'
import type { Liveness, Member, MemberState, View } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { AnswerCall, Broadcast, Calls, Membership, Signer, Table, TableOperation } from '../../src/core/ports.ts'
import { viewOf } from '../../src/placement/ring.ts'
import type { Laws } from '../../src/records/laws.ts'
import { openRecords } from '../../src/records/records.ts'
import type { Records } from '../../src/records/words.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryTable } from '../twins/table.ts'

const hopMs = 1
const diskMs = 1
const callMs = 5_000

/** A signature that anybody can make, so that a test can forge one by getting it wrong. */
export function signerOf(self: PeerId): Signer {
  const sign = (peer: PeerId, bytes: Uint8Array) => sha256(Buffer.concat([Buffer.from(peer), bytes]))
  return {
    self,
    sign: (bytes) => sign(self, bytes),
    verify: (peer, bytes, signature) => Buffer.compare(sign(peer, bytes), signature) === 0,
  }
}

/** A table whose writes take a while; what had not been written when it crashed is gone. */
class SlowTable implements Table {
  readonly #clock: VirtualClock
  readonly #disk: MemoryTable
  hasCrashed = false
  delayMs = diskMs
  fail: Error | undefined

  constructor(clock: VirtualClock, disk: MemoryTable) {
    this.#clock = clock
    this.#disk = disk
  }

  get(key: string) {
    return this.#disk.get(key)
  }

  range(bounds: Parameters<Table['range']>[0]) {
    return this.#disk.range(bounds)
  }

  async write(operations: TableOperation[]): Promise<void> {
    await sleep(this.#clock, this.delayMs)
    if (this.hasCrashed) await new Promise(() => {})
    if (this.fail) throw this.fail
    await this.#disk.write(operations)
  }
}

interface Claimed {
  peer: PeerId
  incarnation: number
  state: MemberState
  zone: string
  capacity: number
}

class FakeMembership implements Membership {
  readonly self: PeerId
  readonly claimed = new Map<PeerId, Claimed>()
  readonly listeners = new Set<(change: { view: boolean }) => void>()
  readonly strangers = new Set<PeerId>()
  livenessOf: (peer: PeerId) => Liveness = () => 'alive'
  #view: View | undefined

  constructor(self: PeerId) {
    this.self = self
  }

  members(): readonly Member[] {
    return [...this.claimed.values()]
      .sort((a, b) => (a.peer < b.peer ? -1 : 1))
      .map((claim) => ({ ...claim, addresses: [], liveness: this.livenessOf(claim.peer) }))
  }

  member(peer: PeerId): Member | undefined {
    const claim = this.claimed.get(peer)
    return claim && { ...claim, addresses: [], liveness: this.livenessOf(peer) }
  }

  view(): View {
    this.#view ??= viewOf([...this.claimed.values()].filter(({ state }) => state === 'joined'))
    return this.#view
  }

  proven(peer: PeerId): boolean {
    return !this.strangers.has(peer)
  }

  claims(): Uint8Array[] {
    return [...this.claimed.values()].map((claim) => encode(claim))
  }

  learn(claims: Uint8Array[]): boolean {
    let isNew = false
    for (const bytes of claims) {
      const claim = decode<Claimed>(bytes)
      if ((this.claimed.get(claim.peer)?.incarnation ?? -1) >= claim.incarnation) continue
      this.claimed.set(claim.peer, claim)
      isNew = true
    }
    if (isNew) this.changed()
    return isNew
  }

  changed(): void {
    const before = this.#view?.epoch
    this.#view = undefined
    const view = this.view().epoch !== before
    for (const listen of [...this.listeners]) listen({ view })
  }

  onChange(listen: (change: { view: boolean }) => void): () => void {
    this.listeners.add(listen)
    return () => this.listeners.delete(listen)
  }
}

export interface Peer {
  id: PeerId
  records: Records
  membership: FakeMembership
  table: SlowTable
  disk: MemoryTable
  loops: WorkerLoop[]
  answer: AnswerCall
  isUp: boolean
  /** Rejects when it crashes: nobody hears from calls that were running. */
  crashed: PromiseWithResolvers<never>
  hears: Set<(message: { from: PeerId; bytes: Uint8Array }) => void>
}

export interface ClusterOptions {
  copies?: number
  /** Liveness follows the links at once; otherwise everybody seems alive. */
  notices?: boolean
  workers?: boolean
  gossip?: boolean
  laws?: Laws
  seed?: number
}

export class Cluster implements AsyncDisposable {
  readonly clock = new VirtualClock()
  readonly peers = new Map<string, Peer>()
  readonly #cut = new Set<string>()
  readonly #options: ClusterOptions
  readonly #random
  /** Calls that were made, by type of request. */
  readonly calls: { from: PeerId; to: PeerId; type: string; bytes: number }[] = []
  /** Answers of these are lost on their way back. */
  losesAnswer: (to: PeerId, type: string) => boolean = () => false
  lines: string[] = []

  constructor(options: ClusterOptions = {}) {
    this.#options = options
    this.#random = seededRandom(options.seed ?? 1)
  }

  static async of(names: string[], options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(options)
    for (const name of names) await cluster.add(name, names)
    await cluster.settled()
    return cluster
  }

  /** A member joins; it knows `known`, and `tells` says who hears of it at once. */
  async add(name: string, known: string[], { capacity = 1e12, zone = '' } = {}): Promise<Peer> {
    const membership = new FakeMembership(name as PeerId)
    for (const other of known) membership.claimed.set(other as PeerId, claimOf(other, capacity, zone))
    membership.claimed.set(name as PeerId, claimOf(name, capacity, zone))
    return await this.#open(name, membership, new MemoryTable())
  }

  peer(name: string): Peer {
    return this.peers.get(name)!
  }

  records(name: string): Records {
    return this.peer(name).records
  }

  /** Runs until the promise settles. */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.until(promise, 3_600_000)
  }

  /** Lets hand-offs, hints and comparisons go on until there is nothing left to do. */
  async settled(forMs = 60_000): Promise<void> {
    await this.clock.advance(forMs)
  }

  async crash(name: string): Promise<void> {
    const peer = this.peer(name)
    peer.isUp = false
    peer.table.hasCrashed = true
    peer.crashed.promise.catch(() => {})
    peer.crashed.reject(Object.assign(new Error('it crashed'), { code: 'CRASHED' }))
    for (const loop of peer.loops) void loop.stop()
    this.#notice()
    await this.clock.settle()
  }

  async restart(name: string, { wiped = false } = {}): Promise<Peer> {
    const { membership, disk } = this.peer(name)
    const next = new FakeMembership(name as PeerId)
    for (const [peer, claim] of membership.claimed) next.claimed.set(peer, claim)
    return await this.#open(name, next, wiped ? new MemoryTable() : disk)
  }

  /** Cuts a link one way. */
  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`)
    this.#notice()
  }

  /** No side hears another. */
  partition(...sides: string[][]): void {
    for (const side of sides)
      for (const other of sides)
        if (side !== other) for (const a of side) for (const b of other) this.#cut.add(`${a}>${b}`)
    this.#notice()
  }

  heal(): void {
    this.#cut.clear()
    this.#notice()
  }

  reaches(from: string, to: string): boolean {
    return this.peer(from)?.isUp === true && this.peer(to)?.isUp === true && !this.#cut.has(`${from}>${to}`)
  }

  /** Everybody hears a claim about a member. */
  claim(name: string, change: Partial<Claimed>, hears: string[] = [...this.peers.keys()]): void {
    for (const other of hears) {
      const { membership } = this.peer(other)
      const before = membership.claimed.get(name as PeerId) ?? claimOf(name, 1e12, '')
      membership.learn([encode({ ...before, incarnation: before.incarnation + 1, ...change })])
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.peers.values()) {
      for (const loop of peer.loops) void loop.stop()
      if (peer.isUp) void peer.records[Symbol.asyncDispose]()
    }
    await this.clock.settle()
  }

  #notice(): void {
    for (const peer of this.peers.values()) if (peer.isUp) peer.membership.changed()
  }

  async #open(name: string, membership: FakeMembership, disk: MemoryTable): Promise<Peer> {
    const table = new SlowTable(this.clock, disk)
    const id = name as PeerId
    if (this.#options.notices ?? true)
      membership.livenessOf = (other) =>
        other === id || (this.reaches(name, other) && this.reaches(other, name)) ? 'alive' : 'dead'
    const peer = {
      id,
      membership,
      table,
      disk,
      loops: [],
      isUp: true,
      crashed: Promise.withResolvers<never>(),
      hears: new Set(),
    } as unknown as Peer
    this.peers.set(name, peer)
    const log = lineLog('debug', (line) => this.lines.push(`${this.clock.monotonicMs()} ${name}: ${line}`))
    const { clock } = this
    const openCalls = async ({ answer }: { answer: AnswerCall }): Promise<Calls> => {
      peer.answer = answer
      return {
        call: (to, request, options) => this.#call(peer, to, request, options),
        [Symbol.asyncDispose]: async () => {},
      }
    }
    const deps = {
      membership,
      table,
      signer: signerOf(id),
      broadcast: this.#broadcast(peer),
      clock,
      random: this.#random,
      log,
      openCalls,
    }
    const { laws, copies = 3 } = this.#options
    peer.records = await this.run(
      openRecords({ ...deps, ...(laws && { laws }) }, { copies, isInvited: this.peers.size > 1 }),
    )
    if (this.#options.workers ?? true)
      for (const worker of peer.records.workers) {
        const loop = new WorkerLoop({ worker, clock, log })
        loop.start()
        peer.loops.push(loop)
      }
    this.#notice()
    return peer
  }

  #broadcast(peer: Peer): Broadcast {
    return {
      publish: async (_topic, bytes) => {
        let count = 0
        if (this.#options.gossip ?? true)
          for (const other of this.peers.values()) {
            if (other === peer || !this.reaches(peer.id, other.id)) continue
            count++
            this.clock.timer(hopMs, () => {
              for (const listen of other.hears) listen({ from: peer.id, bytes })
            })
          }
        return count
      },
      subscribe: (_topic, listen) => {
        peer.hears.add(listen)
        return () => peer.hears.delete(listen)
      },
    }
  }

  async #call(from: Peer, to: PeerId, request: Uint8Array, options: Parameters<Calls['call']>[2]): Promise<Uint8Array> {
    const type = decode<[string, unknown, { type: string }]>(request)[2].type
    this.calls.push({ from: from.id, to, type, bytes: request.byteLength })
    await sleep(this.clock, hopMs, options?.signal)
    const isLost = async (): Promise<never> => {
      await sleep(this.clock, (options?.timeoutMs ?? callMs) - hopMs, options?.signal)
      throw new Error(`${to} did not answer`)
    }
    if (!this.reaches(from.id, to)) return await isLost()
    const peer = this.peer(to)
    const never = new AbortController().signal
    const answer = await peer.answer(request, from.id, { signal: never })
    if (!peer.isUp || this.losesAnswer(to, type) || !this.reaches(to, from.id)) return await isLost()
    await sleep(this.clock, hopMs, options?.signal)
    return answer
  }
}

function claimOf(peer: string, capacity: number, zone: string): Claimed {
  return { peer: peer as PeerId, incarnation: 1, state: 'joined', zone, capacity }
}

export const bytes = (text: string) => new TextEncoder().encode(text)
export const text = (value: Uint8Array | undefined) => (value ? new TextDecoder().decode(value) : undefined)

/** The values that a read has found, sorted. */
export function values(found: { siblings: { value: Uint8Array | undefined }[] }): (string | undefined)[] {
  return found.siblings.map(({ value }) => text(value)).sort()
}
