// A simulated peer with everything that keeps content: members, records, exchange, replicas and the store over a disk in
// memory, wired by the node as in production, over simulated ports. There are no servers of a DHT. Here is the only place
// that knows how a client's wishes become calls of the organs.
import type { CID } from 'multiformats/cid'
import { type Abortable, withDeadline } from '../../base/abort.ts'
import type { Clock } from '../../base/clock.ts'
import type { PeerId } from '../../core/peer.ts'
import type { BlockReader, Dht, FetchSession, LinksOf, Table, TableOperation } from '../../core/ports.ts'
import { assemble, type Organs, type Ports } from '../../node/assemble.ts'
import { leaveCluster } from '../../node/membership.ts'
import { rootsOf } from '../../node/roots.ts'
import type { Store } from '../../store/open.ts'
import type { MachinePorts } from '../cluster.ts'
import { meetInviters } from '../peer.ts'
import type { Dag, KnownPin, PinInspected, PinProgram, PinWish, ShownPin } from './program.ts'

/** A pin as the record of one says it. */
interface ReadPin {
  cid: string
  sizeBytes: number
  wishes: readonly { id: string; by: PeerId; copies: number; expiresMs?: number | undefined; elsewhere: boolean }[]
  holders: readonly PeerId[]
}

export interface PinPeerOptions {
  copies: number
  graceMs: number
  linksOf: LinksOf
  measureDag: (reader: BlockReader, root: CID, options?: Abortable) => Promise<{ dagBytes: number }>
  /** What a record of a pin says; undefined if it says none. */
  pinOf: (record: { key: string; siblings: readonly { value: Uint8Array | undefined }[] }) => ReadPin | undefined
  /** Breaks a promise of the replicas. */
  spoil?: Ports['spoil']
}

/** Clients that read and that wait give up after this long. */
const readMs = 60_000
const waitMs = 80_000
const concurrency = 4
const pinPrefix = 'pin/'

const noDht: Dht = {
  size: () => 0,
  closest: () => Promise.reject(new Error('there are no servers')),
  addProviders: async () => {},
  async *findProviders() {},
  putValue: async () => 0,
  getValues: async () => [],
}

export async function startPinPeer(ports: MachinePorts, options: PinPeerOptions): Promise<PinProgram> {
  const { linksOf, measureDag, spoil, copies, graceMs } = options
  const { zone, capacity, table, invitedBy } = ports
  const store = await ports.openStore(linksOf)
  const quiet = new QuietClock(ports.clock)
  const records = new CountedTable(table('records'))
  const tables = {
    announcements: table('announcements'),
    ipns: table('ipns'),
    members: table('members'),
    records,
    replicas: table('replicas'),
  }
  const organs = await assemble(
    {
      ...ports,
      dht: noDht,
      store,
      tables,
      roots: rootsOf(store.pins),
      linksOf,
      measure: async (cid, each) => (await measureDag(store, cid, each)).dagBytes,
      onLetGo: () => {},
      spoil: (real) => {
        const given = { ...real, clock: quiet }
        return spoil?.(given) ?? given
      },
    },
    { zone, capacity, copies, private: true, graceMs, concurrency, isInvited: invitedBy.length > 0 },
  )
  return new PinPeer(ports, { organs, store, quiet, records, stopMeeting: meetInviters(ports) }, options)
}

/** What the records said after so many writes. */
type ReadRecords = Pick<PinInspected, 'known' | 'onTheirWay'> & { writes: number }

interface PinPeerParts {
  organs: Organs
  store: Store
  quiet: QuietClock
  records: CountedTable
  stopMeeting: () => void
}

class PinPeer implements PinProgram {
  readonly #ports: MachinePorts
  readonly #organs: Organs
  readonly #store: Store
  readonly #quiet: QuietClock
  readonly #records: CountedTable
  readonly #stopMeeting: () => void
  readonly #options: PinPeerOptions
  /** Bytes that sessions of clients brought, and the sessions that still may. */
  #readBytes = 0
  readonly #reading = new Set<FetchSession>()
  #read: ReadRecords | undefined

  constructor(
    ports: MachinePorts,
    { organs, store, quiet, records, stopMeeting }: PinPeerParts,
    options: PinPeerOptions,
  ) {
    this.#ports = ports
    this.#organs = organs
    this.#store = store
    this.#quiet = quiet
    this.#records = records
    this.#stopMeeting = stopMeeting
    this.#options = options
  }

