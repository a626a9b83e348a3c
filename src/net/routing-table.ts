// Which servers the routing table of a private DHT has. kad-dht dials everybody that any answer mentions, to see whether it
// is there, until it knows 1,280: among hundreds of peers all are soon connected to all, and whoever comes is dialed by
// everybody. Here a table has as many servers of each distance as Kademlia asks for, and only the first few of these are
// dialed for it; others are taken when they connect. And kad-dht keeps who has died until a bucket is full: here whoever is
// lost leaves the table, and comes back by connecting or by being mentioned.
//
// From Maymounkov and Mazieres, "Kademlia: A Peer-to-peer Information System Based on the XOR Metric" (2002): one bucket for
// each distance. It reaches into kad-dht, which has no setting for this, and fails at once when that has changed.
import type { Libp2p, PeerId as Libp2pPeerId } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sha256 } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import { times } from '../core/times.ts'

interface Contact {
  peerId: Libp2pPeerId
  /** SHA-256 of the PeerId. */
  kadId: Uint8Array
}

/** The routing table of kad-dht, as far as it is used here. */
export interface KadTable {
  readonly size: number
  remove(peer: Libp2pPeerId): Promise<void>
  /** 'peer:ping' is told of who has been seen alive, so that connections to the nearest are kept. */
  safeDispatchEvent(type: 'peer:ping', init: { detail: Libp2pPeerId }): boolean
  readonly kb: {
    /** Whether a contact that a bucket has room for is there: kad-dht dials and pings it. */
    verify: (contact: Contact, options?: Abortable) => Promise<boolean>
    toIterable(): Iterable<Contact>
  }
}

/** Keeps the table for as long as the node lives. */
export function keepTable(
  { node, clock }: { node: Libp2p; clock: Clock },
  { routingTable }: KadDHT & { readonly routingTable: KadTable },
): void {
  const { kb } = routingTable
  const own = sha256(node.peerId.toMultihash().bytes)
  if (typeof kb.verify !== 'function') throw new TypeError('the routing table of kad-dht is not what it was')
  // A handshake says as much as the ping that would follow it, which fails on a machine that is busy.
  const beingVerified = new Map<number, number>()
  kb.verify = async (contact, options) => {
    const distance = sharedBits(own, contact.kadId)
    const verifying = beingVerified.get(distance) ?? 0
    let known = verifying
    for (const { kadId } of kb.toIterable()) if (sharedBits(own, kadId) === distance) known++
    const isConnected = node.getConnections(contact.peerId).length > 0
    if (known >= (isConnected ? limits.dhtServersPerDistance : limits.dhtDialedPerDistance)) return false
    if (isConnected) {
      routingTable.safeDispatchEvent('peer:ping', { detail: contact.peerId })
      return true
    }
    beingVerified.set(distance, verifying + 1)
    try {
      // kad-dht looks at one after the other: many that have lost power must not hold up the rest for long.
      const dial = (signal: AbortSignal) => node.dial(contact.peerId, { signal })
      await withDeadline(clock, times.dialAddressMs, 'meeting a server of the DHT', dial, options)
      routingTable.safeDispatchEvent('peer:ping', { detail: contact.peerId })
      return true
    } catch {
      return false
    } finally {
      beingVerified.set(distance, beingVerified.get(distance)! - 1)
    }
  }
  node.addEventListener('peer:disconnect', ({ detail }) => void forget(routingTable, detail))
}

/**
 * The contacts to which a peer at `own` keeps a connection: the nearest, which know all others near them, and a few at each
 * distance, those known for longest, by which every key is reached.
 */
export function neededContacts(own: Uint8Array, contacts: readonly Contact[]): Set<string> {
  const nearest = contacts
    .map(({ peerId, kadId }) => ({ peerId, distance: kadId.map((byte, index) => byte ^ own[index]!) }))
    .sort((a, b) => Buffer.compare(a.distance, b.distance))
    .slice(0, limits.dhtReplicas)
  const needed = new Set(nearest.map(({ peerId }) => peerId.toString()))
  const perDistance = new Map<number, number>()
  for (const { peerId, kadId } of contacts) {
    const distance = sharedBits(own, kadId)
    const count = perDistance.get(distance) ?? 0
    if (count < limits.dhtDialedPerDistance) needed.add(peerId.toString())
    perDistance.set(distance, count + 1)
  }
  return needed
}

/** Takes a peer that does not answer out of the table. */
export async function forget(table: Pick<KadTable, 'remove'>, peer: Libp2pPeerId): Promise<void> {
  // The peer store may have forgotten it already, or be closed.
  await table.remove(peer).catch(() => {})
}

/** How many bits two positions begin with in common: the more, the nearer. */
export function sharedBits(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index])
  return at === -1 ? a.byteLength * 8 : at * 8 + Math.clz32(a[at]! ^ b[at]!) - 24
}
