// What the twins of network and disk answer when they fail: the codes of the real ones, since callers go by them.
import { CodedError } from '../base/errors.ts'

export type SimErrorCode = 'DIAL_FAILED' | 'GOSSIP_TOO_LARGE' | 'PROTOCOL_UNSUPPORTED' | 'STORE_FULL' | 'STREAM_BROKEN'

export class SimError extends CodedError<SimErrorCode> {}
