// A cluster that keeps pins, in memory and virtual time: the real replicas, exchange and store over twins of the network, the
// disk and the clock. Members and records are as simple as can be: everybody sees who the test says is there, and the same
// records, in which writes that did not see each other stay side by side.
import type { Clock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { type Block, CoreError } from '../../src/core/block.ts'
import { partitionOf } from '../../src/core/keyspace.ts'
import type { Liveness, Member, View } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { AnswerCall, Calls, Membership } from '../../src/core/ports.ts'
import { type Exchange, openExchange } from '../../src/exchange/exchange.ts'
import { measureDag } from '../../src/files/dag.ts'
import { linksOf } from '../../src/files/links.ts'
import { ringOf, viewOf } from '../../src/placement/ring.ts'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, type Request } from '../../src/replicas/messages.ts'
import { decodePin, pinKey, pinOf } from '../../src/replicas/pin.ts'
import { openReplicas } from '../../src/replicas/replicas.ts'
import type { PinRecord, PinRecords, PinStatus, Replicas, ReplicasOptions } from '../../src/replicas/words.ts'
import { nameOf } from '../../src/store/catalog.ts'
import { openMemoryStore } from '../../src/store/memory.ts'
import { MemoryDisk } from '../../src/store/memory-disk.ts'
import type { Store } from '../../src/store/open.ts'
import { type Dag, dagOf } from '../exchange/dags.ts'
import { VirtualClock } from '../twins/clock.ts'
import { NetworkTwin, type PeerTwin } from '../twins/network.ts'
import { MemoryTable } from '../twins/table.ts'

export interface Peer {
  readonly peer: PeerId
  readonly network: PeerTwin
  readonly disk: MemoryDisk
  readonly table: MemoryTable
  store: Store
  exchange: Exchange
  replicas: Replicas
  loops: WorkerLoop[]
  letGo: number
  /** Says that it holds what it does not, and proves nothing; or answers garbage when it is to, or nothing. */
  lies: boolean | 'garbage' | 'silence'
  /** Its store can write nothing. */
  isFull: boolean
}

export interface PeerOptions {
  zone?: string
  capacity?: number
  bytesPerSecond?: number
  /** How far its clock is ahead. */
  skewMs?: number
}

const hourMs = 3_600_000

export class World implements AsyncDisposable {
  readonly clock = new VirtualClock()
  readonly network = new NetworkTwin({ clock: this.clock })
  readonly records = new SharedRecords()
  readonly peers = new Map<string, Peer>()
  readonly #members = new Map<PeerId, Member>()
  readonly #skews = new Map<string, number>()
  readonly #answers = new Map<PeerId, AnswerCall>()
  readonly #listeners = new Set<(change: { view: boolean }) => void>()
  readonly #options: Partial<ReplicasOptions>
  #view: View = viewOf([])

  constructor(options: Partial<ReplicasOptions> = {}) {
    this.#options = options
  }

  /** Names are of base58: no 'l'. */
  static async of(names: readonly string[], options: Partial<ReplicasOptions> = {}): Promise<World> {
    const world = new World(options)
    for (const name of names) await world.join(name)
    return world
  }

