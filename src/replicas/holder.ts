// Holding: this peer fetches what it shall hold, the most endangered first and a few at a time, and says how far it is. What
// it need not hold any more it drops only when the record no longer names it and whoever drives the pin has said that enough
// others hold it. Everything goes on where it stopped after a restart.
import { linkedController } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { BlockStore, Fetcher, Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { formatSize } from '../core/units.ts'
import { ReplicasError } from './errors.ts'
import type { Held, Holdings } from './holdings.ts'
import type { Holding, Progress } from './messages.ts'
import { decodePinOf, type Pin } from './pin.ts'

export interface HolderDeps {
  membership: Membership
  store: BlockStore
  fetcher: Fetcher
  holdings: Holdings
  clock: Clock
  log: Log
  /** Tells the driver of a pin how far this peer is. */
  report: (held: Held) => void
}

export class HolderWorker implements Worker {
  readonly name = 'holding copies'
  readonly #deps: HolderDeps
  readonly #concurrency: number
  /** Being fetched, with the way to stop that. */
  readonly #fetching = new Map<Held, AbortController>()
  /** Held, and to be looked through since something is missing somewhere; true: every byte is to be read. */
  readonly #doubted = new Map<Held, boolean>()
  /** What is to be fetched, the first at the end; put in order anew when something has come and some time has passed. */
  #queue: Held[] = []
  #queuedAtMs = Number.NEGATIVE_INFINITY
  readonly #running = new Set<Promise<void>>()
  #cancelDoubt: (() => void) | undefined
  #isNoted = false
  #isClosed = false
  wake: () => void = () => {}

  constructor(deps: HolderDeps, { concurrency }: { concurrency: number }) {
    this.#deps = deps
    this.#concurrency = concurrency
  }

  onWork(wake: () => void): void {
    this.wake = wake
  }

  status(): string {
    const { holdings } = this.#deps
    const waiting = [...holdings.all()].filter(({ isHeld }) => !isHeld)
    const holds = `holds ${holdings.size - waiting.length} pins, ${formatSize(holdings.heldBytes)}`
    if (waiting.length === 0) return holds
    const failing = waiting.find(({ why }) => why !== undefined)
    const reason = failing ? `; ${failing.cid}: ${failing.why}` : ''
    return `${holds}; fetches ${this.#fetching.size} of ${waiting.length} more${reason}`
  }

  /** Takes on a pin, or says why not. */
  async hold(holding: Holding): Promise<Progress> {
    try {
      return await this.#takeOn(holding)
    } catch (error) {
      // Of this pin alone: what is said of others in the same message stands.
      return { state: codeOf(error) === 'STORE_FULL' ? 'full' : 'failing', doneBytes: 0, why: sentenceOf(error) }
    }
  }

  async #takeOn({ key, pin: bytes, others, from, again }: Holding): Promise<Progress> {
    const { holdings, clock, log } = this.#deps
    const pin = decodePinOf(key, bytes)
    const held = await holdings.reserve(key, pin)
    if (!held) return { state: 'full', doneBytes: 0, why: this.#noRoom(pin) }
    // A disk that takes no news may hold the content all the same.
    await holdings.heard(held, pin).catch((error: unknown) => log.debug(`${key} was not noted: ${sentenceOf(error)}`))
    Object.assign(held, { others, from, askedAtMs: clock.monotonicMs() })
    if (again) this.doubt(held, { rereads: true })
    if (!held.isHeld) this.wake()
    return progressOf(held)
  }

  /** Everything held is looked through, and what is missing fetched. */
  doubtAll(): void {
    this.#noteDoubt(true)
    for (const held of this.#deps.holdings.all()) this.doubt(held)
  }

  /** The same in a while: where one block went others may follow, and one look is enough for all. */
  doubtAllSoon(): void {
    this.#noteDoubt(true)
    this.#cancelDoubt ??= this.#deps.clock.timer(times.mendAfterMs, () => {
      this.#cancelDoubt = undefined
      this.doubtAll()
    })
  }

  // The blocks that are gone are not listed any more, so that after a crash nothing else would lead to them.
  #noteDoubt(isDoubted: boolean): void {
    if (isDoubted === this.#isNoted) return
    this.#isNoted = isDoubted
    const { holdings, log } = this.#deps
    holdings.noteDoubt(isDoubted).catch((error: unknown) => log.debug(`a doubt was not noted: ${sentenceOf(error)}`))
  }

  doubt(held: Held, { rereads = false } = {}): void {
    if (held.isHeld) this.#doubted.set(held, rereads || (this.#doubted.get(held) ?? false))
    this.wake()
  }

  /** A member that has the content has found that something of it is missing here. */
  lacks(key: string, auditor: PeerId): void {
    const held = this.#deps.holdings.get(key)
    if (!held) return
    Object.assign(held, { auditor, retryAtMs: 0 })
    this.doubt(held, { rereads: true })
  }

  /** Lets go of a pin, and of what was fetched of it. */
  async drop(held: Held): Promise<void> {
    this.#doubted.delete(held)
    this.#fetching.get(held)?.abort(new Error('it is not needed here any more'))
    await this.#deps.holdings.release(held)
  }

  async step(_signal: AbortSignal): Promise<StepResult> {
    const nowMs = this.#deps.clock.monotonicMs()
    if (this.#queue.length === 0 || nowMs - this.#queuedAtMs >= times.holdQueueMs) this.#putInOrder(nowMs)
    while (this.#fetching.size < this.#concurrency && !this.#isClosed) {
      const held = this.#queue.pop()
      if (!held) break
      if (this.#isLacking(held) || this.#doubted.has(held)) this.#start(held)
    }
    if (this.#doubted.size === 0 && this.#fetching.size === 0 && !this.#cancelDoubt) this.#noteDoubt(false)
    return {
      next: 'later',
      delayMs: this.#fetching.size < this.#concurrency ? this.#untilNextMs(nowMs) : times.holdPollMs,
    }
  }

  /** Stops every fetch; what has come is kept. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelDoubt?.()
    for (const stop of this.#fetching.values()) stop.abort(new Error('this peer stops'))
    await Promise.all(this.#running)
  }

  /** The most endangered first, of these the smallest; what is whole and in doubt comes last. */
  #putInOrder(nowMs: number): void {
    const due = (held: Held) => held.retryAtMs <= nowMs && !this.#fetching.has(held)
    const lacking = [...this.#deps.holdings.all()].filter((held) => this.#isLacking(held) && due(held))
    lacking.sort((a, b) => b.others - a.others || b.sizeBytes - a.sizeBytes || (a.key < b.key ? 1 : -1))
    this.#queue = [...[...this.#doubted.keys()].filter((held) => due(held) && held.isHeld), ...lacking]
    this.#queuedAtMs = nowMs
  }

  #isLacking(held: Held): boolean {
    return !held.isHeld && !this.#fetching.has(held) && this.#deps.holdings.get(held.key) === held
  }

  /** Until something that failed is tried again, or what has come meanwhile is put in order. */
  #untilNextMs(nowMs: number): number {
    let nextMs: number = times.holdPollMs
    for (const held of this.#deps.holdings.all())
      if (!held.isHeld && !this.#fetching.has(held)) nextMs = Math.min(nextMs, Math.max(0, held.retryAtMs - nowMs))
    return Math.max(nextMs, this.#queuedAtMs + times.holdQueueMs - nowMs)
  }

  #start(held: Held): void {
    const stop = new AbortController()
    this.#fetching.set(held, stop)
    const running = this.#fetch(held, stop.signal)
      .catch((error: unknown) => this.#failed(held, error, stop.signal))
      .finally(() => {
        this.#fetching.delete(held)
        this.#running.delete(running)
        this.wake()
      })
    this.#running.add(running)
  }

  async #fetch(held: Held, signal: AbortSignal): Promise<void> {
    const { store, fetcher, holdings } = this.#deps
    const rereads = !held.isHeld || (this.#doubted.get(held) ?? false)
    this.#doubted.delete(held)
    using lease = store.lease(`hold ${held.cid}`)
    const { controller: tooLarge, detach } = linkedController(signal)
    const onProgress = ({ phase, done }: { phase: string; done: number }) => {
      if (phase !== 'fetching') return
      held.doneBytes = Math.min(done, held.sizeBytes)
      // Whoever pinned it may have lied, and no room is reserved for more.
      if (session.report().bytes > held.sizeBytes) tooLarge.abort(moreThanSaid(held))
    }
    const options = { hints: this.#sources(held), background: true, signal, onProgress }
    await using session = fetcher.session(held.cid, lease, options)
    try {
      await session.fetchDag(held.cid, { signal: tooLarge.signal })
      // What came now was checked as it came. What was here before may have rotted, or gone with a file, since it was written.
      if (rereads && session.report().bytes < held.sizeBytes)
        await session.fetchDag(held.cid, { signal: tooLarge.signal, rereads: true })
      tooLarge.signal.throwIfAborted()
    } finally {
      detach()
    }
    await holdings.complete(held)
    this.#deps.report(held)
  }

  async #failed(held: Held, error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { clock, log, holdings, report } = this.#deps
    held.why = sentenceOf(error)
    held.isFull = codeOf(error) === 'STORE_FULL'
    log.debug(`${held.cid} is not held yet: ${held.why}`)
    // The driver finds somebody with more room.
    if (held.isFull) held.failures = limits.holdFailuresCounted
    const delayMs = times.holdRetryFirstMs * 2 ** Math.min(held.failures++, limits.holdFailuresCounted)
    held.retryAtMs = clock.monotonicMs() + Math.min(delayMs, times.holdRetryMostMs)
    await holdings.incomplete(held).catch(() => {})
    report(held)
  }

  /** Where to fetch from, the nearest first. When these did not have all, others follow by turns: a block may be in other pins too. */
  #sources({ auditor, from, pin, failures }: Held): PeerInfo[] {
    const { membership } = this.#deps
    const peers = new Set<PeerId>([
      ...(auditor ? [auditor] : []),
      ...from,
      ...pin.holders,
      ...pin.wishes.map(({ by }) => by),
    ])
    const known = [...peers].flatMap((peer) => membership.member(peer) ?? [])
    known.sort((a, b) => (a.latencyMs ?? Number.POSITIVE_INFINITY) - (b.latencyMs ?? Number.POSITIVE_INFINITY))
    const others = failures > 0 ? membership.members().filter(({ peer }) => !peers.has(peer)) : []
    const at = (failures * limits.fetchPeersMax) % Math.max(1, others.length)
    return [...known, ...others.slice(at), ...others.slice(0, at)]
      .filter(({ peer, liveness, state }) => peer !== membership.self && liveness !== 'dead' && state !== 'left')
      .map(({ peer, addresses }) => ({ peer, addresses }))
  }

  #noRoom(pin: Pin): string {
    const { usedBytes } = this.#deps.holdings
    return `it needs ${formatSize(pin.sizeBytes)}, and this member has promised ${formatSize(usedBytes)} of its room already`
  }
}

function moreThanSaid({ sizeBytes }: Held): ReplicasError {
  const why = `it is larger than the ${formatSize(sizeBytes)} that its pin says; unpin it, and pin it again`
  return new ReplicasError('PIN_INVALID', why)
}

export function progressOf({ isHeld, sizeBytes, doneBytes, why, isFull }: Held): Progress {
  if (isHeld) return { state: 'held', doneBytes: sizeBytes }
  if (why === undefined) return { state: 'fetching', doneBytes }
  return { state: isFull ? 'full' : 'failing', doneBytes, why }
}

/**
 * True when a member may drop what it holds: pure. `pin` is what the records say now; undefined when they say nothing, and
 * then what is held may be all there is. `isEnough`: its driver says that as many as shall hold it do.
 */
export function mayDrop(self: PeerId, pin: Pin | undefined, isEnough: boolean): boolean {
  if (!pin) return false
  return pin.wishes.length === 0 || (isEnough && !pin.holders.includes(self))
}
