// One peer that speaks Bitswap with us: what it wants from us, what our fetches want from it, and the messages that leave
// for it, one at a time over one stream. Blocks are read from the store only when a message is put together, so that a long
// want-list costs no memory. Wants that cannot be met are kept, within a limit, and met when the block comes.
import type { CID } from 'multiformats/cid'
import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { BlockStore, Channel, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import {
  type BitswapMessage,
  bitswapProtocol,
  blockPart,
  messageOf,
  type Part,
  presencePart,
  type WantEntry,
  wantPart,
} from './bitswap-message.ts'
import { ExchangeError } from './errors.ts'
import type { Supplier, SupplierEvents } from './supplier.ts'
import { nameOf } from './wants.ts'

export interface BitswapDeps {
  network: Network
  store: BlockStore
  clock: Clock
  onSent: (peer: PeerId, bytes: number) => void
}

/** A block up to this size is sent in place of the word that we have it. As other implementations do. */
const inlineAnswerBytes = 1_024
/** A message is sent when it has this size: two thirds of what a peer accepts, since one block more may go over. */
const messageBytes = limits.bitswapMessageBytesMax / 2

/** A message is written in parts of at most this size: each must be taken before the peer counts as gone. */
const writeBytes = 256 * 1024

/** Something to say; a block is only named. */
type Outgoing = { part: Part } | { send: CID }

export class BitswapPeer {
  readonly peer: PeerId
  readonly #deps: BitswapDeps
  /** What it wants and we do not have (yet). */
  readonly #unmet = new Map<string, WantEntry>()
  /** Blocks that are about to be sent, so that asking twice sends once. */
  readonly #sending = new Set<string>()
  #outbox: Outgoing[] = []
  #pumping = false
  #channel: Channel | undefined
  /** Fetches that have asked and not withdrawn. */
  readonly #suppliers = new Set<BitswapSupplier>()
  /** Who waits for an answer about a block. */
  readonly #waiting = new Map<string, { cid: CID; suppliers: Set<BitswapSupplier> }>()

  constructor(deps: BitswapDeps, peer: PeerId) {
    this.#deps = deps
    this.peer = peer
  }

  /** True while it wants something that we do not have. */
  get hasUnmetWants(): boolean {
    return this.#unmet.size > 0
  }

  receive(message: BitswapMessage): void {
    if (message.full) this.#unmet.clear()
    for (const want of message.wants) this.#hear(want)
    for (const { cid, bytes } of message.blocks) this.#answered(cid, bytes)
    for (const { cid, have } of message.presences) {
      if (!have) this.#answered(cid, undefined)
      else for (const supplier of this.#waiting.get(nameOf(cid))?.suppliers ?? []) supplier.hearHave(cid)
    }
    this.#pump()
  }

  /** Part of a message has come. */
  receiving(bytes: number): void {
    for (const supplier of this.#suppliers) supplier.hearBytes(bytes)
  }

  /** Looks again at wants that could not be met. */
  meetWants(): void {
    for (const [name, want] of this.#unmet) {
      if (!this.#deps.store.has(want.cid)) continue
      this.#unmet.delete(name)
      this.#answer(want)
    }
    this.#pump()
  }

  want(supplier: BitswapSupplier, cids: CID[], type: 'block' | 'have'): void {
    this.#suppliers.add(supplier)
    for (const cid of cids) {
      const name = nameOf(cid)
      const waiting = this.#waiting.get(name) ?? { cid, suppliers: new Set() }
      waiting.suppliers.add(supplier)
      this.#waiting.set(name, waiting)
      this.#outbox.push({ part: wantPart({ cid, cancel: false, type, sendDontHave: true }) })
    }
    this.#pump()
  }

  /** Withdraws what this supplier still waits for, unless another waits for it too. */
  withdraw(supplier: BitswapSupplier): void {
    this.#suppliers.delete(supplier)
    for (const [name, { cid, suppliers }] of this.#waiting) {
      if (!suppliers.delete(supplier) || suppliers.size > 0) continue
      this.#waiting.delete(name)
      this.#outbox.push({ part: wantPart({ cid, cancel: true, type: 'block', sendDontHave: false }) })
    }
    this.#pump()
  }

  /** The peer is gone, or broken. */
  drop(reason: unknown): void {
    this.#outbox = []
    this.#unmet.clear()
    this.#sending.clear()
    this.#channel?.abort(reason instanceof Error ? reason : new ExchangeError('CLOSED', 'the peer is gone'))
    this.#channel = undefined
    const suppliers = new Set([...this.#waiting.values()].flatMap((waiting) => [...waiting.suppliers]))
    this.#waiting.clear()
    for (const supplier of suppliers) supplier.hearGone(reason)
  }

  #hear(want: WantEntry): void {
    const name = nameOf(want.cid)
    if (want.cancel) {
      this.#unmet.delete(name)
      if (this.#sending.delete(name))
        this.#outbox = this.#outbox.filter((one) => !('send' in one) || nameOf(one.send) !== name)
    } else if (this.#deps.store.has(want.cid) && this.#sending.size < limits.bitswapWantsMax) this.#answer(want)
    else {
      if (want.sendDontHave) this.#outbox.push({ part: presencePart(want.cid, false) })
      if (this.#unmet.size < limits.bitswapWantsMax) this.#unmet.set(name, want)
    }
  }

  #answer({ cid, type }: WantEntry): void {
    const name = nameOf(cid)
    const inPlace = (this.#deps.store.sizeOf(cid) ?? 0) <= inlineAnswerBytes
    if (type === 'have' && !inPlace) this.#outbox.push({ part: presencePart(cid, true) })
    else if (!this.#sending.has(name)) {
      this.#sending.add(name)
      this.#outbox.push({ send: cid })
    }
  }

  #answered(cid: CID, bytes: Uint8Array | undefined): void {
    const name = nameOf(cid)
    const waiting = this.#waiting.get(name)
    if (!waiting) return
    this.#waiting.delete(name)
    for (const supplier of waiting.suppliers) supplier.hearAnswer(waiting.cid, bytes)
  }

  #pump(): void {
    if (this.#pumping || this.#outbox.length === 0) return
    this.#pumping = true
    this.#sendAll()
      .catch((error) => this.drop(error))
      .finally(() => {
        this.#pumping = false
        this.#pump()
      })
  }

  async #sendAll(): Promise<void> {
    const { network, clock } = this.#deps
    while (this.#outbox.length > 0) {
      const parts = await this.#nextParts()
      if (parts.length === 0) continue
      // A peer that does not read for so long has gone, whatever its connection says.
      for (const pieces of cut(messageOf(parts), writeBytes))
        await withDeadline(clock, times.stallMs, `sending to ${this.peer}`, async (signal) => {
          this.#channel ??= await network.open(this.peer, [bitswapProtocol], { signal })
          await this.#channel.write(pieces, { signal })
        })
    }
  }

  async #nextParts(): Promise<Part[]> {
    const parts: Part[] = []
    for (let sizeBytes = 0; this.#outbox.length > 0 && sizeBytes < messageBytes; ) {
      const next = this.#outbox.shift()!
      const part = 'part' in next ? next.part : await this.#blockPart(next.send)
      parts.push(part)
      sizeBytes += part.sizeBytes
    }
    return parts
  }

  async #blockPart(cid: CID): Promise<Part> {
    try {
      const bytes = await this.#deps.store.unverified(cid)
      this.#deps.onSent(this.peer, bytes.byteLength)
      return blockPart(cid, bytes)
    } catch {
      return presencePart(cid, false)
    } finally {
      this.#sending.delete(nameOf(cid))
    }
  }
}

/** A fetch's side of a Bitswap peer. */
export class BitswapSupplier implements Supplier {
  readonly #bitswap: BitswapPeer
  readonly #events: SupplierEvents & { onHave?: (cid: CID) => void }

  constructor(bitswap: BitswapPeer, events: SupplierEvents & { onHave?: (cid: CID) => void }) {
    this.#bitswap = bitswap
    this.#events = events
  }

  get peer(): PeerId {
    return this.#bitswap.peer
  }

  ask(cids: CID[], type: 'block' | 'have' = 'block'): void {
    this.#bitswap.want(this, cids, type)
  }

  close(): void {
    this.#bitswap.withdraw(this)
  }

  hearAnswer(cid: CID, bytes: Uint8Array | undefined): void {
    void this.#events.onAnswer(cid, bytes)
  }

  hearBytes(bytes: number): void {
    this.#events.onBytes?.(bytes)
  }

  hearHave(cid: CID): void {
    this.#events.onHave?.(cid)
  }

  hearGone(reason: unknown): void {
    this.#events.onGone(reason)
  }
}

/** The same bytes in lists of at most `sizeBytes`. */
function* cut(pieces: Uint8Array[], sizeBytes: number): Generator<Uint8Array[]> {
  let some: Uint8Array[] = []
  let room = sizeBytes
  for (const piece of pieces)
    for (let at = 0; at < piece.byteLength; ) {
      const part = piece.subarray(at, at + room)
      some.push(part)
      at += part.byteLength
      room -= part.byteLength
      if (room > 0) continue
      yield some
      some = []
      room = sizeBytes
    }
  if (some.length > 0) yield some
}
