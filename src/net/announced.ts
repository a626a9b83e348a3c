// What this peer tells others of where it is: what the user set instead, or where it listens and what others have found to
// work; and its places at relays, last. Whoever dials tries them in this order. It decides nothing: it puts together.
import type { Multiaddr } from '@multiformats/multiaddr'
import { isLocalAddress } from './addresses.ts'

export interface AnnouncedParts {
  /** What libp2p would announce: where this peer listens, less what it does not believe in. With `/p2p/` tail. */
  believed: readonly Multiaddr[]
  /** Where it listens, whoever can reach that. */
  listening: readonly Multiaddr[]
  /** Where others have reached it. */
  confirmed: readonly Multiaddr[]
  /** By way of relays. */
  relayed: readonly Multiaddr[]
}

/** Each address once, with the `/p2p/` tail of this peer. */
export function announcedAddresses(
  { believed, listening, confirmed, relayed }: AnnouncedParts,
  self: string,
): Multiaddr[] {
  const found = new Map<string, Multiaddr>()
  for (const address of [...believed, ...confirmed, ...listening, ...relayed]) {
    const tail = `/p2p/${self}`
    const whole = address.toString().endsWith(tail) ? address : address.encapsulate(tail)
    found.set(whole.toString(), whole)
  }
  const direct = [...found.values()].filter((address) => !isRelayed(address))
  return [
    ...direct.filter((address) => !isLocalAddress(address)),
    ...direct.filter(isLocalAddress),
    ...[...found.values()].filter(isRelayed),
  ]
}

function isRelayed(address: Multiaddr): boolean {
  return address.getComponents().some(({ name }) => name === 'p2p-circuit')
}