  async pin({ root, blocks, sizeBytes }: Dag, { copies, endsAfterMs, elsewhere }: PinWish): Promise<void> {
    using lease = this.#store.lease('add')
    await using writer = this.#store.writer(lease)
    for (const block of blocks) await writer.put(block)
    await writer.flush()
    const expiresMs = endsAfterMs === undefined ? undefined : Math.round(this.#ports.clock.nowMs() + endsAfterMs)
    await this.#organs.replicas.pin(root, { copies, sizeBytes, expiresMs, elsewhere })
  }

  async wait(root: CID, count: number): Promise<ShownPin> {
    const { clock } = this.#ports
    const wait = (signal: AbortSignal) => this.#organs.replicas.wait(root, count, { signal })
    return this.#shown(await withDeadline(clock, waitMs, 'waiting', wait))
  }

  unpin(root: CID): Promise<boolean> {
    return this.#organs.replicas.unpin(root)
  }

  async letGo(root: CID): Promise<void> {
    await this.#organs.replicas.letGo(root)
  }

  async read(root: CID): Promise<number> {
    const { clock } = this.#ports
    using lease = this.#store.lease('get')
    const session = this.#organs.exchange.session(root, lease)
    this.#reading.add(session)
    try {
      const bring = (signal: AbortSignal) => session.fetchDag(root, { signal })
      await withDeadline(clock, readMs, 'reading', bring)
      return session.report().bytes
    } finally {
      await session[Symbol.asyncDispose]()
      this.#reading.delete(session)
      this.#readBytes += session.report().bytes
    }
  }

  async status(root: CID): Promise<ShownPin | undefined> {
    const status = await this.#organs.replicas.status(root)
    return status && this.#shown(status)
  }

  async scrub(): Promise<void> {
    const { problems } = await this.#store.verify()
    if (problems.length > 0) this.#organs.replicas.mend()
  }

  async collect(): Promise<void> {
    await this.#store.gc()
  }

  async leave(): Promise<void> {
    await leaveCluster(this.#organs, this.#ports.clock, {})
  }

  async forget(peer: PeerId): Promise<void> {
    await this.#organs.members.forget(peer)
  }

  skip(byMs: number): void {
    const { loops, replicas } = this.#organs
    const names = replicas.workers.map(({ name }) => name)
    this.#quiet.skippedMs += byMs
    for (const loop of loops) if (names.includes(loop.status().name)) loop.wake()
  }

  inspect(): PinInspected {
    const { members, replicas } = this.#organs
    // Everybody is looked at every second, and seldom has anything changed.
    if (this.#read?.writes !== this.#records.writes) this.#read = this.#readRecords()
    const { known, onTheirWay } = this.#read
    const { heldBytes, reservedBytes, capacity } = replicas.summary()
    const view = members.view()
    return { epoch: view.epoch, members: view.members.length, known, onTheirWay, heldBytes, reservedBytes, capacity }
  }

  movedBytes(): number {
    let readBytes = this.#readBytes
    for (const session of this.#reading) readBytes += session.report().bytes
    return this.#organs.exchange.status().bytesReceived - readBytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopMeeting()
    await this.#organs[Symbol.asyncDispose]()
    await this.#store[Symbol.asyncDispose]()
  }

  #readRecords(): ReadRecords {
    const known = new Map<string, KnownPin>()
    const onTheirWay = new Map<string, string[]>()
    for (const record of this.#organs.records.local()) {
      const pin = record.key.startsWith(pinPrefix) ? this.#options.pinOf(record) : undefined
      const ids = pin?.wishes.map(({ id }) => id)
      if (pin && ids && record.standIn) onTheirWay.set(pin.cid, ids)
      else if (pin) known.set(pin.cid, this.#known(pin))
    }
    return { writes: this.#records.writes, known, onTheirWay }
  }

  #known({ sizeBytes, wishes, holders }: ReadPin): KnownPin {
    const { nameOf } = this.#ports
    const ends = wishes.map(({ expiresMs = Number.POSITIVE_INFINITY }) => expiresMs)
    const endsMs = Math.max(0, ...ends)
    return {
      sizeBytes,
      copies: Math.max(0, ...wishes.map(({ copies }) => copies)),
      by: wishes.map(({ by }) => nameOf(by)),
      wishes: wishes.map(({ id }) => id),
      elsewhere: wishes.filter(({ elsewhere }) => elsewhere).map(({ by }) => nameOf(by)),
      endsMs: endsMs === Number.POSITIVE_INFINITY ? undefined : endsMs,
      holders: holders.map(nameOf),
    }
  }

  #shown({ copies, held, state, why, places }: Awaited<ReturnType<Organs['replicas']['wait']>>): ShownPin {
    const { nameOf } = this.#ports
    return {
      copies,
      held,
      state,
      why,
      places: places.map((place) => ({ peer: nameOf(place.peer), state: place.state })),
    }
  }
}

/** A table that counts its changes, from when they are asked for to when they are made. */
class CountedTable implements Table {
  readonly #table: Table
  writes = 0

  constructor(table: Table) {
    this.#table = table
  }

  get(key: string): Uint8Array | undefined {
    return this.#table.get(key)
  }

  range(bounds: Parameters<Table['range']>[0]): ReturnType<Table['range']> {
    return this.#table.range(bounds)
  }

  async write(operations: TableOperation[]): Promise<void> {
    this.writes++
    try {
      await this.#table.write(operations)
    } finally {
      this.writes++
    }
  }
}

/** A clock from which stretches of time can be cut out. Wall time and timers stay as they are. */
class QuietClock implements Clock {
  readonly #clock: Clock
  skippedMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs() + this.skippedMs
  }

  timer(delayMs: number, fire: () => void): () => void {
    return this.#clock.timer(delayMs, fire)
  }
}
