// What can go wrong when names of the open kind are published or looked up, or a hub is asked. Announcing and finding providers
// never fail towards a user: they have workers that try again, and empty answers.
import { CodedError } from '../base/errors.ts'

export type RoutingErrorCode = 'HUB_FAILED' | 'IPNS_NOT_FOUND' | 'LIFETIME_INVALID'

export class RoutingError extends CodedError<RoutingErrorCode> {}