  async join(name: string, { zone = 'home', capacity = 1e9, skewMs = 0, ...line }: PeerOptions = {}): Promise<Peer> {
    this.#skews.set(name, skewMs)
    const peer = name as PeerId
    const member: Member = { peer, incarnation: 1, state: 'joined', zone, capacity, addresses: [], liveness: 'alive' }
    this.#members.set(peer, member)
    const network = this.network.join(name, line)
    const opened = {
      peer,
      network,
      disk: new MemoryDisk(),
      table: new MemoryTable(),
      loops: [],
      letGo: 0,
      lies: false,
      isFull: false,
    }
    const joined: Peer = Object.assign(opened, await this.#open(opened), { lies: false })
    this.peers.set(name, joined)
    this.changed()
    return joined
  }

  peer(name: string): Peer {
    return this.peers.get(name)!
  }

  /** Changes what everybody knows of a member. */
  set(name: string, change: Partial<Member>): void {
    const before = this.#members.get(name as PeerId)!
    this.#members.set(before.peer, { ...before, ...change })
    this.changed()
  }

  /** Its machine is off, and everybody knows. */
  away(name: string, liveness: Liveness = 'dead'): void {
    const { network } = this.peer(name)
    network.vanish()
    network.refuses = true
    this.set(name, { liveness })
  }

  back(name: string): void {
    this.peer(name).network.refuses = false
    this.set(name, { liveness: 'alive', incarnation: this.#members.get(name as PeerId)!.incarnation + 1 })
  }

  forget(name: string): void {
    this.#members.delete(name as PeerId)
    this.changed()
  }

  /** Its process ends, and starts again with what its disk kept, and maybe another clock. */
  async restart(name: string, { skewMs }: Pick<PeerOptions, 'skewMs'> = {}): Promise<void> {
    const peer = this.peer(name)
    if (skewMs !== undefined) this.#skews.set(name, skewMs)
    await this.#close(peer)
    peer.disk.crash()
    Object.assign(peer, await this.#open(peer))
    this.set(name, { incarnation: this.#members.get(peer.peer)!.incarnation + 1 })
  }

  /** Its disk is new. */
  async wipe(name: string): Promise<void> {
    const peer = this.peer(name)
    await this.#close(peer)
    Object.assign(peer, { disk: new MemoryDisk(), table: new MemoryTable() })
    Object.assign(peer, await this.#open(peer))
    this.set(name, { incarnation: this.#members.get(peer.peer)!.incarnation + 1 })
  }

  /** Every block goes from a store, behind the back of everything else. */
  async empty(name: string): Promise<void> {
    const { store } = this.peer(name)
    const roots = [...store.pins.list()]
    for (const { cid } of roots) await store.pins.remove(cid)
    await store.gc()
    for (const { cid } of roots) await store.pins.add(cid, { recursive: true })
  }

  /** A small block rots on its disk, and its store knows nothing of it. */
  rot(name: string, { cid }: Block): void {
    const bytes = this.peer(name).disk.maps.get('inline')?.get(nameOf(cid.multihash.bytes)) as Uint8Array
    bytes[0]! ^= 0xff
  }

  async stop(name: string): Promise<void> {
    await this.#close(this.peer(name))
  }

  /** Puts the blocks of a DAG into a store, and pins it there. */
  async pin(name: string, dag: Dag, options: { copies?: number; elsewhere?: boolean; expiresMs?: number } = {}) {
    const { store, replicas } = this.peer(name)
    using lease = store.lease('test')
    const writer = store.writer(lease)
    for (const block of dag.blocks) await writer.put(block)
    await writer.flush()
    return await this.clock.until(replicas.pin(dag.root, { ...options, sizeBytes: dag.bytes }))
  }

  dag(leaves = 3, leafBytes = 1_000): Dag {
    return dagOf({ leaves, leafBytes })
  }

  async status(dag: Dag, from?: string): Promise<PinStatus | undefined> {
    const asked = from ? this.peer(from) : [...this.peers.values()].find(({ network }) => !network.refuses)!
    return await this.clock.until(asked.replicas.status(dag.root))
  }

  /** Those whose store has every block and keeps the root. */
  async holders(dag: Dag): Promise<string[]> {
    const holding: string[] = []
    for (const [name, { store }] of this.peers) {
      if (!store.pins.get(dag.root)) continue
      const blocks = await Promise.allSettled(dag.blocks.map(({ cid }) => store.get(cid)))
      if (blocks.every(({ status }) => status === 'fulfilled')) holding.push(name)
    }
    return holding.sort()
  }

  named(dag: Dag): string[] {
    return [...(this.records.pins().find(({ cid }) => cid === dag.root.toString())?.holders ?? [])]
  }

  /** All members in the ring's order for it. */
  walk(dag: Dag): string[] {
    return [...ringOf(this.#view).owners(partitionOf(pinKey(dag.root)), this.#members.size)]
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.until(promise)
  }

  async rest(forMs = 60_000): Promise<void> {
    await this.clock.advance(forMs)
  }

  changed(): void {
    this.#view = viewOf([...this.#members.values()].filter(({ state }) => state === 'joined'))
    for (const listen of this.#listeners) listen({ view: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.peers.values()) await this.#close(peer)
  }

  async #close({ loops, replicas, exchange }: Peer): Promise<void> {
    await this.clock.until(Promise.all(loops.map((loop) => loop.stop())))
    await this.clock.until(Promise.resolve(replicas[Symbol.asyncDispose]()))
    await this.clock.until(exchange[Symbol.asyncDispose]())
  }

  async #open(peer: Pick<Peer, 'peer' | 'network' | 'disk' | 'table' | 'letGo' | 'isFull'>) {
    const { clock } = this
    const wall: Clock = {
      nowMs: () => clock.nowMs() + this.#skews.get(peer.peer)!,
      monotonicMs: () => clock.monotonicMs(),
      timer: (delayMs, fire) => clock.timer(delayMs, fire),
    }
    const { network, disk, table } = peer
    const commit = async () => {
      if (peer.isFull) throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
    }
    const store = await openMemoryStore({ disk, linksOf, clock, commit })
    async function* findProviders() {}
    const exchange = await openExchange({ network, store, linksOf, findProviders, clock, log: silentLog })
    const { capacity } = this.#members.get(peer.peer)!
    const replicas = await openReplicas(
      {
        membership: this.#membershipOf(peer.peer),
        records: this.records.portOf(() => !network.refuses),
        store,
        roots: {
          has: (cid) => store.pins.get(cid) !== undefined,
          list: () => [...store.pins.list()].map(({ cid }) => cid),
          add: async (cid) => {
            await store.pins.add(cid, { recursive: true })
          },
          remove: (cid) => store.pins.remove(cid),
        },
        fetcher: exchange,
        linksOf,
        measure: async (cid, options) => (await measureDag(store, cid, options)).dagBytes,
        openCalls: async ({ answer }) => this.#callsOf(peer.peer, answer),
        table,
        onLetGo: () => void peer.letGo++,
        clock: wall,
        random: seededRandom(this.peers.size + 1),
        log: silentLog,
      },
      { recordCopies: 3, copies: 3, capacity, graceMs: 12 * hourMs, concurrency: 2, ...this.#options },
    )
    const loops = replicas.workers.map((worker) => new WorkerLoop({ worker, clock, log: silentLog }))
    for (const loop of loops) loop.start()
    return { store, exchange, replicas, loops }
  }

  #membershipOf(self: PeerId): Membership {
    return {
      self,
      members: () => [...this.#members.values()].sort((a, b) => (a.peer < b.peer ? -1 : 1)),
      member: (peer) => this.#members.get(peer),
      view: () => this.#view,
      proven: (peer) => this.#members.has(peer),
      claims: () => [],
      learn: () => false,
      onChange: (listen) => {
        this.#listeners.add(listen)
        return () => this.#listeners.delete(listen)
      },
    }
  }

  #callsOf(self: PeerId, answer: AnswerCall): Calls {
    this.#answers.set(self, answer)
    return {
      call: async (peer, request) => {
        const [from, to] = [this.network.peers.get(self), this.network.peers.get(peer)]
        const other = this.#answers.get(peer)
        if (!other || from?.refuses || to?.refuses) throw new CoreError('STREAM_BROKEN', 'nobody answers there')
        const ask = (one: Request) => other(encodeRequest(one), self, {})
        const asked = decodeRequest(request)
        const liar = this.peers.get(peer)?.lies
        if (liar && (asked.kind === 'audit' || asked.kind === 'hold')) return await lie(asked, liar, ask)
        if (asked.kind === 'report' && this.peers.get(self)?.lies) return await ask({ kind: 'used' })
        return await other(request, self, {})
      },
      [Symbol.asyncDispose]: async () => {},
    }
  }
}

type Liar = Exclude<Peer['lies'], false>

/** It says that it holds everything, looks at nothing, and can prove nothing. */
async function lie(
  asked: Request & { kind: 'audit' | 'hold' },
  how: Liar,
  ask: (request: Request) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { nowMs, usedBytes } = decodeAnswer(await ask({ kind: 'used' }))
  if (asked.kind === 'hold') {
    const progress = asked.holdings.map(({ pin }) => ({ state: 'held', doneBytes: decodePin(pin).sizeBytes }) as const)
    return encodeAnswer({ nowMs, usedBytes, kind: 'progress', progress })
  }
  if (how === 'silence') throw new CoreError('STREAM_BROKEN', 'no answer came')
  if (how === 'garbage') return new Uint8Array(7)
  return encodeAnswer({ nowMs, usedBytes, kind: 'hashes', hashes: asked.blocks.map(() => undefined) })
}

/** One set of records for all; writes that saw the same version stay side by side. */
export class SharedRecords {
  readonly #records = new Map<string, PinRecord & { version: number }>()
  readonly #followers = new Set<{ prefix: string; listener: (record: PinRecord) => void }>()
  writes = 0
  /** No owner is reached, and stand-ins that know nothing answer instead. */
  isSloppy = false
  /** Members that do not say which records they have. */
  unreached: PeerId[] = []
  /** Answers to reads are on their way for so long. */
  slowly: ((key: string) => Promise<void>) | undefined
  /** The same for writes. */
  writesSlowly: ((key: string) => Promise<void>) | undefined

  portOf(isReachable: () => boolean): PinRecords {
    const require = () => {
      if (!isReachable()) throw new CoreError('STREAM_BROKEN', 'no owner can be reached')
    }
    const acks = { acks: 2, wanted: 2 }
    return {
      get: async (key, { strict = false } = {}) => {
        require()
        if (this.isSloppy) return { key, siblings: [], context: 'none', ...acks, ...(strict && { stale: true }) }
        const found = { ...this.#get(key), ...acks }
        await this.slowly?.(key)
        return found
      },
      put: async (key, value, { context }) => {
        require()
        this.write(key, value, context)
        await this.writesSlowly?.(key)
        return acks
      },
      remove: async (key, { context }) => {
        require()
        this.write(key, undefined, context)
      },
      list: async (prefix, { after = '' } = {}) => {
        require()
        const entries = [...this.#records.values()].filter(({ key }) => key.startsWith(prefix) && key > after)
        entries.sort((a, b) => (a.key < b.key ? -1 : 1))
        const page = entries.slice(0, 3)
        return { entries: page, next: entries.length > 3 ? page.at(-1)!.key : undefined, unreached: this.unreached }
      },
      follow: (prefix, listener) => {
        const follower = { prefix, listener }
        this.#followers.add(follower)
        for (const record of this.#records.values()) if (record.key.startsWith(prefix)) listener(record)
        return () => this.#followers.delete(follower)
      },
    }
  }

  write(key: string, value: Uint8Array | undefined, context: string): void {
    const before = this.#get(key)
    const siblings = context === before.context ? [] : before.siblings
    const version = before.version + 1
    const record = { key, siblings: [...siblings, { value }], context: String(version), version }
    this.#records.set(key, record)
    this.writes++
    for (const { prefix, listener } of this.#followers) if (key.startsWith(prefix)) listener(record)
  }

  firstValue(key: string): Uint8Array | undefined {
    return this.#get(key).siblings[0]?.value
  }

  /** The record is gone, as if all its owners were. */
  lose(key: string): void {
    this.#records.delete(key)
  }

  pins() {
    return [...this.#records.values()].flatMap((record) => pinOf(record) ?? [])
  }

  #get(key: string) {
    return this.#records.get(key) ?? { key, siblings: [], context: 'none', version: 0 }
  }
}
