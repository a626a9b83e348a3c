// What each error code means to the outside: the exit code of the command and the HTTP status. One row per code, and the
// type checker insists that none is missing.
import { type BaseErrorCode, CodedError } from '../base/errors.ts'
import type { CoreErrorCode } from '../core/block.ts'
import type { ExchangeErrorCode } from '../exchange/errors.ts'
import type { FilesErrorCode } from '../files/errors.ts'
import type { NetErrorCode } from '../net/errors.ts'
import type { StoreErrorCode } from '../store/errors.ts'

export type NodeErrorCode =
  | 'ALREADY_RUNNING'
  | 'API_FAILED'
  | 'CLIENT_GONE'
  | 'CONFIG_INVALID'
  | 'FILE_MISSING'
  | 'HOME_BUSY'
  | 'HOME_INVALID'
  | 'JOIN_UNREACHED'
  | 'NO_PEER'
  | 'NOT_PINNED'
  | 'NOT_PROVIDED'
  | 'OUTPUT_FAILED'
  | 'REQUEST_INVALID'
  | 'STOPPING'
  | 'TOKEN_INVALID'
  | 'VERIFY_FAILED'

export class NodeError extends CodedError<NodeErrorCode> {}

export type AnyErrorCode =
  | BaseErrorCode
  | CoreErrorCode
  | ExchangeErrorCode
  | FilesErrorCode
  | NetErrorCode
  | NodeErrorCode
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
