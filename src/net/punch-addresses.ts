// Which addresses that another peer tells are worth dialing while a hole is punched: somebody could name any address of our
// network, or of the world, to have us knock there. Pure; networks are given as CIDR text, as os.networkInterfaces has them.
import { BlockList, isIP } from 'node:net'
import type { Multiaddr } from '@multiformats/multiaddr'
import { limits } from '../core/limits.ts'
import { isLocalIp } from './addresses.ts'

/** IP address and TCP port at the start of an address; undefined if it has none, or goes through a relay. */
export function tcpEndpoint(address: Multiaddr): { host: string; port: number } | undefined {
  const components = address.getComponents()
  const [ip, tcp, ...rest] = components
  if (ip?.name !== 'ip4' && ip?.name !== 'ip6') return undefined
  if (tcp?.name !== 'tcp' || rest.some(({ name }) => name !== 'p2p')) return undefined
  const port = Number(tcp.value)
  return ip.value && port > 0 ? { host: ip.value, port } : undefined
}

/**
 * Of the addresses those for a direct TCP connection that are public, or in one of our own networks (`networks`), each
 * once, at most `limits.punchAddressesMax`.
 */
export function plausibleAddresses(addresses: readonly Multiaddr[], networks: readonly string[]): Multiaddr[] {
  const own = new BlockList()
  for (const network of networks) addNetwork(own, network)
  const found = new Map<string, Multiaddr>()
  for (const address of addresses) {
    if (found.size >= limits.punchAddressesMax) break
    const endpoint = tcpEndpoint(address)
    if (!endpoint) continue
    const { host, port } = endpoint
    const family = isIP(host) === 6 ? 'ipv6' : 'ipv4'
    if (!isLocalIp(host) || own.check(host, family)) found.set(`${host} ${port}`, address)
  }
  return [...found.values()]
}

function addNetwork(list: BlockList, network: string): void {
  const [host = '', bits] = network.split('/')
  const family = isIP(host)
  if (family === 0) return
  list.addSubnet(host, Number(bits), family === 6 ? 'ipv6' : 'ipv4')
}
