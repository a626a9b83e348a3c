// Checks of what was decoded from the wire or the disk, field by field: the right type, in range, of bounded length. What
// fails throws RECORD_INVALID and is dropped by whoever asked; nothing decoded is used without passing here.
import { decode } from '@ipld/dag-cbor'
import { RecordsError } from './errors.ts'

/** What some bytes say. Throws RECORD_INVALID when they are no DAG-CBOR. */
export function decoded(bytes: Uint8Array, what: string): unknown {
  try {
    return decode(bytes)
  } catch (cause) {
    throw invalid(`a ${what} that cannot be decoded`, cause)
  }
}

export function invalid(what: string, cause?: unknown): RecordsError {
  return new RecordsError('RECORD_INVALID', `a peer or the disk gave ${what}`, { cause })
}

export function listField(value: unknown, lengthMax: number, what: string): unknown[] {
  if (!Array.isArray(value) || value.length > lengthMax) throw invalid(`a bad ${what}`)
  return value
}

export function bytesField(value: unknown, lengthMax: number, what: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.byteLength > lengthMax) throw invalid(`a bad ${what}`)
  return value
}

export function textField(value: unknown, lengthMax: number, what: string): string {
  if (typeof value !== 'string' || value.length > lengthMax) throw invalid(`a bad ${what}`)
  return value
}

/** A whole number of at least 0. */
export function countField(value: unknown, what: string, most: number = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > most) throw invalid(`a bad ${what}`)
  return value as number
}

/** The named parts of an object. */
export function partsField(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw invalid(`a bad ${what}`)
  return value as Record<string, unknown>
}
