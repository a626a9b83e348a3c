// The client's side of the block protocol: a supplier for a fetch, and the short question who has something.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { ByteReader } from '../base/frames.ts'
import { limits } from '../core/limits.ts'
import type { Channel } from '../core/ports.ts'
import { encodeQuestion } from './blocks-protocol.ts'
import { ExchangeError } from './errors.ts'
import type { Supplier, SupplierEvents } from './supplier.ts'

export class BlocksSupplier implements Supplier {
  readonly #channel: Channel
  readonly #events: SupplierEvents
  /** Asked and not answered, in order. */
  #open: CID[] = []
  #answered = 0
  #closed = false

  constructor(channel: Channel, events: SupplierEvents) {
    this.#channel = channel
    this.#events = events
    void this.#receive()
  }

  get peer() {
    return this.#channel.peer
  }

  ask(cids: CID[]): void {
    for (let at = 0; at < cids.length; at += limits.blocksRequestWantsMax) {
      const some = cids.slice(at, at + limits.blocksRequestWantsMax)
      this.#open.push(...some)
      this.#channel.write([encodeQuestion('want', some)]).catch((error) => this.#gone(error))
    }
  }

  close(): void {
    this.#closed = true
    this.#channel.abort(new ExchangeError('CLOSED', 'the fetch is over'))
  }

  async #receive(): Promise<void> {
    const reader = new ByteReader(async (options) => {
      const pieces = await this.#channel.read(options)
      for (const { byteLength } of pieces ?? []) this.#events.onBytes?.(byteLength)
      return pieces
    })
    try {
      while (!(await reader.atEnd())) {
        const size = await reader.varint()
        const cid = this.#open[this.#answered++]
        if (!cid) throw new ExchangeError('PEER_BROKEN', 'the peer sent what nobody asked for')
        if (this.#answered > 1024) this.#forgetAnswered()
        if (size > limits.blockBytesMax + 1)
          throw new ExchangeError('PEER_BROKEN', 'the peer announced a block that is too large')
        const bytes = size === 0 ? undefined : await reader.exact(size - 1)
        if (this.#closed) return
        await this.#events.onAnswer(cid, bytes)
      }
      this.#gone(new ExchangeError('PEER_BROKEN', 'the peer closed the stream', { retryable: true }))
    } catch (error) {
      this.#gone(error)
    }
  }

  #forgetAnswered(): void {
    this.#open = this.#open.slice(this.#answered)
    this.#answered = 0
  }

  #gone(reason: unknown): void {
    if (this.#closed) return
    this.close()
    this.#events.onGone(reason)
  }
}

/** Asks over a stream of its own whether the peer has the block. */
export async function askHave(channel: Channel, cid: CID, options: Abortable): Promise<boolean> {
  try {
    await channel.write([encodeQuestion('have', [cid])], options)
    const size = await new ByteReader((each) => channel.read(each)).varint(options)
    return size > 0
  } finally {
    channel.abort(new ExchangeError('CLOSED', 'the question is answered'))
  }
}
