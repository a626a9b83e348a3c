// What can go wrong while fetching from others. NO_PROVIDERS and STALLED reach people; the rest ends one peer's part in a
// fetch, and says why in the log.
import { CodedError } from '../base/errors.ts'

export type ExchangeErrorCode = 'NO_PROVIDERS' | 'STALLED' | 'PEER_BROKEN' | 'CLOSED'

export class ExchangeError extends CodedError<ExchangeErrorCode> {}
