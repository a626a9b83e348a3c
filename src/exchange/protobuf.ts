// As much of protobuf as Bitswap needs: varints and length-delimited fields, written into pieces and read without trust.
// Unknown fields are passed over, as the format asks.
import { readVarint, varintBytes } from '../base/frames.ts'
import { ExchangeError } from './errors.ts'

export interface Field {
  number: number
  /** Of a varint field; 0 for others. */
  value: number
  /** Of a length-delimited field; empty for others. */
  bytes: Uint8Array
}

const empty = new Uint8Array(0)

export function varintField(number: number, value: number): Uint8Array[] {
  return [varintBytes(number * 8), varintBytes(value)]
}

export function bytesField(number: number, ...pieces: Uint8Array[]): Uint8Array[] {
  const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
  return [varintBytes(number * 8 + 2), varintBytes(length), ...pieces]
}

/** The fields of a message in order; bytes are views. Throws PEER_BROKEN. */
export function* fields(message: Uint8Array): Generator<Field> {
  let at = 0
  const number = () => {
    const { value, next } = wireVarint(message, at)
    at = next
    return value
  }
  const skip = (length: number) => {
    if (at + length > message.byteLength) throw broken()
    at += length
    return message.subarray(at - length, at)
  }
  while (at < message.byteLength) {
    const tag = number()
    const field = Math.floor(tag / 8)
    if (field === 0) throw broken()
    if (tag % 8 === 0) yield { number: field, value: number(), bytes: empty }
    else if (tag % 8 === 2) yield { number: field, value: 0, bytes: skip(number()) }
    else if (tag % 8 === 1) skip(8)
    else if (tag % 8 === 5) skip(4)
    else throw broken()
  }
}

// Negative numbers take ten bytes, more than a JavaScript number holds; none of the fields that we read is negative, save
// priorities, which we do not honour: read as 0.
function wireVarint(message: Uint8Array, at: number): { value: number; next: number } {
  try {
    return readVarint(message, at)
  } catch {
    for (let length = 8; length < 10; length++)
      if ((message[at + length] ?? 0x80) < 0x80) return { value: 0, next: at + length + 1 }
    throw broken()
  }
}

function broken(): ExchangeError {
  return new ExchangeError('PEER_BROKEN', 'the peer sent a message that is not protobuf')
}
