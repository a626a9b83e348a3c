// Replicas: pins that the cluster keeps. A pin is a record; its first live owner drives it, members hold what they are named
// for, and everybody may ask. This file puts the parts together and is the only one that others open.
import { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import type { Worker } from '../base/worker.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Calls, Membership } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import { times } from '../core/times.ts'
import { AuditWorker } from './audit.ts'
import { ClusterTime } from './cluster-time.ts'
import { DriverWorker } from './driver.ts'
import { ReplicasError } from './errors.ts'
import { HolderWorker, progressOf } from './holder.ts'
import { type Held, Holdings } from './holdings.ts'
import { KeeperWorker } from './keeper.ts'
import { Peers } from './peers.ts'
import {
  copiesOf,
  decodePinOf,
  elsewhereOf,
  encodePin,
  mergePins,
  type Pin,
  pinKey,
  pinOf,
  pinPrefix,
  withoutWishes,
  withWish,
} from './pin.ts'
import { Presence } from './presence.ts'
import { changedMembers, previewOf } from './preview.ts'
import { act, answerCalls, type ServeDeps } from './serve.ts'
import { statusOf } from './status.ts'
import { askDrivers } from './telling.ts'
import type {
  Change,
  PinOptions,
  PinRecord,
  PinRecords,
  PinStatus,
  Preview,
  Replicas,
  ReplicasDeps,
  ReplicasOptions,
  ReplicasStatus,
} from './words.ts'

const protocol = '/potluck/replicas/1.0.0'
const wishIdBytes = 12

/** Opens this peer's part of the replicas. Its workers run only when something runs them. */
export async function openReplicas(deps: ReplicasDeps, options: ReplicasOptions): Promise<Replicas> {
  await using opening = new Scope()
  const { membership, records, store, clock, table } = deps
  const { self } = membership
  const time = new ClusterTime(clock)
  const presence = new Presence({ membership, table, clock }, options)
  const holdings = await Holdings.open({ table, roots: deps.roots }, options)
  let calls: Calls | undefined
  const peers: Peers = new Peers({
    self,
    calls: () => calls!,
    time,
    local: (request, from) => act(serving, request, from),
  })
  const common = { ...deps, time, presence, holdings, peers }
  const driver: DriverWorker = new DriverWorker(common, options)
  const report = (held: Held) => void tellDriver(peers, driver, held, deps.log)
  const holder = new HolderWorker({ ...common, report }, options)
  const keeper: KeeperWorker = new KeeperWorker({
    ...common,
    driver,
    holder,
    tell: (cid, signal) => replicas.tell(cid, { signal }),
    onLetGo: () => deps.onLetGo(),
  })
  const serving: ServeDeps = { membership, store, clock, presence, holdings, driver, holder, keeper }
  const parts: Parts = { ...common, driver, holder, keeper, options }
  calls = opening.use(await deps.openCalls({ protocol, answer: answerCalls(serving) }))
  opening.defer(() => holder.close())
  if (holdings.isDoubted) holder.doubtAll()
  opening.defer(store.onLost(() => holder.doubtAllSoon()))
  opening.defer(records.follow(pinPrefix, (record) => driver.follow(record)))
  opening.defer(
    membership.onChange(() => {
      driver.wake()
      if (membership.member(self)?.state === 'leaving') keeper.wake()
    }),
  )
  const audit = new AuditWorker({ ...common, driver, holder })
  const replicas = new OpenReplicas(parts, [driver, holder, keeper, audit], opening.move())
  return replicas
}

/** The driver hears of it anyway when it asks the next time. */
async function tellDriver(peers: Peers, driver: DriverWorker, held: Held, log: Log): Promise<void> {
  const peer = driver.driverOf(partitionOf(held.key))
  if (peer === undefined) return
  try {
    await peers.ask(peer, { kind: 'report', progress: [[held.key, progressOf(held)]] }, 'noted')
  } catch (error) {
    log.debug(`${peer} was not told of ${held.cid}: ${sentenceOf(error)}`)
  }
}

interface Parts {
  membership: Membership
  records: PinRecords
  roots: ReplicasDeps['roots']
  measure: ReplicasDeps['measure']
  clock: Clock
  random: Random
  log: Log
  presence: Presence
  time: ClusterTime
  holdings: Holdings
  peers: Peers
  driver: DriverWorker
  holder: HolderWorker
  keeper: KeeperWorker
  options: ReplicasOptions
}

class OpenReplicas implements Replicas {
  readonly workers: Worker[]
  readonly #parts: Parts
  readonly #scope: Scope

  constructor(parts: Parts, workers: Worker[], scope: Scope) {
    this.#parts = parts
    this.workers = workers
    this.#scope = scope
  }

  async pin(cid: CID, options: PinOptions): Promise<PinStatus> {
    const { roots } = this.#parts
    const { copies = this.#parts.options.copies, sizeBytes, expiresMs, elsewhere = false, signal } = options
    if (!Number.isInteger(copies) || copies < 1 || copies > limits.copiesMax)
      throw new ReplicasError('COPIES_INVALID', `a pin may have 1 to ${limits.copiesMax} copies, not ${copies}`)
    const key = pinKey(cid)
    const { holdings, membership, random } = this.#parts
    const id = Buffer.from(random.bytes(wishIdBytes)).toString('base64url')
    const endsMs = expiresMs === undefined ? undefined : Math.max(0, Math.round(this.#parts.time.atMs(expiresMs)))
    const wish = { id, by: membership.self, copies, expiresMs: endsMs, elsewhere }
    const telling = { key, id, before: holdings.kept(key), hadRoot: roots.has(cid) }
    // First here: should the process end before it is known that the record was written, that is found out later. The row comes
    // before its root, or the root would be taken for an import, which wishes for something else.
    await holdings.keep(key, withWish(telling.before, cid, sizeBytes, wish), telling)
    try {
      if (!telling.hadRoot) await roots.add(cid)
      const record = await this.#recordFor(key, signal)
      const pin = withWish(pinOf(record), cid, sizeBytes, wish)
      await this.#parts.records.put(key, encodePin(pin), { context: record.context, signal })
      await holdings.told(telling).catch((error: unknown) => this.#parts.log.debug(sentenceOf(error)))
      return await this.#statusAfter(pin, signal)
    } catch (error) {
      // Who is told that it failed does not expect it to come true later, after somebody has unpinned the same.
      await holdings.unwish(telling).catch((failure: unknown) => {
        this.#parts.log.warn(`that ${cid} is not pinned could not be noted: ${sentenceOf(failure)}`)
      })
      throw error
    }
  }

  // Who can reach nobody writes beside what others have; it is merged when they meet.
  async #recordFor(key: string, signal: AbortSignal | undefined): Promise<PinRecord> {
    try {
      return await this.#parts.records.get(key, { signal })
    } catch (error) {
      if (codeOf(error) !== 'QUORUM_UNAVAILABLE') throw error
      return { key, siblings: [], context: 'none' }
    }
  }

  /** A root that is kept here already, and that nobody else knows of. */
  async tell(cid: CID, { signal }: Abortable): Promise<void> {
    await this.pin(cid, { sizeBytes: await this.#parts.measure(cid, { signal }), signal })
  }

  async unpin(cid: CID, { signal }: Abortable = {}): Promise<boolean> {
    const { records, time, keeper, holdings } = this.#parts
    const key = pinKey(cid)
    // What stand-ins lack says nothing, and what few owners have is ended as far as it is seen.
    const record = await records.get(key, { strict: true, signal })
    const [pin, kept] = [pinOf(record), holdings.kept(key)]
    if (!pin && record.stale)
      throw new ReplicasError(
        'PINS_UNREACHED',
        `too few of those who know whether ${cid} is pinned answer; try again when they are back`,
        { retryable: true },
      )
    // Of a wish that this peer keeps the others may not know yet, and must not hear later.
    const known = pin && kept ? mergePins(pin, kept) : (pin ?? kept)
    if (!known || (known.wishes.length === 0 && !kept)) return false
    if (known.wishes.length > 0) {
      const ended = withoutWishes(known, () => true, time.nowMs())
      await records.put(key, encodePin(ended), { context: record.context, signal })
    }
    // Who pinned it anew meanwhile here keeps it: that wish has not been ended.
    if (holdings.kept(key) === kept) await holdings.unkeep(key)
    keeper.release([key])
    return true
  }

  async letGo(cid: CID, { signal }: Abortable = {}): Promise<boolean> {
    const { holdings, keeper } = this.#parts
    const key = pinKey(cid)
    const kept = holdings.kept(key)
    if (!kept) return true
    if (!holdings.get(key) && !(await keeper.isSpare(key, { signal }))) return false
    // Pinned anew meanwhile, it stays for that.
    if (holdings.kept(key) !== kept) return false
    await holdings.unkeep(key)
    return true
  }

  async status(cid: CID, { signal }: Abortable = {}): Promise<PinStatus | undefined> {
    const key = pinKey(cid)
    const told = (await askDrivers(this.#parts, [key], { signal })).get(key)
    const pin = told ? decodePinOf(key, told.pin) : pinOf(await this.#parts.records.get(key, { signal }))
    return pin && pin.wishes.length > 0 ? statusOf(this.#parts, pin, told) : undefined
  }

  async *list({ signal }: Abortable = {}): AsyncGenerator<PinStatus> {
    const { records } = this.#parts
    const silent = new Set<PeerId>()
    for (let after = pinPrefix; ; ) {
      const { entries, next, unreached } = await records.list(pinPrefix, { after, signal })
      for (const peer of unreached) silent.add(peer)
      const told = await askDrivers(
        this.#parts,
        entries.map(({ key }) => key),
        { signal },
      )
      for (const entry of entries) {
        const known = told.get(entry.key)
        const pin = known ? decodePinOf(entry.key, known.pin) : pinOf(entry)
        if (pin && pin.wishes.length > 0) yield statusOf(this.#parts, pin, known)
      }
      if (next === undefined) break
      after = next
    }
    this.#requireAll(silent)
  }

  // Each record is at several members: fewer that are silent hide none.
  #requireAll(silent: ReadonlySet<PeerId>): void {
    const { membership, options } = this.#parts
    const owners = membership.view().members.filter(({ capacity }) => capacity > 0).length
    if (silent.size === 0 || silent.size < Math.min(options.recordCopies, owners)) return
    throw new ReplicasError(
      'PINS_UNREACHED',
      `there may be more pins: ${silent.size} members did not answer (${[...silent].join(', ')}); ask again when they are back`,
      { retryable: true },
    )
  }

  async wait(cid: CID, count: number, { signal, onProgress }: Abortable & Reporting = {}): Promise<PinStatus> {
    const { clock } = this.#parts
    for (;;) {
      const status = await this.status(cid, { signal })
      if (!status) throw new ReplicasError('NOT_KEPT', `${cid} is not pinned any more`)
      this.#requireHolders(status, count)
      const { held, sizeBytes, why, bytesPerSecond } = status
      if (held >= count) return status
      const total = sizeBytes * count
      const most = status.places.map(({ doneBytes }) => doneBytes).sort((a, b) => b - a)
      const done = most.slice(0, count).reduce((sum, bytes) => sum + bytes, 0)
      const note = `${held} of ${count} copies${why ? `; ${why}` : ''}`
      onProgress?.({ phase: 'copying', done: Math.min(done, total), total, unit: 'bytes', note })
      await sleep(clock, bytesPerSecond > 0 ? times.pinWaitMs : times.pinWaitMs / 2, signal)
    }
  }

  async *holders(cid: CID, { signal }: Abortable = {}): AsyncGenerator<PeerInfo> {
    const { driver, records, membership } = this.#parts
    const key = pinKey(cid)
    const pin = driver.get(key)?.pin ?? pinOf(await records.get(key, { signal }))
    if (!pin) return
    for (const peer of new Set([...pin.holders, ...pin.wishes.map(({ by }) => by)])) {
      const member = membership.member(peer)
      if (!member || peer === membership.self || !this.#parts.presence.isHere(member)) continue
      yield { peer, addresses: member.addresses }
    }
  }

  async preview(change: Change, { signal }: Abortable = {}): Promise<Preview> {
    const { records, membership } = this.#parts
    const pins = []
    const unreached = new Set<PeerId>()
    for (let after = pinPrefix; ; ) {
      const page = await records.list(pinPrefix, { after, signal })
      for (const peer of page.unreached) unreached.add(peer)
      for (const entry of page.entries) {
        const pin = pinOf(entry)
        if (!pin || pin.wishes.length === 0) continue
        const except = elsewhereOf(pin)
        const { sizeBytes, holders } = pin
        pins.push({ partition: partitionOf(entry.key), sizeBytes, copies: copiesOf(pin), holders, except })
      }
      if (page.next === undefined) break
      after = page.next
    }
    return { ...previewOf(pins, changedMembers(membership.view().members, change)), unreached: [...unreached] }
  }

  async usedBytes(peer: PeerId, options: Abortable = {}): Promise<number> {
    return (await this.#parts.peers.ask(peer, { kind: 'used' }, 'noted', options)).usedBytes
  }

  mend(): void {
    this.#parts.holder.doubtAll()
  }

  bytesToHandOver(): number {
    return this.#isLeaving ? this.#parts.keeper.unsafe().sizeBytes : 0
  }

  drained(): boolean {
    return this.#parts.keeper.unsafe().keys.length === 0
  }

  summary(): ReplicasStatus {
    const { holdings, driver, options } = this.#parts
    let [driven, underReplicated] = [0, 0]
    for (const one of driver.driven()) {
      if (one.pin.wishes.length === 0) continue
      driven++
      if (driver.isShort(one)) underReplicated++
    }
    const { heldBytes, usedBytes } = holdings
    const reservedBytes = usedBytes - heldBytes
    return { pins: holdings.size, heldBytes, reservedBytes, capacity: options.capacity, driven, underReplicated }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope.close()
  }

  get #isLeaving(): boolean {
    const { membership } = this.#parts
    return membership.member(membership.self)?.state === 'leaving'
  }

  // Of what is new nobody has been asked yet. The wish stands by now, whatever comes of asking.
  async #statusAfter(pin: Pin, signal: AbortSignal | undefined): Promise<PinStatus> {
    if (pin.holders.length === 0) return { ...statusOf(this.#parts, pin, undefined), why: undefined }
    const key = pinKey(CID.parse(pin.cid))
    try {
      const told = (await askDrivers(this.#parts, [key], { signal })).get(key)
      return statusOf(this.#parts, told ? mergePins(decodePinOf(key, told.pin), pin) : pin, told)
    } catch {
      return statusOf(this.#parts, pin, undefined)
    }
  }

  #requireHolders({ cid, possible, why }: PinStatus, count: number): void {
    if (count <= possible) return
    const members = possible === 1 ? '1 member' : `${possible} members`
    throw new ReplicasError(
      'COPIES_UNAVAILABLE',
      `${count} members shall hold ${cid}, and ${members} can${why === undefined ? '' : ` (${why})`}; it is pinned, and copied as far as possible`,
      { retryable: true },
    )
  }
}
