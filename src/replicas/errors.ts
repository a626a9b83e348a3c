// What can go wrong with replicas, as people hear it. A copy that is late is no error: it is a status. These are for what was
// asked and cannot be.
import { CodedError } from '../base/errors.ts'

export type ReplicasErrorCode =
  | 'COPIES_INVALID'
  | 'COPIES_UNAVAILABLE'
  | 'NOT_KEPT'
  | 'NOT_MEMBER'
  | 'PIN_INVALID'
  | 'PINS_UNREACHED'

export class ReplicasError extends CodedError<ReplicasErrorCode> {}
