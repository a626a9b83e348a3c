// Pins: the roots that must stay. A pin is found by codec and multihash, so that both versions of a CID name the same one;
// the codec counts, because what hangs below a node does not hang below the same bytes as a leaf. It remembers the CID as
// it was given.
import { CID } from 'multiformats/cid'
import type { Clock } from '../base/clock.ts'
import { readVarint, varintBytes } from '../base/frames.ts'
import type { Catalog } from './catalog.ts'

export interface Pin {
  cid: CID
  /** True: everything below too. False: this one block. */
  recursive: boolean
  /** Wall time, milliseconds since 1970. */
  addedMs: number
}

export class Pins {
  readonly #catalog: Catalog
  readonly #clock: Clock
  /** How many were removed since the store was opened. */
  removed = 0

  constructor(deps: { catalog: Catalog; clock: Clock }) {
    this.#catalog = deps.catalog
    this.#clock = deps.clock
  }

  /** Durable when it resolves. The blocks must be held by a lease until then. */
  async add(cid: CID, { recursive }: { recursive: boolean }): Promise<void> {
    const value = Buffer.concat([varintBytes(recursive ? 1 : 0), varintBytes(this.#clock.nowMs()), cid.bytes])
    await this.#catalog.change(() => void this.#catalog.pins.put(keyOf(cid), value))
  }

  /** False if it was not pinned. Durable when it resolves. */
  async remove(cid: CID): Promise<boolean> {
    const key = keyOf(cid)
    if (!this.#catalog.pins.doesExist(key)) return false
    await this.#catalog.change(() => void this.#catalog.pins.remove(key))
    this.removed++
    return true
  }

  get(cid: CID): Pin | undefined {
    const value = this.#catalog.pins.get(keyOf(cid))
    return value && parsePin(value)
  }

  get count(): number {
    return this.#catalog.pins.getCount()
  }

  /** In the order of codec and multihash. Safe while pins come and go. */
  *list(): Generator<Pin> {
    for (const { value } of this.#catalog.pins.getRange({ snapshot: false })) yield parsePin(value)
  }
}

function keyOf(cid: CID): Uint8Array {
  return CID.createV1(cid.code, cid.multihash).bytes
}

function parsePin(value: Uint8Array): Pin {
  const { value: recursive, next } = readVarint(value, 0)
  const { value: addedMs, next: at } = readVarint(value, next)
  // A copy: the database may reuse the memory that it lends.
  return { cid: CID.decode(new Uint8Array(value.subarray(at))), recursive: recursive === 1, addedMs }
}
