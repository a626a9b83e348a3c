// What can go wrong with members. Whatever others send is answered with one of these and changes nothing: a forged claim, a
// garbled message or a stranger never does more than cost a signature check.
import { CodedError } from '../base/errors.ts'

export type MembersErrorCode =
  | 'CAPACITY_INVALID'
  | 'CLAIM_INVALID'
  | 'FORGET_SELF'
  | 'MEMBER_UNKNOWN'
  | 'MESSAGE_INVALID'
  | 'NOT_JOINED'
  | 'NOT_PROVEN'
  | 'ZONE_INVALID'

export class MembersError extends CodedError<MembersErrorCode> {}
