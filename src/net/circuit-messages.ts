// The messages of circuit relay v2, as its specification has them: HOP between a peer and its relay, STOP between a relay
// and the peer that it reaches. Reading trusts nothing: what is not such a message is an error, and what is unknown in it
// is passed over. Vouchers are neither made nor looked at: the specification makes them optional and nobody checks them.
// Source: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md
import { bytesField, fields, varintField } from '../base/protobuf.ts'
import { limits } from '../core/limits.ts'
import { NetError } from './errors.ts'

export const hopProtocol = '/libp2p/circuit/relay/0.2.0/hop'
export const stopProtocol = '/libp2p/circuit/relay/0.2.0/stop'

export const circuitStatus = {
  ok: 100,
  reservationRefused: 200,
  resourceLimitExceeded: 201,
  permissionDenied: 202,
  connectionFailed: 203,
  noReservation: 204,
  malformedMessage: 400,
  unexpectedMessage: 401,
} as const

export const hopTypes = { reserve: 0, connect: 1, status: 2 } as const
export const stopTypes = { connect: 0, status: 1 } as const

/** What a relay lets through one circuit. A figure that is missing has no limit. */
export interface CircuitLimits {
  seconds?: number
  /** Of both directions together. */
  bytes?: number
}

export interface Reservation {
  /** Unix time, seconds. */
  expires: number
  /** Binary multiaddrs of the relay. */
  addresses: Uint8Array[]
}

export interface CircuitMessage {
  type: number | undefined
  /** Multihash of the PeerId that is asked for (HOP), or that asks (STOP). */
  peer?: Uint8Array | undefined
  reservation?: Reservation | undefined
  limits?: CircuitLimits | undefined
  status?: number | undefined
}

// The same words have other numbers in the two protocols.
const hopNumbers = { type: 1, peer: 2, reservation: 3, limits: 4, status: 5 }
const stopNumbers = { type: 1, peer: 2, reservation: -1, limits: 3, status: 4 }
type Numbers = typeof hopNumbers

export function encodeHop(message: CircuitMessage): Uint8Array {
  return encode(message, hopNumbers)
}

export function encodeStop(message: CircuitMessage): Uint8Array {
  return encode(message, stopNumbers)
}

/** Throws CIRCUIT_FAILED for what is no such message. */
export function decodeHop(bytes: Uint8Array): CircuitMessage {
  return decode(bytes, hopNumbers)
}

/** Throws CIRCUIT_FAILED for what is no such message. */
export function decodeStop(bytes: Uint8Array): CircuitMessage {
  return decode(bytes, stopNumbers)
}

/** A status as people read it. */
export function statusName(status: number | undefined): string {
  const names: Record<number, string> = {
    [circuitStatus.reservationRefused]: 'it takes no more reservations',
    [circuitStatus.resourceLimitExceeded]: 'it relays too much already',
    [circuitStatus.permissionDenied]: 'it does not relay for this peer',
    [circuitStatus.connectionFailed]: 'it could not reach that peer',
    [circuitStatus.noReservation]: 'that peer has no reservation there',
    [circuitStatus.malformedMessage]: 'it did not understand us',
    [circuitStatus.unexpectedMessage]: 'it did not expect that',
  }
  return names[status ?? 0] ?? `it answered ${status === undefined ? 'nothing that is known' : `status ${status}`}`
}

function encode({ type, peer, reservation, limits: most, status }: CircuitMessage, numbers: Numbers): Uint8Array {
  const pieces = [
    ...(type === undefined ? [] : varintField(numbers.type, type)),
    ...(peer ? bytesField(numbers.peer, ...bytesField(1, peer)) : []),
    ...(reservation ? bytesField(numbers.reservation, ...reservationFields(reservation)) : []),
    ...(most ? bytesField(numbers.limits, ...limitFields(most)) : []),
    ...(status === undefined ? [] : varintField(numbers.status, status)),
  ]
  return new Uint8Array(Buffer.concat(pieces))
}

function reservationFields({ expires, addresses }: Reservation): Uint8Array[] {
  return [...varintField(1, expires), ...addresses.flatMap((address) => bytesField(2, address))]
}

function limitFields({ seconds, bytes }: CircuitLimits): Uint8Array[] {
  return [
    ...(seconds === undefined ? [] : varintField(1, seconds)),
    ...(bytes === undefined ? [] : varintField(2, bytes)),
  ]
}

function decode(bytes: Uint8Array, numbers: Numbers): CircuitMessage {
  const message: CircuitMessage = { type: undefined }
  try {
    for (const { number, value, bytes: inner } of fields(bytes)) {
      if (number === numbers.type) message.type = value
      else if (number === numbers.peer) message.peer = first(inner, 1)
      else if (number === numbers.reservation) message.reservation = decodeReservation(inner)
      else if (number === numbers.limits) message.limits = decodeLimits(inner)
      else if (number === numbers.status) message.status = value
    }
  } catch (cause) {
    throw new NetError('CIRCUIT_FAILED', 'what came is no message of a relay', { cause })
  }
  return message
}

function first(message: Uint8Array, wanted: number): Uint8Array | undefined {
  for (const { number, bytes } of fields(message)) if (number === wanted) return bytes
  return undefined
}

function decodeReservation(message: Uint8Array): Reservation {
  const reservation: Reservation = { expires: 0, addresses: [] }
  for (const { number, value, bytes } of fields(message)) {
    if (number === 1) reservation.expires = value
    if (number === 2 && reservation.addresses.length < limits.addressesPerPeerMax) reservation.addresses.push(bytes)
  }
  return reservation
}

// Relays without a limit leave the figure out, or write 0.
function decodeLimits(message: Uint8Array): CircuitLimits | undefined {
  const most: CircuitLimits = {}
  for (const { number, value } of fields(message)) {
    if (number === 1 && value > 0) most.seconds = value
    if (number === 2 && value > 0) most.bytes = value
  }
  return most.seconds === undefined && most.bytes === undefined ? undefined : most
}
