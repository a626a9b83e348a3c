// What can go wrong when names of the open kind are published or looked up. Announcing and finding providers never fail
// towards a user: they have workers that try again, and empty answers.
import { CodedError } from '../base/errors.ts'

export type RoutingErrorCode = 'IPNS_NOT_FOUND' | 'LIFETIME_INVALID'

export class RoutingError extends CodedError<RoutingErrorCode> {}
