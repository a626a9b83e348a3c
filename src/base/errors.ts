// Every failure a person may see is a CodedError: a code that programs switch on, a sentence that people understand,
// and whether trying again can help. Each folder has one subclass over a closed union of codes; the node's error table
// gives each code its exit code and HTTP status. Anything that is not a CodedError is a bug of ours.

export abstract class CodedError<Code extends string = string> extends Error {
  readonly code: Code
  /** True when the same call may succeed later without anything else changing. */
  readonly retryable: boolean

  constructor(code: Code, sentence: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(sentence, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.name = new.target.name
  }
}

export type BaseErrorCode = 'TIMED_OUT' | 'TRUNCATED' | 'FRAME_TOO_LARGE' | 'PROTOBUF_INVALID'

export class BaseError extends CodedError<BaseErrorCode> {}

/** The code of an error from Node.js ('ENOENT', 'ENOSPC', …), or of one of ours. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** A sentence for anything thrown. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
