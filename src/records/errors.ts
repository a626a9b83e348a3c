// What can go wrong with records, as people hear it. QUORUM_UNAVAILABLE does not say that nothing was written: a copy that
// was stored before the call failed stays, and spreads.
import { CodedError } from '../base/errors.ts'

export type RecordsErrorCode =
  | 'KEY_INVALID'
  | 'LEVEL_INVALID'
  | 'NAME_NOT_FOUND'
  | 'NO_CONFLICT'
  | 'NOT_MEMBER'
  | 'QUORUM_UNAVAILABLE'
  | 'RECORD_INVALID'
  | 'RING_CHANGED'
  | 'TOO_MANY_SIBLINGS'
  | 'VALUE_TOO_LARGE'
  | 'VERSION_INVALID'
  | 'VERSION_MISMATCH'

export class RecordsError extends CodedError<RecordsErrorCode> {}

/** A key as people know it: without the kind of record before its first slash. */
export function shownKey(key: string): string {
  return key.slice(key.indexOf('/') + 1)
}
