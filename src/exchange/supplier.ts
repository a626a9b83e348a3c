// A supplier: one peer that a fetch takes blocks from, whichever protocol it speaks. Bytes come unverified.
import type { CID } from 'multiformats/cid'
import type { PeerId } from '../core/peer.ts'

/** What a supplier reports. `bytes` undefined: the peer says that it does not have the block. */
export interface SupplierEvents {
  onAnswer(cid: CID, bytes: Uint8Array | undefined): Promise<void> | void
  /** Part of an answer has come. */
  onBytes?(bytes: number): void
  /** It will answer no more; wants that it left open are to be asked of others. */
  onGone(reason: unknown): void
}

export interface Supplier {
  readonly peer: PeerId
  /** Asks for blocks; each is answered once, or the supplier goes. */
  ask(cids: CID[]): void
  /** Withdraws everything and lets go of the stream. */
  close(): void
}
