// Addresses as people and other peers write them. Only what came from a person is refused with a sentence; an address that
// a stranger told is dropped in silence when it does not parse.
import { BlockList, isIPv6 } from 'node:net'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { NetError } from './errors.ts'

const localIps = new BlockList()
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  localIps.addSubnet(net, prefix, 'ipv4')
for (const [net, prefix] of [
  ['::', 127],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  localIps.addSubnet(net, prefix, 'ipv6')

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

/** The PeerId at the end of an address, if it has one. One that ends with `/p2p-circuit` names a relay, and nobody behind it. */
export function peerOfAddress(address: Multiaddr): PeerId | undefined {
  const components = address.getComponents()
  if (components.at(-1)?.name === 'p2p-circuit') return undefined
  return components.findLast(({ name }) => name === 'p2p')?.value as PeerId | undefined
}

/** The relay of an address that leads through one: `/…/p2p/RELAY/p2p-circuit`, with or without a tail. */
export function relayOfAddress(address: Multiaddr): PeerId | undefined {
  const components = address.getComponents()
  const at = components.findIndex(({ name }) => name === 'p2p-circuit')
  const before = components[at - 1]
  return before?.name === 'p2p' ? (before.value as PeerId) : undefined
}

/** The two halves of an address through one relay. Throws ADDRESS_INVALID. */
export function splitCircuit(address: Multiaddr): { relay: Multiaddr; peer: PeerId } {
  const [relay = '', tail = '', ...more] = address.toString().split('/p2p-circuit')
  const peer = /^\/p2p\/([^/]+)$/.exec(tail)?.[1]
  if (peer === undefined || more.length > 0 || relayOfAddress(address) === undefined)
    throw new NetError('ADDRESS_INVALID', `'${address}' does not lead through one relay to a peer`)
  return { relay: multiaddr(relay), peer: peer as PeerId }
}

/** True for an address that means something only on this machine or in this network: loopback, private, link-local. */
export function isLocalAddress(address: Multiaddr): boolean {
  const ip = ipOfAddress(address)
  return ip !== undefined && isLocalIp(ip)
}

/** True for an address of this very machine. */
export function isLoopbackAddress(address: Multiaddr): boolean {
  const ip = ipOfAddress(address)
  return ip !== undefined && (ip.startsWith('127.') || ip === '::1')
}

/** The IP address that an address begins with; undefined for a name. */
export function ipOfAddress(address: Multiaddr): string | undefined {
  const [host] = address.getComponents()
  return host?.name === 'ip4' || host?.name === 'ip6' ? host.value : undefined
}

/** The TCP port of an address that is `/ip…/…/tcp/…` and nothing more but a `/p2p/` tail. */
export function portOfAddress(address: Multiaddr): number | undefined {
  const [host, port, tail, ...more] = address.getComponents()
  const isPlain = port?.name === 'tcp' && (tail === undefined || tail.name === 'p2p') && more.length === 0
  return isPlain && (host?.name === 'ip4' || host?.name === 'ip6') ? Number(port.value) : undefined
}

/** True for an IP address that is routed nowhere: loopback, private, shared by a provider's NAT, link-local, unspecified, of a group. */
export function isLocalIp(ip: string): boolean {
  return localIps.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4')
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
  return address.toString().replace(/\/p2p\/[^/]+$/, '')
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
