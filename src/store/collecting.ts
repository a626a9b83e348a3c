// Collection by itself: when the store is nearly as large as it may get, or the disk nearly full, and some time after pins of
// the cluster were removed. Only what was let go can be collected, so without a pin removed or a lease ended since the last
// collection there is none; and when collecting brought little, and neither a pin went nor much came since, the wait
// doubles each time. What is deleted, and what never is, is decided in collect.ts.
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import { times } from '../core/times.ts'
import { formatSize } from '../core/units.ts'
import type { Collected } from './collect.ts'
import type { DiskSpace } from './disk-space.ts'
import type { Releases, Store } from './open.ts'

export interface CollectingDeps {
  store: Pick<Store, 'gc' | 'stats' | 'releases'>
  /** Of the disk that the store lies on. */
  space: () => Promise<DiskSpace>
  clock: Clock
  log: Log
}

export interface CollectingOptions {
  /** Bytes that the store may have of its own; 0 or undefined: as many as the disk has room for. */
  capacity?: number | undefined
}

/** Bytes that the store has of its own, and what was let go so far. */
export interface Holdings {
  ownBytes: number
  releases: Releases
}

/** The last collection: what was there when it began (releases) and ended (bytes). */
export interface LastCollection extends Holdings {
  endedMs: number
  /** How long it took. */
  tookMs: number
  /** Collections in a row that brought little. */
  fruitless: number
}

export class Collecting implements Worker {
  readonly name = 'collection'
  readonly #deps: CollectingDeps
  readonly #capacity: number
  #last: LastCollection | undefined
  /** A collection is wanted from this time on, however much room there is. */
  #wantedMs: number | undefined
  #running = false
  #doing = 'about to look how full the store is'
  #wake = () => {}

  constructor(deps: CollectingDeps, { capacity }: CollectingOptions = {}) {
    this.#deps = deps
    this.#capacity = capacity || Number.POSITIVE_INFINITY
  }

  onWork(wake: () => void): void {
    this.#wake = wake
  }

  status(): string {
    return this.#doing
  }

  /** Pins have been removed: what only they kept goes in some seconds, together with what is removed by then. */
  soon(): void {
    if (this.#wantedMs !== undefined && !this.#running) return
    this.#wantedMs = this.#deps.clock.monotonicMs() + times.collectSoonMs
    this.#wake()
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const holdings = this.#holdings()
    const space = await this.#deps.space()
    signal.throwIfAborted()
    const why = pressure(holdings.ownBytes, this.#capacity, space)
    const nowMs = this.#deps.clock.monotonicMs()
    const waitMs = Math.min(
      why ? untilWorthwhileMs(this.#last, holdings, nowMs) : Number.POSITIVE_INFINITY,
      this.#wantedMs === undefined ? Number.POSITIVE_INFINITY : untilWantedMs(this.#wantedMs, this.#last, nowMs),
    )
    if (waitMs <= 0) await this.#collect(why ?? 'pins were removed', holdings.releases, signal)
    else this.#doing = this.#describe(why)
    return { next: 'later', delayMs: waitMs <= 0 ? times.collectPollMs : Math.min(waitMs, times.collectPollMs) }
  }

  async #collect(why: string, releases: Releases, signal: AbortSignal): Promise<void> {
    const { store, clock, log } = this.#deps
    const wantedMs = this.#wantedMs
    const before = this.#holdings().ownBytes
    this.#running = true
    this.#doing = `collecting, because ${why}`
    try {
      const startedMs = clock.monotonicMs()
      const collected = await store.gc({ signal })
      if (this.#wantedMs === wantedMs) this.#wantedMs = undefined
      const isFruitful = collected.bytes * limits.collectPart >= before
      const { ownBytes } = this.#holdings()
      const fruitless = isFruitful ? 0 : (this.#last?.fruitless ?? 0) + 1
      const endedMs = clock.monotonicMs()
      this.#last = { endedMs, tookMs: endedMs - startedMs, fruitless, ownBytes, releases }
      this.#doing = outcome(collected)
      log.info(`${why}: ${this.#doing}`)
    } finally {
      this.#running = false
    }
  }

  #describe(why: string | undefined): string {
    const { ownBytes } = this.#holdings()
    if (why) return `${why}, and nothing more can be collected for now`
    if (this.#wantedMs !== undefined) return 'collecting in a moment, because pins were removed'
    const of = this.#capacity === Number.POSITIVE_INFINITY ? '' : ` of ${formatSize(this.#capacity)}`
    return `not needed: the store has ${formatSize(ownBytes)}${of}`
  }

  #holdings(): Holdings {
    const { inlineBytes, fileBytes } = this.#deps.store.stats()
    return { ownBytes: inlineBytes + fileBytes, releases: this.#deps.store.releases() }
  }
}

/** Why there should be more room, for people; undefined if there is enough. Pure. */
export function pressure(ownBytes: number, capacity: number, { freeBytes, totalBytes }: DiskSpace): string | undefined {
  if (ownBytes > capacity * limits.highWaterPart)
    return `the store has ${formatSize(ownBytes)} of ${formatSize(capacity)}`
  if (freeBytes < totalBytes * limits.diskFreePart) return `the disk has only ${formatSize(freeBytes)} left`
  return undefined
}

/** How long to wait for a collection that may bring something; for ever if none can. Pure. */
export function untilWorthwhileMs(last: LastCollection | undefined, now: Holdings, nowMs: number): number {
  if (!last) return 0
  const pinsWent = now.releases.pins > last.releases.pins
  if (!pinsWent && now.releases.leases === last.releases.leases) return Number.POSITIVE_INFINITY
  const muchCame = (now.ownBytes - last.ownBytes) * limits.collectPart >= now.ownBytes
  const everyMs =
    pinsWent || muchCame
      ? times.collectEveryMs
      : Math.min(times.collectEveryMs * 2 ** last.fruitless, times.collectMostMs)
  return last.endedMs + everyMs - nowMs
}

function untilWantedMs(wantedMs: number, last: LastCollection | undefined, nowMs: number): number {
  if (!last) return wantedMs - nowMs
  // Where reading all pins takes long, a fifth of the time goes into it at most.
  return Math.max(wantedMs, last.endedMs + Math.max(times.collectSoonMs, 4 * last.tookMs)) - nowMs
}

function outcome({ blocks, bytes, incomplete }: Collected): string {
  const freed = `${blocks} blocks (${formatSize(bytes)}) were deleted`
  if (incomplete.length === 0) return freed
  return `${freed}; of ${incomplete.length} pins blocks are missing, of ${incomplete[0]} for one: fetch or unpin them`
}
