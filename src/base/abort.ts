// Deadlines and cancellation. Every operation derives one short-lived signal and detaches it when it ends: long-lived
// AbortSignals collect listeners (nodejs/node#52635), so nothing here is left on the caller's signal.
import type { Clock } from './clock.ts'
import { BaseError } from './errors.ts'

/** The last argument of everything that waits. */
export interface Abortable {
  signal?: AbortSignal | undefined
}

/** Runs `work` with a signal that aborts after `limitMs` or with the caller's signal, whichever comes first. */
export async function withDeadline<T>(
  clock: Clock,
  limitMs: number,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
  { signal }: Abortable = {},
): Promise<T> {
  signal?.throwIfAborted()
  const controller = new AbortController()
  const onAbort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const cancel = clock.timer(limitMs, () =>
    controller.abort(
      new BaseError('TIMED_OUT', `${what} took longer than ${describeMs(limitMs)}`, { retryable: true }),
    ),
  )
  try {
    return await abortable(work(controller.signal), controller.signal)
  } finally {
    cancel()
    signal?.removeEventListener('abort', onAbort)
  }
}

/** The promise, or the signal's reason if that comes first. What was started is not stopped: pass it the signal too. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  if (signal.aborted) {
    promise.catch(() => {})
    return Promise.reject(signal.reason)
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** A controller that also aborts with `signal`; `detach` lets go of the caller's signal. */
export function linkedController(signal: AbortSignal | undefined): { controller: AbortController; detach: () => void } {
  const controller = new AbortController()
  if (signal?.aborted) controller.abort(signal.reason)
  const onAbort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  return { controller, detach: () => signal?.removeEventListener('abort', onAbort) }
}

function describeMs(durationMs: number): string {
  return durationMs < 1000 ? `${Math.round(durationMs)} ms` : `${Math.round(durationMs / 100) / 10} s`
}
