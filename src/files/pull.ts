// Someone else's stream of bytes, pulled piece by piece. A source that never answers must not keep a cancelled operation
// waiting, which `for await` would.
import { type Abortable, abortable } from '../base/abort.ts'

export class Source {
  readonly #iterator: AsyncIterator<Uint8Array>

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#iterator = pieces[Symbol.asyncIterator]()
  }

  /** The next piece; undefined at the end. */
  async next({ signal }: Abortable): Promise<Uint8Array | undefined> {
    const { done, value } = await abortable(this.#iterator.next(), signal)
    return done ? undefined : value
  }

  /** Tells the source that no more is wanted. Not awaited: a source that hangs would not answer this either. */
  release(): void {
    Promise.resolve(this.#iterator.return?.()).catch(() => {})
  }
}
