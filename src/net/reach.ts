// How others reach this peer, in words that every part can use. Pure: what is known goes in, and out come a kind, a
// sentence for people, and whether relays are wanted. What a dial back has shown counts for more than any address.
import type { PeerId } from '../core/peer.ts'

export interface Reach {
  /** `unknown` while nobody has tried. */
  kind: 'direct' | 'relayed' | 'unreachable' | 'unknown'
  /** What this peer tells others. */
  addresses: string[]
  /** Where it has a place now. */
  relays: PeerId[]
  /** Whether a router maps a port to it. */
  mapped: boolean
  /** A sentence: how this peer is reached, and what to do about it if it is not. */
  why: string
}
