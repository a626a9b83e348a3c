// What can go wrong while fetching from others. Only NO_PROVIDERS reaches people; the rest ends one peer's part in a fetch.
import { CodedError } from '../base/errors.ts'

export type ExchangeErrorCode = 'NO_PROVIDERS' | 'PEER_BROKEN' | 'CLOSED'

export class ExchangeError extends CodedError<ExchangeErrorCode> {}
