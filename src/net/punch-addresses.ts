// Which addresses that another peer tells are worth dialing while a hole is punched: somebody could name any address of our
// network, or of the world, to have us knock there. Pure; networks are given as CIDR text, as os.networkInterfaces has them.
import { BlockList, isIP } from 'node:net'
import type { Multiaddr } from '@multiformats/multiaddr'
import { limits } from '../core/limits.ts'

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
    if (isPublic(host) || own.check(host, family)) found.set(`${host} ${port}`, address)
  }
  return [...found.values()]
}

/** True unless the address is one of those that mean something only in a part of the world. */
export function isPublic(host: string): boolean {
  return !nobodys.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4')
}

// IANA's registries of special-purpose addresses, without those for documentation: nobody has them.
const nobodys = new BlockList()
for (const network of [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
  '::/127',
  '64:ff9b::/96',
  '100::/64',
  'fc00::/7',
  'fe80::/10',
  'ff00::/8',
])
  addNetwork(nobodys, network)

function addNetwork(list: BlockList, network: string): void {
  const [host = '', bits] = network.split('/')
  const family = isIP(host)
  if (family === 0) return
  list.addSubnet(host, Number(bits), family === 6 ? 'ipv6' : 'ipv4')
}
