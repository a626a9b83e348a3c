// The messages of the Kademlia DHT that potluck sends by itself, as protobuf (libp2p specs, kad-dht: RPC messages).
// Everything else of the protocol is libp2p's.
import { varintBytes } from '../base/frames.ts'
import { bytesField, fields, varintField } from '../base/protobuf.ts'

const message = { type: 1, key: 2, record: 3, providers: 9 } as const
const peer = { id: 1, addresses: 2 } as const
const record = { key: 1, value: 2, received: 5 } as const
const types = { putValue: 0, getValue: 1, addProvider: 2, findNode: 4 } as const

/** One's own entry in ADD_PROVIDER messages: PeerId as multihash, addresses as binary multiaddrs. Made once, used often. */
export function providerEntry(peerId: Uint8Array, addresses: Uint8Array[]): Uint8Array {
  const own = [...bytesField(peer.id, peerId), ...addresses.flatMap((address) => bytesField(peer.addresses, address))]
  return Buffer.concat(bytesField(message.providers, ...own))
}

/** "This peer provides the key", with its length in front. It is not answered. */
export function addProviderMessage(key: Uint8Array, entry: Uint8Array): Uint8Array {
  return framed([...head(types.addProvider, key), entry])
}

/** "Who is near the key?", with its length in front. It is answered after everything sent before it was worked off. */
export function findNodeMessage(key: Uint8Array): Uint8Array {
  return framed(head(types.findNode, key))
}

/** "Keep this record", with its length in front. A server that does answers with the same. */
export function putValueMessage(key: Uint8Array, value: Uint8Array): Uint8Array {
  return framed([...head(types.putValue, key), ...bytesField(message.record, value)])
}

/** "What is kept under the key?", with its length in front. */
export function getValueMessage(key: Uint8Array): Uint8Array {
  return framed(head(types.getValue, key))
}

/** The value in an answer, if there is one. Throws PROTOBUF_INVALID. */
export function valueIn(answer: Uint8Array): Uint8Array | undefined {
  const kept = fieldOf(answer, message.record)
  return kept && valueOfRecord(kept)
}

/** A value as servers keep it: with its key, and when it came. */
export function valueRecord(key: Uint8Array, value: Uint8Array, receivedMs: number): Uint8Array {
  const received = new Date(receivedMs).toISOString().replace('Z', '000000Z')
  const parts = [
    ...bytesField(record.key, key),
    ...bytesField(record.value, value),
    ...bytesField(record.received, Buffer.from(received)),
  ]
  return Buffer.concat(parts)
}

/** Throws PROTOBUF_INVALID. */
export function valueOfRecord(bytes: Uint8Array): Uint8Array | undefined {
  return fieldOf(bytes, record.value)
}

function fieldOf(bytes: Uint8Array, wanted: number): Uint8Array | undefined {
  for (const field of fields(bytes)) if (field.number === wanted) return field.bytes
  return undefined
}

function head(type: number, key: Uint8Array): Uint8Array[] {
  return [...varintField(message.type, type), ...bytesField(message.key, key)]
}

function framed(parts: Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
  return Buffer.concat([varintBytes(length), ...parts])
}
