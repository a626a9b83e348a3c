// The tokens of a member: the places on the ring at which it stands, more of them the more capacity it gives. They depend on
// the member alone, never on who else is there, so that all peers agree on them and a join disturbs nobody's. Remembered,
// because hashing them is most of the work of a new ring.
import { Lru } from '../base/lru.ts'
import { positionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { RingMember } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'

const known = new Lru<PeerId, BigUint64Array>(limits.membersMax)

/** How many tokens a capacity in bytes is worth. Only 0 bytes have none. */
export function tokenCount(capacity: number): number {
  if (capacity === 0) return 0
  const share = Math.round(capacity / limits.tokenCapacityBytes)
  return Math.min(Math.max(share, limits.tokensMin), limits.tokensMax)
}

/** Positions of a member's tokens, in no order. More capacity adds tokens to those of less. */
export function tokensOf({ peer, capacity }: RingMember): BigUint64Array {
  const count = tokenCount(capacity)
  let tokens = known.get(peer)
  if (!tokens || tokens.length < count) {
    tokens = BigUint64Array.from({ length: count }, (_, index) => positionOf(`${peer}/${index}`))
    known.set(peer, tokens)
  }
  return tokens.subarray(0, count)
}
