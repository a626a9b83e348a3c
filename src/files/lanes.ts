// Tasks side by side, a limited number at a time. One producer starts them; the first failure cancels the others and is
// what the producer gets, after all of them have ended: nothing runs on in the background.
import { type Abortable, linkedController } from '../base/abort.ts'

export class Lanes implements AsyncDisposable {
  readonly #most: number
  readonly #controller: AbortController
  readonly #detach: () => void
  #running = 0
  #wake: (() => void) | undefined

  constructor(most: number, { signal }: Abortable) {
    const { controller, detach } = linkedController(signal)
    this.#most = most
    this.#controller = controller
    this.#detach = detach
  }

  /** Aborted by the caller's signal, or by the first failure, with it as the reason. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Starts the task when a lane is free. Throws if the work has failed or was cancelled before. */
  async start(task: () => Promise<void>): Promise<void> {
    while (this.#running >= this.#most) await this.#change()
    this.signal.throwIfAborted()
    this.#running++
    task()
      .catch((error) => this.#controller.abort(error))
      .finally(() => {
        this.#running--
        this.#wake?.()
      })
  }

  /** Waits until no task runs. Throws the first failure. */
  async idle(): Promise<void> {
    while (this.#running > 0) await this.#change()
    this.signal.throwIfAborted()
  }

  /** Cancels what still runs, if anything, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running > 0) this.#controller.abort(new DOMException('the operation ended early', 'AbortError'))
    while (this.#running > 0) await this.#change()
    this.#detach()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
