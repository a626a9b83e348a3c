// As much of protobuf as the formats of others need: varints and length-delimited fields, written into pieces and read
// without trust. Unknown fields are passed over, as the format asks.
import { BaseError } from './errors.ts'
import { readVarint, varintBytes } from './frames.ts'

export interface Field {
  number: number
  /** Of a varint field, if it is below 2^53; else 0. */
  value: number
  /** Of a length-delimited field; of a varint field as it is written, for readers of 64 bits. */
  bytes: Uint8Array
}

export function varintField(number: number, value: number): Uint8Array[] {
  return [varintBytes(number * 8), varintBytes(value)]
}

export function bytesField(number: number, ...pieces: Uint8Array[]): Uint8Array[] {
  const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
  return [varintBytes(number * 8 + 2), varintBytes(length), ...pieces]
}

/** The fields of a message in order; bytes are views. Throws PROTOBUF_INVALID. */
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
    if (tag % 8 === 0) {
      const from = at
      yield { number: field, value: number(), bytes: message.subarray(from, at) }
    } else if (tag % 8 === 2) yield { number: field, value: 0, bytes: skip(number()) }
    else if (tag % 8 === 1) skip(8)
    else if (tag % 8 === 5) skip(4)
    else throw broken()
  }
}

// Numbers from 2^53, and negative ones, which take ten bytes, are more than a JavaScript number holds: read as 0.
function wireVarint(message: Uint8Array, at: number): { value: number; next: number } {
  try {
    return readVarint(message, at)
  } catch {
    for (let length = 7; length < 10; length++)
      if ((message[at + length] ?? 0x80) < 0x80) return { value: 0, next: at + length + 1 }
    throw broken()
  }
}

function broken(): BaseError {
  return new BaseError('PROTOBUF_INVALID', 'the message is not protobuf')
}
