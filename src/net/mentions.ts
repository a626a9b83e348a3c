// What answers in the DHT mention over and over is no news. Every answer names twenty servers, mostly those of the answer
// before, and kad-dht takes each for a discovery: it is merged into the peer store and considered for the routing table,
// which dials it if it is not there. Both sides of a lookup spent most of their time on that, and dialed who had died again
// with every answer. Here a peer that was mentioned a moment ago, at the same addresses, is passed over; and of what an
// answer says of one peer only as much is heard as is believed of anybody.
import type { PeerInfo } from '@libp2p/interface'
import type { Clock } from '../base/clock.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import { times } from '../core/times.ts'

/** Where kad-dht tells of the peers in an answer, as events named 'peer'. */
export interface KadAnswers {
  safeDispatchEvent(type: string, init: { detail: PeerInfo }): boolean
}

export function passOverOldMentions(answers: KadAnswers, clock: Clock): void {
  const tell = answers.safeDispatchEvent
  if (typeof tell !== 'function') throw new TypeError('the answers of kad-dht are not what they were')
  const mentioned = new Lru<string, { addresses: string; atMs: number }>(limits.dhtServersRemembered)
  answers.safeDispatchEvent = (type, init) => {
    const { id } = init.detail
    const multiaddrs = init.detail.multiaddrs
      .slice(0, limits.addressesPerPeerMax)
      .filter(({ bytes }) => bytes.byteLength <= limits.addressCharactersMax)
    // Bytes make names that cost less than those for people.
    const peer = latin(id.toMultihash().bytes)
    const addresses = multiaddrs.map(({ bytes }) => latin(bytes)).join()
    const nowMs = clock.monotonicMs()
    const before = mentioned.get(peer)
    if (before && before.addresses === addresses && nowMs - before.atMs < times.dhtMentionMs) return true
    mentioned.set(peer, { addresses, atMs: nowMs })
    return tell.call(answers, type, { detail: { id, multiaddrs } })
  }
}

function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
