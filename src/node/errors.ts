// What each error code means to the outside: the exit code of the command and the HTTP status. One row per code, and the
// type checker insists that none is missing.
import { type BaseErrorCode, CodedError } from '../base/errors.ts'
import type { CoreErrorCode } from '../core/block.ts'
import type { ExchangeErrorCode } from '../exchange/errors.ts'
import type { FilesErrorCode } from '../files/errors.ts'
import type { MembersErrorCode } from '../members/errors.ts'
import type { NetErrorCode } from '../net/errors.ts'
import type { RecordsErrorCode } from '../records/errors.ts'
import type { ReplicasErrorCode } from '../replicas/errors.ts'
import type { RoutingErrorCode } from '../routing/errors.ts'
import type { StoreErrorCode } from '../store/errors.ts'

export type NodeErrorCode =
  | 'ADD_INCOMPLETE'
  | 'ALREADY_RUNNING'
  | 'API_FAILED'
  | 'CLIENT_GONE'
  | 'CONFIG_INVALID'
  | 'DOCTOR_FOUND'
  | 'FILE_MISSING'
  | 'HOME_BUSY'
  | 'HOME_INVALID'
  | 'IN_CLUSTER'
  | 'JOIN_UNREACHED'
  | 'NO_HEIR'
  | 'NO_MEMBER'
  | 'NO_PEER'
  | 'NOT_PINNED'
  | 'NOT_PROVIDED'
  | 'OUTPUT_FAILED'
  | 'REF_NOT_FOUND'
  | 'REQUEST_INVALID'
  | 'SIMULATION_FAILED'
  | 'STOPPING'
  | 'TOKEN_INVALID'
  | 'VERIFY_FAILED'

export class NodeError extends CodedError<NodeErrorCode> {}

export type AnyErrorCode =
  | BaseErrorCode
  | CoreErrorCode
  | ExchangeErrorCode
  | FilesErrorCode
  | MembersErrorCode
  | NetErrorCode
  | NodeErrorCode
  | RecordsErrorCode
  | ReplicasErrorCode
  | RoutingErrorCode
  | StoreErrorCode

/** Exit codes of the commands, as the help lists them. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  unavailable: 4,
  corrupt: 5,
  noPeer: 6,
  refused: 7,
  timedOut: 124,
  interrupted: 130,
} as const

/** An error as it crosses the API. */
export interface ShownError {
  code: string
  message: string
  exit: number
}

/** An error that the running peer told of. */
export class RelayedError extends Error {
  readonly shown: ShownError

  constructor(shown: ShownError) {
    super(shown.message)
    this.name = 'RelayedError'
    this.shown = shown
  }
}

/** Code, sentence, exit code and HTTP status of anything thrown. What is not a CodedError is a bug, and says so. */
export function describeError(error: unknown): ShownError & { http: number } {
  if (error instanceof RelayedError) return { ...error.shown, http: 502 }
  if (error instanceof CodedError) {
    const [exit, http] = meanings[error.code as AnyErrorCode]
    return { code: error.code, message: error.message, exit, http }
  }
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return {
    code: 'INTERNAL',
    message: `something unexpected went wrong (${what}); please report it`,
    exit: 1,
    http: 500,
  }
}

type Row = readonly [exit: number, http: number]

const { failed, usage, notFound, unavailable, corrupt, noPeer, refused, timedOut, interrupted } = exitCodes

