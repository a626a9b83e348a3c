// The scrub: every block is read again once in a cycle, those in the user's own files included, so that rot is found while
// other machines still have what rotted. It goes through the store in the order of keys, a few blocks at a time, and
// keeps to a plan: the part of the cycle that has passed is the part of the bytes that has been read. A machine that was
// off catches up, never faster than `limits.scrubBytesPerSecond`. Where it is survives a restart. It mends nothing: it
// tells, and the store has set aside what does not match.
import type { CID } from 'multiformats/cid'
import type { Clock } from '../base/clock.ts'
import { readVarint, varintBytes } from '../base/frames.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { formatSize, formatTime } from '../core/units.ts'
import type { Store } from './open.ts'

export interface ScrubDeps {
  store: Pick<Store, 'examine' | 'stats'>
  /** Where the scrub is. */
  table: Table
  clock: Clock
  log: Log
  /** Hears of every block that cannot be read as what it is, by a raw CID: its codec is not known here. */
  onRot: (cid: CID, problem: string) => void
}

/** Where a cycle is. */
export interface Cycle {
  /** Wall time of its start. */
  startedMs: number
  /** Bytes read since. */
  doneBytes: number
  /** The key read last; undefined at the start. */
  upTo: Uint8Array | undefined
}

const place = 'cycle'

export class Scrub implements Worker {
  readonly name = 'scrub'
  readonly #deps: ScrubDeps
  #cycle: Cycle | undefined
  #savedMs = Number.NEGATIVE_INFINITY
  #problems = 0

  constructor(deps: ScrubDeps) {
    this.#deps = deps
  }

  /** Blocks that could not be read since the start. */
  get problems(): number {
    return this.#problems
  }

  status(): string {
    const { store, clock } = this.#deps
    const { bytes } = store.stats()
    const found = this.#problems === 0 ? '' : `; ${this.#problems} blocks were unreadable since the start`
    if (!this.#cycle) return `about to read ${formatSize(bytes)} again`
    const { doneBytes, upTo, startedMs } = this.#cycle
    if (upTo) return `${formatSize(doneBytes)} of ${formatSize(bytes)} read again${found}`
    const waitMs = Math.max(0, startedMs - clock.nowMs())
    return `all blocks are read again ${waitMs === 0 ? 'from now' : `in ${formatTime(waitMs)}`}${found}`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { store, clock } = this.#deps
    const nowMs = clock.nowMs()
    this.#cycle = sane(this.#cycle ?? this.#saved() ?? { startedMs: nowMs, doneBytes: 0, upTo: undefined }, nowMs)
    const waitMs = untilDueMs(this.#cycle, store.stats().bytes, nowMs)
    // Wall time may jump, and timers stand still while a machine sleeps.
    if (waitMs > 0) return { next: 'later', delayMs: Math.min(waitMs, times.scrubPollMs) }
    const { blocks, bytes, problems, upTo } = await store.examine(this.#cycle.upTo, { signal })
    for (const { cid, problem } of problems) this.#tell(cid, problem)
    this.#cycle = upTo
      ? { startedMs: this.#cycle.startedMs, doneBytes: this.#cycle.doneBytes + bytes, upTo }
      : cycleAfter(this.#cycle, clock.nowMs())
    if (!upTo || clock.monotonicMs() - this.#savedMs >= times.scrubSaveMs) await this.#save(this.#cycle)
    // Blocks without bytes take time as well.
    const costBytes = Math.max(bytes, blocks * limits.scrubBlockBytes)
    return { next: 'later', delayMs: Math.ceil((costBytes / limits.scrubBytesPerSecond) * 1_000) }
  }

  #tell(cid: CID, problem: string): void {
    this.#problems++
    this.#deps.log.warn(`found while reading blocks again: ${problem}`)
    this.#deps.onRot(cid, problem)
  }

  #saved(): Cycle | undefined {
    const value = this.#deps.table.get(place)
    return value && decodeCycle(value)
  }

  async #save(cycle: Cycle): Promise<void> {
    await this.#deps.table.write([{ put: place, value: encodeCycle(cycle) }])
    this.#savedMs = this.#deps.clock.monotonicMs()
  }
}

/** A clock that was far ahead and was set right must not stop the scrub. Pure. */
export function sane(cycle: Cycle, nowMs: number): Cycle {
  const latestMs = nowMs + (cycle.upTo ? 0 : times.scrubCycleMs)
  return cycle.startedMs > latestMs ? { ...cycle, startedMs: nowMs } : cycle
}

/** How long until the next blocks are to be read; not positive: now. Pure. */
export function untilDueMs({ startedMs, doneBytes }: Cycle, storeBytes: number, nowMs: number): number {
  const part = Math.min(1, doneBytes / Math.max(1, storeBytes))
  return startedMs + part * times.scrubCycleMs - nowMs
}

/** The cycle after one that has ended: at its time, or now if that has passed. Pure. */
export function cycleAfter({ startedMs }: Cycle, nowMs: number): Cycle {
  return { startedMs: Math.max(nowMs, startedMs + times.scrubCycleMs), doneBytes: 0, upTo: undefined }
}

function encodeCycle({ startedMs, doneBytes, upTo }: Cycle): Uint8Array {
  return Buffer.concat([varintBytes(Math.round(startedMs)), varintBytes(doneBytes), upTo ?? new Uint8Array(0)])
}

function decodeCycle(value: Uint8Array): Cycle {
  const { value: startedMs, next } = readVarint(value, 0)
  const { value: doneBytes, next: at } = readVarint(value, next)
  return { startedMs, doneBytes, upTo: at < value.byteLength ? value.slice(at) : undefined }
}
