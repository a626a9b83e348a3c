// What is to be done about one pin, decided from what its driver knows: pure. The members that shall hold it are the first of
// the ring's walk that can, over as many zones as there are. Whoever shall and is not named yet is asked, and named when it
// has room; whoever is named and need not hold any more stays until all that shall have confirmed every block. So copies
// never become fewer by moving. A driver that sees no more than half of the members changes nothing: it may be the one that
// is cut off.
import type { PeerId } from '../core/peer.ts'
import { type Candidate, chooseHolders } from './choose.ts'

/** What a driver thinks of a member as a holder of this pin. */
export interface Standing {
  /** Confirmed: every block is there, durably, and it answers. */
  holds: boolean
  /** Away for longer than the grace time, or a member no more: not counted, and to be replaced. */
  gone: boolean
  /** A member no more: what it has does not come back. */
  left: boolean
  /** Cannot take it, or could not prove that it has it: passed over while others can. */
  unfit: boolean
}

export interface Situation {
  /** Members named by the record. */
  named: readonly PeerId[]
  copies: number
  /** Members that may hold anything, in the ring's order for this pin. Those that shall not hold this one are left out. */
  walk: readonly Candidate[]
  standing: (peer: PeerId) => Standing
  /** True while the driver sees more than half of the members. */
  sees: boolean
}

export interface Plan {
  /** Who shall hold it, in ring order. */
  target: readonly PeerId[]
  /** Members to be asked to hold it, and named when they do. */
  toName: readonly PeerId[]
  /** Named members that need not hold it any more: to be taken off the record. */
  toTrim: readonly PeerId[]
  /** True if every member that shall hold it does. */
  isHeld: boolean
}

export function planPin({ named, copies, walk, standing, sees }: Situation): Plan {
  const canHold = ({ peer }: Candidate) => {
    const { holds, gone, unfit } = standing(peer)
    return !gone && (holds || !unfit)
  }
  const target = chooseHolders(walk.filter(canHold), copies)
  const isHeld = target.length > 0 && target.every((peer) => standing(peer).holds)
  if (!sees) return { target, toName: [], toTrim: [], isHeld }
  const extra = named.filter((peer) => !target.includes(peer))
  return {
    target,
    toName: target.filter((peer) => !named.includes(peer)),
    // Who is away stays named until others have it: it may have the last copy. Nobody to hold it is no reason to trim either.
    toTrim: extra.filter((peer) => target.length > 0 && (isHeld || standing(peer).left)),
    isHeld,
  }
}