const meanings: Record<AnyErrorCode, Row> = {
  TIMED_OUT: [timedOut, 504],
  TRUNCATED: [failed, 502],
  FRAME_TOO_LARGE: [failed, 502],
  PROTOBUF_INVALID: [failed, 502],

  MISMATCH: [corrupt, 422],
  HASH_UNSUPPORTED: [failed, 422],
  BLOCK_TOO_LARGE: [failed, 422],
  NOT_ADMITTED: [refused, 403],
  CALL_REFUSED: [failed, 502],
  CALLS_FULL: [failed, 503],
  IPNS_EXPIRED: [notFound, 404],
  IPNS_INVALID: [failed, 422],
  REF_INVALID: [usage, 400],
  SIZE_INVALID: [usage, 400],
  TIME_INVALID: [usage, 400],

  NOT_FOUND: [notFound, 404],
  CORRUPT: [corrupt, 500],
  REFERENCE_CHANGED: [corrupt, 500],
  STORE_FULL: [failed, 507],
  STORE_FAILED: [failed, 500],
  HOME_TOO_NEW: [failed, 500],
  CATALOG_DAMAGED: [corrupt, 500],

  NOT_FOUND_PATH: [notFound, 404],
  PERMISSION: [failed, 403],
  DISK_FULL: [failed, 507],
  DISK_FAILED: [failed, 500],
  NAME_INVALID: [failed, 422],
  SPECIAL_FILE: [failed, 422],
  FILE_CHANGED: [failed, 409],
  TOO_DEEP: [failed, 422],
  TARGET_EXISTS: [failed, 409],
  OPTION_CONFLICT: [usage, 400],
  PROFILE_UNKNOWN: [usage, 400],
  CODEC_UNSUPPORTED: [failed, 422],
  DAG_INVALID: [corrupt, 422],
  DAG_TOO_LARGE: [failed, 422],
  PATH_NOT_FOUND: [notFound, 404],
  IS_DIRECTORY: [failed, 422],
  NOT_DIRECTORY: [failed, 422],
  NOT_FILE: [failed, 422],
  CAR_INVALID: [corrupt, 422],
  CAR_TRUNCATED: [corrupt, 422],

  ADDRESS_INVALID: [usage, 400],
  CIRCUIT_FAILED: [failed, 502],
  DIAL_FAILED: [failed, 502],
  GOSSIP_TOO_LARGE: [failed, 413],
  IDENTITY_INVALID: [failed, 500],
  INVITE_INVALID: [usage, 400],
  LISTEN_FAILED: [failed, 500],
  NO_DHT_SERVERS: [failed, 503],
  NOT_A_MEMBER: [refused, 403],
  OTHER_NETWORK: [refused, 403],
  PORT_IN_USE: [failed, 500],
  PROTOCOL_UNSUPPORTED: [failed, 502],
  ROTATION_REFUSED: [refused, 409],
  SECRET_INVALID: [failed, 500],
  STREAM_BROKEN: [failed, 502],
  VALUE_REFUSED: [failed, 422],

  CAPACITY_INVALID: [usage, 400],
  CLAIM_INVALID: [failed, 422],
  FORGET_SELF: [usage, 400],
  MEMBER_UNKNOWN: [notFound, 404],
  MESSAGE_INVALID: [failed, 502],
  NOT_JOINED: [refused, 403],
  NOT_PROVEN: [refused, 403],
  ZONE_INVALID: [usage, 400],

  NO_PROVIDERS: [notFound, 404],
  PEER_BROKEN: [failed, 502],
  CLOSED: [failed, 503],

  IPNS_NOT_FOUND: [notFound, 404],
  LIFETIME_INVALID: [usage, 400],

  KEY_INVALID: [usage, 400],
  LEVEL_INVALID: [usage, 400],
  NAME_NOT_FOUND: [notFound, 404],
  NO_CONFLICT: [failed, 409],
  NOT_MEMBER: [refused, 403],
  QUORUM_UNAVAILABLE: [unavailable, 503],
  RECORD_INVALID: [failed, 502],
  RING_CHANGED: [unavailable, 503],
  TOO_MANY_SIBLINGS: [failed, 409],
  VALUE_TOO_LARGE: [usage, 413],
  VERSION_INVALID: [usage, 400],
  VERSION_MISMATCH: [failed, 409],

  COPIES_INVALID: [usage, 400],
  COPIES_UNAVAILABLE: [unavailable, 503],
  NOT_KEPT: [notFound, 404],
  PIN_INVALID: [failed, 422],

  ADD_INCOMPLETE: [failed, 422],
  ALREADY_RUNNING: [failed, 409],
  API_FAILED: [failed, 500],
  CLIENT_GONE: [interrupted, 499],
  DOCTOR_FOUND: [failed, 500],
  CONFIG_INVALID: [usage, 400],
  FILE_MISSING: [notFound, 404],
  HOME_BUSY: [failed, 409],
  HOME_INVALID: [failed, 500],
  IN_CLUSTER: [failed, 409],
  JOIN_UNREACHED: [unavailable, 502],
  NO_HEIR: [unavailable, 503],
  NO_MEMBER: [refused, 403],
  NO_PEER: [noPeer, 503],
  NOT_PINNED: [notFound, 404],
  NOT_PROVIDED: [notFound, 404],
  OUTPUT_FAILED: [failed, 500],
  REF_NOT_FOUND: [notFound, 404],
  REQUEST_INVALID: [usage, 400],
  SIMULATION_FAILED: [failed, 500],
  STOPPING: [failed, 503],
  TOKEN_INVALID: [refused, 401],
  VERIFY_FAILED: [corrupt, 500],
}
