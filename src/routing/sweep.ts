// What announcing decides, without doing any of it: which part of the keyspace an answer has told everything about, which
// servers get which keys, and when the keys of a region are due again. A provider record belongs on the k servers nearest
// to its key. One answer lists the k nearest to one key; from a few of them, all servers of a small subtree are known, and
// with them the right servers for every key of that subtree, however many there are. (Kubo's sweeping reprovider does the
// same: https://github.com/ipfs/kubo/blob/master/docs/provide-stats.md; here regions are found anew at every visit.)
import { limits } from '../core/limits.ts'
import type { PeerInfo } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { compareDistance, isWithin, type Prefix, prefixOf, sharedBits, siblingOf, startOf } from './keyspace.ts'

export interface Server extends PeerInfo {
  position: Uint8Array
}

/** A key of the DHT that is ours to announce. */
export interface Root {
  /** The multihash that the DHT knows it by. */
  key: Uint8Array
  position: Uint8Array
  /** Wall time at which it is due; 0 if it never was announced. */
  dueMs: number
  /** 0 if the last announcement held, else the number of the attempt to come. */
  attempt: number
}

/**
 * The subtree around `position` whose servers are all in the answer: every server nearer than the farthest one found is,
 * so those that share more bits with the position than the farthest does. `whole`: the answer is the whole network.
 */
export function toldBy(position: Uint8Array, found: Server[], whole: boolean): Prefix {
  if (whole) return ''
  const fewest = found.reduce((bits, server) => Math.min(bits, sharedBits(position, server.position)), 255)
  return prefixOf(position, fewest + 1)
}

/** What is left of a subtree without the part told of, as subtrees that do not overlap. */
export function restOf(prefix: Prefix, told: Prefix): Prefix[] {
  const rest: Prefix[] = []
  for (let bits = told.length; bits > prefix.length; bits--) rest.push(siblingOf(told.slice(0, bits)))
  return rest
}

export function countWithin(servers: Iterable<Server>, prefix: Prefix): number {
  let count = 0
  for (const { position } of servers) if (isWithin(position, prefix)) count++
  return count
}

/** The servers nearest to a position, nearest first. */
export function nearest(servers: Server[], position: Uint8Array): Server[] {
  return servers.toSorted((a, b) => compareDistance(position, a.position, b.position)).slice(0, limits.dhtReplicas)
}

export interface Assignment {
  /** What each server is to be told. */
  rootsOf: Map<Server, Root[]>
  /** How many servers each root is for. */
  wanted: number
}

/** Gives each root to the servers nearest to it. */
export function assign(roots: Root[], servers: Server[]): Assignment {
  const rootsOf = new Map<Server, Root[]>()
  for (const root of roots) {
    for (const server of nearest(servers, root.position)) {
      const roots = rootsOf.get(server)
      if (roots) roots.push(root)
      else rootsOf.set(server, [root])
    }
  }
  return { rootsOf, wanted: Math.min(servers.length, limits.dhtReplicas) }
}

/**
 * When the roots of a region are due again: each region has a time of its own within the cycle, by its place in the
 * keyspace, so that the work spreads evenly; `phase` (0 <= phase < 1) shifts it, so that peers do not all visit the same
 * servers at the same time. After `nowMs`, and at most one cycle after.
 */
export function nextSlotMs(prefix: Prefix, phase: number, nowMs: number): number {
  const cycleMs = times.announceEveryMs
  const slotMs = Math.floor(((startOf(prefix) + phase) % 1) * cycleMs)
  return (Math.floor((nowMs - slotMs) / cycleMs) + 1) * cycleMs + slotMs
}

/** How an announcement went: when, how many servers each root was for, and when its region has its next slot. */
export interface Announced {
  nowMs: number
  wanted: number
  slotMs: number
}

/** A root after `reached` servers took it: half of them hold a record well enough until its next slot. */
export function afterAnnouncing(root: Root, reached: number, { nowMs, wanted, slotMs }: Announced): Root {
  return reached > 0 && 2 * reached >= wanted ? { ...root, attempt: 0, dueMs: slotMs } : postponed(root, nowMs)
}

/** A root whose announcement failed: due again after a wait that doubles with each failure. */
export function postponed(root: Root, nowMs: number): Root {
  const attempt = Math.max(1, root.attempt)
  const delayMs = Math.min(times.announceRetryFirstMs * 2 ** (attempt - 1), times.announceRetryMostMs)
  return { ...root, attempt: Math.min(attempt + 1, 255), dueMs: nowMs + delayMs }
}
