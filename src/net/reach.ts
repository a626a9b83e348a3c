// How others reach this peer, in words that every part can use. Pure: what is known goes in, and out come a verdict, a kind
// and a sentence for people. What somebody's dial back has shown counts for more than any address that this peer has.
import type { PeerId } from '../core/peer.ts'
import { isLocalIp } from './addresses.ts'

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

/** What one peer found when it dialed this one. */
export interface Trial {
  /** The IP address of this peer as the other saw it. */
  observed: string
  /** Addresses that led here. */
  worked: readonly string[]
}

export type Verdict = 'direct' | 'hidden' | 'unknown'

/**
 * Whether this peer can be dialed. One peer from the internet that could do it is enough. Otherwise there must be one on
 * each side from which this peer was seen: neighbours say nothing about what a router lets in. Where one could and another
 * could not, seeing the same address, it is the other's own trouble.
 */
export function verdictOf(trials: readonly Trial[], { listens }: { listens: boolean }): Verdict {
  if (!listens) return 'hidden'
  if (trials.length === 0) return 'unknown'
  const reached = new Set(trials.filter(({ worked }) => worked.length > 0).map(({ observed }) => observed))
  if ([...reached].some((ip) => !isLocalIp(ip))) return 'direct'
  return trials.every(({ observed }) => reached.has(observed)) ? 'direct' : 'hidden'
}

export interface ReachFacts {
  verdict: Verdict
  trials: readonly Trial[]
  listens: boolean
  /** The port to open, if this peer listens on one. */
  port: number | undefined
  places: number
  mapped: boolean
  private: boolean
  connections: number
}

export function kindOf({ verdict, places, connections, listens }: ReachFacts): Reach['kind'] {
  if (connections === 0 && listens) return 'unknown'
  if (verdict === 'direct') return 'direct'
  if (places > 0) return 'relayed'
  return verdict === 'hidden' ? 'unreachable' : 'unknown'
}

/** One or two sentences: how this peer is reached, and what to do if it is not. */
export function whyOf(facts: ReachFacts): string {
  const { verdict, trials, places, mapped, connections, listens } = facts
  const succeeded = trials.filter(({ worked }) => worked.length > 0)
  if (connections === 0 && listens) return 'no other peer is connected, so nobody could try to reach this one'
  if (verdict === 'direct') {
    if (!succeeded.some(({ observed }) => !isLocalIp(observed)))
      return 'the peers of its own network reach this peer directly; nobody outside has tried yet'
    return `others reach this peer directly${mapped ? ': the router maps a port to it (UPnP)' : ''}`
  }
  if (verdict === 'unknown') return 'it is not known yet whether others can reach this peer: none has tried'
  const hidden = hiddenWhy(facts)
  if (places > 0)
    return `${hidden}; others reach it through ${places} ${places === 1 ? 'relay' : 'relays'}. ${opening(facts)}`
  return `${hidden}, and no peer that it is connected to relays. ${noRelayAdvice(facts)}`
}

function hiddenWhy({ listens, trials, mapped, private: isPrivate }: ReachFacts): string {
  if (!listens) return 'this peer listens nowhere'
  // There nobody tells of a dial that failed: a good one is waited for.
  if (!isPrivate)
    return 'no peer of the internet has dialed this one yet: it has just started, or it is behind a NAT or a firewall'
  const failed = trials.filter(({ worked }) => worked.length === 0).length
  const who = failed === 0 ? 'others' : failed === 1 ? 'a peer that tried' : `${failed} peers that tried`
  const router = mapped ? ' although the router maps a port to it' : ''
  return `this peer is behind a NAT or a firewall: ${who} could not dial it${router}`
}

function opening({ listens, port }: ReachFacts): string {
  if (!listens) return "To be dialed directly it needs an address to listen on ('potluck start --listen')"
  return `To be dialed directly, switch UPnP on in the router, or forward TCP port ${port ?? 4101} to this machine`
}

function noRelayAdvice(facts: ReachFacts): string {
  if (!facts.private) return `${opening(facts)}; or connect to peers that relay`
  const port = facts.port ?? 4101
  return `A private cluster without one reachable machine of its own cannot cross NATs: forward TCP port ${port} to one of its machines, or start a hub on a machine with an open port ('potluck invite --hub' prints the line for it)`
}
