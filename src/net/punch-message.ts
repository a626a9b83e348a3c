// The two messages of DCUtR (libp2p specs, relay/DCUtR.md), by which two peers behind NATs agree over a relay when to dial
// each other and where. Written and read as protobuf; what strangers send is cut to what can be used.
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { varintBytes } from '../base/frames.ts'
import { bytesField, fields, varintField } from '../base/protobuf.ts'
import { limits } from '../core/limits.ts'
import { NetError } from './errors.ts'

/** CONNECT tells where its sender is seen by others; SYNC says: now. */
export type PunchMessage = { type: 'connect'; addresses: Multiaddr[] } | { type: 'sync' }

const field = { type: 1, address: 2 } as const
const types = { connect: 100, sync: 300 } as const

/** The message with its length in front. */
export function encodePunch(message: PunchMessage): Uint8Array {
  const addresses = message.type === 'connect' ? message.addresses : []
  const parts = [
    ...varintField(field.type, types[message.type]),
    ...addresses.flatMap(({ bytes }) => bytesField(field.address, bytes)),
  ]
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
  return Buffer.concat([varintBytes(length), ...parts])
}

/**
 * A message without its length. Addresses that do not parse are left out, and all past `limits.punchAddressesMax`. Throws
 * STREAM_BROKEN for what is no such message, and PROTOBUF_INVALID.
 */
export function decodePunch(bytes: Uint8Array): PunchMessage {
  let type = 0
  const addresses: Multiaddr[] = []
  for (const { number, value, bytes: text } of fields(bytes)) {
    if (number === field.type) type = value
    if (number === field.address && addresses.length < limits.punchAddressesMax) addresses.push(...addressIn(text))
  }
  if (type === types.connect) return { type: 'connect', addresses }
  if (type === types.sync) return { type: 'sync' }
  throw new NetError('STREAM_BROKEN', 'the other peer sent what is no message of hole punching')
}

function addressIn(bytes: Uint8Array): Multiaddr[] {
  try {
    const address = multiaddr(bytes)
    // Parsed only when looked at.
    address.getComponents()
    return [address]
  } catch {
    return []
  }
}
