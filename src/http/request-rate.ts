// How often each address may ask, a bucket of tokens for each, in memory, the ones used longest ago forgotten; and how many
// connections it may have open. It keeps one client from taking a hub from all others; it is no defence against an attacker
// with many addresses.
import type { Server, Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'

export class RequestRate {
  readonly #clock: Clock
  readonly #buckets = new Lru<string, { left: number; atMs: number }>(limits.routingClientsMax)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Counts a request: 0 if it may go on, else the milliseconds after which the next one may. */
  waitMs(address: string): number {
    if (isHere(address)) return 0
    const client = clientOf(address)
    const nowMs = this.#clock.monotonicMs()
    const { left, atMs } = this.#buckets.get(client) ?? { left: limits.routingBurst, atMs: nowMs }
    const refilled = Math.min(limits.routingBurst, left + ((nowMs - atMs) / 1000) * limits.routingPerSecond)
    const isEnough = refilled >= 1
    this.#buckets.set(client, { left: isEnough ? refilled - 1 : refilled, atMs: nowMs })
    return isEnough ? 0 : ((1 - refilled) / limits.routingPerSecond) * 1000
  }
}

/** Drops connections of a client that has too many. */
export function shareConnections(server: Pick<Server, 'on'>): void {
  // As many as the server lets be open.
  const open = new Map<string, number>()
  server.on('connection', (socket: Socket) => {
    const { remoteAddress = '' } = socket
    if (isHere(remoteAddress)) return
    const client = clientOf(remoteAddress)
    const count = open.get(client) ?? 0
    if (count >= limits.routingConnectionsPerClient) {
      socket.destroy()
      return
    }
    open.set(client, count + 1)
    socket.once('close', () => {
      const left = open.get(client)! - 1
      if (left === 0) open.delete(client)
      else open.set(client, left)
    })
  })
}

// This machine itself, or a proxy on it that stands for everybody and has a limit of its own.
function isHere(address: string): boolean {
  return /^(127\.|::1$|::ffff:127\.)/.test(address)
}

// A household has a whole /64, and may take any address in it.
function clientOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address
  const [head = '', tail] = address.split('::')
  const groups = head.split(':')
  if (tail === undefined) return groups.slice(0, 4).join(':')
  const missing = 8 - groups.length - tail.split(':').length
  return [...groups, ...Array.from({ length: missing }, () => '0'), ...tail.split(':')].slice(0, 4).join(':')
}
