// Time is a port: nothing else in the program reads a clock or starts a timer, so that a test or a simulation can
// turn hours into microseconds. `nowMs` is the wall clock and may jump; `monotonicMs` only ever grows and is what
// durations and deadlines are measured with.

export interface Clock {
  /** Wall time, milliseconds since 1970. May jump either way. */
  nowMs(): number
  /** Milliseconds since an arbitrary start. Never goes back. */
  monotonicMs(): number
  /** Calls `fire` once after `delayMs`; the returned function cancels. A pending timer does not keep the process alive. */
  timer(delayMs: number, fire: () => void): () => void
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  timer(delayMs, fire) {
    // Node fires at once for delays past 2^31 ms; nothing here waits 24 days for good reason. What is overdue is due now: Node
    // prints a warning about a negative delay.
    const timer = setTimeout(fire, Math.min(Math.max(delayMs, 0), 2 ** 31 - 1))
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = clock.timer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
