// In which order the addresses of a peer are tried, one after the other: a direct one before one through a relay, but what
// will hardly work last, since each attempt may cost seconds. A private address belongs to somebody's own network: it goes
// first where this machine has a foot in that network, and after the relays where it has none. What has failed lately
// (another peer answers there, or nobody does) goes to the end for a while, longer each time; nothing is ever left out.
import { BlockList, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../base/clock.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { ipOfAddress, isLocalIp, isLoopbackAddress, relayOfAddress } from './addresses.ts'

/** Networks that this machine has a foot in, as `192.168.1.7/24`. */
export type Interfaces = () => string[]

export const machineInterfaces: Interfaces = () =>
  Object.values(networkInterfaces()).flatMap((all) => (all ?? []).flatMap(({ cidr }) => cidr ?? []))

export interface DialOrderDeps {
  clock: Clock
  interfaces?: Interfaces
  /** Whether there is a connection to a peer: a relay that is at hand is the quicker one. */
  isConnected: (peer: PeerId) => boolean
}

export class DialOrder {
  readonly #clock: Clock
  readonly #interfaces: Interfaces
  readonly #isConnected: (peer: PeerId) => boolean
  readonly #failed = new Lru<string, { failures: number; untilMs: number }>(limits.failedAddressesMax)
  #networks: { near: BlockList; untilMs: number } | undefined

  constructor(deps: DialOrderDeps) {
    this.#clock = deps.clock
    this.#interfaces = deps.interfaces ?? machineInterfaces
    this.#isConnected = deps.isConnected
  }

  compare(a: Multiaddr, b: Multiaddr): number {
    return this.rank(a) - this.rank(b)
  }

  /** Lower is tried earlier. */
  rank(address: Multiaddr): number {
    const relay = relayOfAddress(address)
    const isConnected = relay !== undefined && this.#isConnected(relay)
    const text = address.toString()
    if (this.#hasFailed(text)) return 6
    // A relay that did not answer does not answer for others either.
    if (relay !== undefined && !isConnected && this.#hasFailed(text.split('/p2p-circuit')[0]!)) return 6
    if (relay !== undefined) return isConnected ? 3 : 4
    const ip = ipOfAddress(address)
    if (ip === undefined || !isLocalIp(ip)) return 1
    if (isLoopbackAddress(address)) return 2
    return this.#near().check(ip, family(ip)) ? 0 : 5
  }

  #hasFailed(address: string): boolean {
    return (this.#failed.get(address)?.untilMs ?? 0) > this.#clock.monotonicMs()
  }

  failed(address: Multiaddr): void {
    const key = address.toString()
    const failures = (this.#failed.get(key)?.failures ?? 0) + 1
    const waitMs = Math.min(times.failedAddressFirstMs * 2 ** (failures - 1), times.failedAddressMostMs)
    this.#failed.set(key, { failures, untilMs: this.#clock.monotonicMs() + waitMs })
  }

  worked(address: Multiaddr): void {
    this.#failed.delete(address.toString())
  }

  // A machine changes its networks when it wakes somewhere else.
  #near(): BlockList {
    const nowMs = this.#clock.monotonicMs()
    if (this.#networks && this.#networks.untilMs > nowMs) return this.#networks.near
    const near = new BlockList()
    for (const network of this.#interfaces()) {
      const [ip = '', prefix] = network.split('/')
      near.addSubnet(ip, Number(prefix), family(ip))
    }
    this.#networks = { near, untilMs: nowMs + times.interfacesMs }
    return near
  }
}

/** Whether two IP addresses are in one of these networks. */
export function sharedNetwork(interfaces: readonly string[], a: string, b: string): boolean {
  return interfaces.some((network) => {
    const [ip = '', prefix] = network.split('/')
    const list = new BlockList()
    list.addSubnet(ip, Number(prefix), family(ip))
    return list.check(a, family(a)) && list.check(b, family(b))
  })
}

function family(ip: string): 'ipv4' | 'ipv6' {
  return isIPv6(ip) ? 'ipv6' : 'ipv4'
}
