// The two messages of the Kademlia DHT that potluck sends by itself, as protobuf (libp2p specs, kad-dht: RPC messages).
// Everything else of the protocol is libp2p's.
import { varintBytes } from '../base/frames.ts'

const fields = { type: 1, key: 2, providers: 9, peerId: 1, peerAddresses: 2 } as const
const types = { addProvider: 2, findNode: 4 } as const
const wireVarint = 0
const wireBytes = 2

/** One's own entry in ADD_PROVIDER messages: PeerId as multihash, addresses as binary multiaddrs. Made once, used often. */
export function providerEntry(peerId: Uint8Array, addresses: Uint8Array[]): Uint8Array {
  const peer = concat([bytesField(fields.peerId, peerId), ...addresses.map((a) => bytesField(fields.peerAddresses, a))])
  return bytesField(fields.providers, peer)
}

/** "This peer provides the key", with its length in front. It is not answered. */
export function addProviderMessage(key: Uint8Array, entry: Uint8Array): Uint8Array {
  return framed([typeField(types.addProvider), bytesField(fields.key, key), entry])
}

/** "Who is near the key?", with its length in front. It is answered after everything sent before it was worked off. */
export function findNodeMessage(key: Uint8Array): Uint8Array {
  return framed([typeField(types.findNode), bytesField(fields.key, key)])
}

function framed(parts: Uint8Array[]): Uint8Array {
  const message = concat(parts)
  return concat([varintBytes(message.byteLength), message])
}

function typeField(type: number): Uint8Array {
  return Uint8Array.of((fields.type << 3) | wireVarint, type)
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return concat([Uint8Array.of((field << 3) | wireBytes), varintBytes(bytes.byteLength), bytes])
}

function concat(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}
