// Checks of what was decoded from the wire or the disk, field by field: the right type, in range, of bounded length. Each
// returns the value or throws with `refuse`, so that every organ, and each kind of message, has errors of its own.
import { decode } from '@ipld/dag-cbor'
import { limits } from './limits.ts'
import type { PeerId } from './peer.ts'

/** Makes the error for a field that is wrong: "a bad incarnation". */
export type Refuse = (what: string) => Error

const base58 = /^[1-9A-HJ-NP-Za-km-z]+$/

export class Fields {
  readonly #refuse: Refuse

  constructor(refuse: Refuse) {
    this.#refuse = refuse
  }

  /** The parts of an encoded list of a known length at most. */
  decode(bytes: Uint8Array, bytesMax: number): unknown[] {
    if (bytes.byteLength > bytesMax) throw this.#refuse(`${bytes.byteLength} bytes, which is too much`)
    let value: unknown
    try {
      value = decode(bytes)
    } catch {
      throw this.#refuse('what is no DAG-CBOR')
    }
    return this.list(value, Number.POSITIVE_INFINITY, 'form')
  }

  list(value: unknown, lengthMax: number, what: string): unknown[] {
    if (!Array.isArray(value) || value.length > lengthMax) throw this.#refuse(`a bad ${what}`)
    return value
  }

  bytes(value: unknown, lengthMax: number, what: string): Uint8Array {
    if (!(value instanceof Uint8Array) || value.byteLength > lengthMax) throw this.#refuse(`a bad ${what}`)
    return value
  }

  text(value: unknown, charactersMax: number, what: string): string {
    if (typeof value !== 'string' || value.length > charactersMax) throw this.#refuse(`a bad ${what}`)
    return value
  }

  /** A whole number of at least 0. */
  count(value: unknown, what: string): number {
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw this.#refuse(`a bad ${what}`)
    return value as number
  }

  /** One of some words. */
  word<W extends string>(value: unknown, words: readonly W[], what: string): W {
    const found = words.find((word) => word === value)
    if (found === undefined) throw this.#refuse(`a bad ${what}`)
    return found
  }

  peer(value: unknown): PeerId {
    const text = this.text(value, limits.peerIdCharactersMax, 'PeerId')
    if (!base58.test(text)) throw this.#refuse('a bad PeerId')
    return text as PeerId
  }
}
