// A Scope owns what was opened and closes it in reverse order, even when a step fails: the first failure is thrown after
// every step has run. `close` may be called twice.

export type Closer = () => Promise<unknown> | unknown

export class Scope implements AsyncDisposable {
  #closers: Closer[] = []
  #closed: Promise<void> | undefined

  /** Registers a closer; closers run last in, first out. */
  defer(closer: Closer): void {
    this.#closers.push(closer)
  }

  /** Registers a disposable and gives it back. */
  use<T extends AsyncDisposable | Disposable>(resource: T): T {
    this.defer(() =>
      Symbol.asyncDispose in resource ? resource[Symbol.asyncDispose]() : (resource as Disposable)[Symbol.dispose](),
    )
    return resource
  }

  /** Hands everything over to a new scope: for an opener that has succeeded and lets its caller do the closing. */
  move(): Scope {
    const next = new Scope()
    next.#closers = this.#closers
    this.#closers = []
    return next
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeAll()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = []
    for (let closer = this.#closers.pop(); closer; closer = this.#closers.pop()) {
      try {
        await closer()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
