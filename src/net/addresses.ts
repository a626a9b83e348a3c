// Addresses as people and other peers write them. Only what came from a person is refused with a sentence; an address that
// a stranger told is dropped in silence when it does not parse.

import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { NetError } from './errors.ts'

const example = '/ip4/192.168.1.20/tcp/4101/p2p/12D3KooW…'

/** A multiaddr that a person typed. Throws ADDRESS_INVALID. */
export function parseAddress(text: string): Multiaddr {
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text
  let address: Multiaddr
  try {
    address = multiaddr(text.trim())
  } catch {
    throw new NetError('ADDRESS_INVALID', `'${shown}' is not a multiaddr; one looks like ${example}`)
  }
  // A dnsaddr name stands for addresses that are looked up when it is dialed.
  if (!address.getComponents().some(({ name }) => name === 'tcp' || name === 'dnsaddr'))
    throw new NetError('ADDRESS_INVALID', `'${shown}' has no TCP port, and potluck speaks TCP; write ${example}`)
  return address
}

/** True for a multiaddr that this peer could dial. */
export function isAddress(text: string): boolean {
  try {
    parseAddress(text)
    return true
  } catch {
    return false
  }
}

/** The PeerId at the end of an address, if it has one. */
export function peerOfAddress(address: Multiaddr): PeerId | undefined {
  return address.getComponents().findLast(({ name }) => name === 'p2p')?.value as PeerId | undefined
}

/** libp2p's form of a PeerId. Throws ADDRESS_INVALID. */
export function libp2pPeerId(peer: PeerId): ReturnType<typeof peerIdFromString> {
  try {
    return peerIdFromString(peer)
  } catch {
    throw new NetError('ADDRESS_INVALID', `'${peer.slice(0, 120)}' is not a PeerId; one looks like 12D3KooW…`)
  }
}

/** Text without the `/p2p/…` tail, as PeerInfo carries addresses. */
export function bareAddress(address: Multiaddr): string {
  const text = address.toString()
  const tail = text.lastIndexOf('/p2p/')
  return tail === -1 ? text : text.slice(0, tail)
}

/** The addresses among `texts` that can be dialed for this peer, each once and with its `/p2p/` tail, at most so many. */
export function dialableAddresses(peer: PeerId, texts: Iterable<string>): Multiaddr[] {
  const found = new Map<string, Multiaddr>()
  for (const text of texts) {
    if (found.size >= limits.addressesPerPeerMax) break
    try {
      const address = parseAddress(text)
      const named = peerOfAddress(address)
      if (named !== undefined && named !== peer) continue
      const whole = named === undefined ? address.encapsulate(`/p2p/${peer}`) : address
      found.set(whole.toString(), whole)
    } catch {
      // Another peer's mistake, not our caller's.
    }
  }
  return [...found.values()]
}
