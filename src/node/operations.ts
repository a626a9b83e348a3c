// The operations that a peer has under way. Each runs with a signal of its own, which also aborts when the peer stops, and
// stopping waits until all of them have let go of the store.
import { type Abortable, linkedController } from '../base/abort.ts'
import { NodeError } from './errors.ts'

export class Operations {
  readonly #running = new Map<AbortController, Promise<void>>()
  #stopping = false

  /** Runs one operation. Throws STOPPING once the peer stops. */
  async run<T>({ signal }: Abortable, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    using operation = this.#begin(signal)
    return await work(operation.signal)
  }

  /** The same for one that gives its results one by one. */
  async *stream<T>({ signal }: Abortable, work: (signal: AbortSignal) => AsyncIterable<T>): AsyncGenerator<T> {
    using operation = this.#begin(signal)
    for await (const item of work(operation.signal)) {
      operation.signal.throwIfAborted()
      yield item
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const controller of this.#running.keys()) controller.abort(stopping())
    await Promise.all(this.#running.values())
  }

  #begin(signal: AbortSignal | undefined): { signal: AbortSignal } & Disposable {
    if (this.#stopping) throw stopping()
    signal?.throwIfAborted()
    const { controller, detach } = linkedController(signal)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#running.set(controller, promise)
    return {
      signal: controller.signal,
      [Symbol.dispose]: () => {
        detach()
        this.#running.delete(controller)
        resolve()
      },
    }
  }
}

function stopping(): NodeError {
  return new NodeError('STOPPING', 'the peer is stopping', { retryable: true })
}
