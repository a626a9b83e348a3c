// Two ways to put work on something and time it. Closed: so much in flight at any time, which shows how much can be done.
// Open: so much per second whatever becomes of it, which shows how long each takes for callers who do not wait for others.
import { type Clock, sleep } from '../base/clock.ts'

const paceMs = 1

/** More than this unanswered means that the load cannot be carried. */
const unansweredMax = 10_000

/** Does `work` for `durationMs` with `inFlight` at a time; returns how many were done per second. */
export async function closedLoop(
  clock: Clock,
  { inFlight, durationMs }: { inFlight: number; durationMs: number },
  work: () => Promise<unknown>,
): Promise<number> {
  const startedMs = clock.monotonicMs()
  let done = 0
  const lane = async () => {
    for (; clock.monotonicMs() - startedMs < durationMs; done++) await work()
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return done / ((clock.monotonicMs() - startedMs) / 1_000)
}

/**
 * Starts `work` `perSecond` times a second for `durationMs`; returns how long each took, milliseconds, counted from when it
 * was due, so that one that had to wait for its turn is not flattered. Timers make that up to a millisecond too much.
 */
export async function openLoop(
  clock: Clock,
  { perSecond, durationMs }: { perSecond: number; durationMs: number },
  work: () => Promise<unknown>,
): Promise<number[]> {
  const startedMs = clock.monotonicMs()
  const count = Math.ceil((perSecond * durationMs) / 1_000)
  const tookMs: number[] = []
  const all: Promise<void>[] = []
  while (all.length < count) {
    const dueMs = startedMs + (all.length * 1_000) / perSecond
    if (dueMs > clock.monotonicMs()) {
      await sleep(clock, paceMs)
      continue
    }
    const one = work().then(() => void tookMs.push(clock.monotonicMs() - dueMs))
    // What fails is heard of at the end.
    one.catch(() => {})
    all.push(one)
    if (all.length - tookMs.length > unansweredMax) throw new Error(`${perSecond.toFixed(0)} per second are too many`)
  }
  await Promise.all(all)
  return tookMs
}

/** The value that 99 of 100 do not exceed. */
export function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
}
