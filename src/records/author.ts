// Signs this peer's own writes. Those that are asked for in the same turn, as answers that came together bring them, share one
// signature; nothing waits for anything else to happen. What it has signed needs no check here.
import { limits } from '../core/limits.ts'
import type { Signer } from '../core/ports.ts'
import { signWrites, type Verifier, type WriteParts } from './record.ts'
import type { Write } from './version.ts'

interface Waiting {
  readonly parts: WriteParts
  readonly signed: PromiseWithResolvers<Write>
}

export class Author {
  readonly #signer: Signer
  readonly #verifier: Verifier
  #waiting: Waiting[] = []

  constructor({ signer, verifier }: { signer: Signer; verifier: Verifier }) {
    this.#signer = signer
    this.#verifier = verifier
  }

  sign(parts: WriteParts): Promise<Write> {
    const signed = Promise.withResolvers<Write>()
    this.#waiting.push({ parts, signed })
    if (this.#waiting.length === 1) void this.#signAll()
    return signed.promise
  }

  async #signAll(): Promise<void> {
    for (let seen = 0; seen < this.#waiting.length; await undefined) seen = this.#waiting.length
    const waiting = this.#waiting
    this.#waiting = []
    for (let at = 0; at < waiting.length; at += limits.recordsSignedTogether)
      this.#signSome(waiting.slice(at, at + limits.recordsSignedTogether))
  }

  #signSome(waiting: readonly Waiting[]): void {
    try {
      const writes = signWrites(
        this.#signer,
        waiting.map(({ parts }) => parts),
      )
      for (const [index, { signed }] of waiting.entries()) {
        const write = writes[index]!
        this.#verifier.trust(write)
        signed.resolve(write)
      }
    } catch (error) {
      for (const { signed } of waiting) signed.reject(error)
    }
  }
}
