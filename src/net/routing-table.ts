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
import type { Abortable } from '../base/abort.ts'
import { sha256 } from '../core/block.ts'
import { limits } from '../core/limits.ts'

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
    /** Whether a contact that a bucket has room for is there: it is dialed and pinged. */
    verify: (contact: Contact, options?: Abortable) => Promise<boolean>
    toIterable(): Iterable<Contact>
  }
}

/** Keeps the table for as long as the node lives. */
export function keepTable(node: Libp2p, { routingTable }: KadDHT & { readonly routingTable: KadTable }): void {
  const { kb } = routingTable
  const own = sha256(node.peerId.toMultihash().bytes)
  const verify = kb.verify
  if (typeof verify !== 'function') throw new TypeError('the routing table of kad-dht is not what it was')
  const beingVerified = new Map<number, number>()
  kb.verify = async (contact, options) => {
    const distance = sharedBits(own, contact.kadId)
    const verifying = beingVerified.get(distance) ?? 0
    let known = verifying
    for (const { kadId } of kb.toIterable()) if (sharedBits(own, kadId) === distance) known++
    const isConnected = node.getConnections(contact.peerId).length > 0
    if (known >= (isConnected ? limits.dhtServersPerDistance : limits.dhtDialedPerDistance)) return false
    if (isConnected) {
      // Identify has just gone over the connection: a ping says no more, and fails on a machine that is busy.
      routingTable.safeDispatchEvent('peer:ping', { detail: contact.peerId })
      return true
    }
    beingVerified.set(distance, verifying + 1)
    try {
      return await verify(contact, options)
    } finally {
      beingVerified.set(distance, beingVerified.get(distance)! - 1)
    }
  }
  node.addEventListener('peer:disconnect', ({ detail }) => void forget(routingTable, detail))
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
