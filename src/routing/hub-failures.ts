// Why a hub could not be asked, as a sentence: what `fetch` throws has the reason in the cause of a cause, as a code. The
// sentence says which hub, what is wrong and, where somebody can mend it, how.
import { codeOf, sentenceOf } from '../base/errors.ts'
import { RoutingError } from './errors.ts'

const certificates: Record<string, string> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet; is the clock of this machine right?',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by nobody but itself',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it was made for another name',
  SELF_SIGNED_CERT_IN_CHAIN: 'it is signed by somebody whom this machine does not know',
  UNABLE_TO_GET_ISSUER_CERT: 'who signed it is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'who signed it is not known here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'who signed it is not known here',
}

const others: Record<string, string> = {
  ECONNREFUSED: 'nobody listens there; is the hub running, and the port right?',
  ECONNRESET: 'it hung up',
  EHOSTUNREACH: 'no way leads to that machine now',
  ENETUNREACH: 'no way leads to that machine now',
  ENOTFOUND: 'there is no machine of that name',
  EAI_AGAIN: 'its name cannot be looked up now',
  ETIMEDOUT: 'that machine does not answer',
  TIMED_OUT: 'it did not answer in time',
  UND_ERR_CONNECT_TIMEOUT: 'that machine does not answer',
  UND_ERR_HEADERS_TIMEOUT: 'that machine does not answer',
  UND_ERR_SOCKET: 'it hung up in the middle of its answer',
}

/** Anything that was thrown while a hub was asked, as HUB_FAILED with a whole sentence. */
export function hubFailure(hub: string, error: unknown): RoutingError {
  return new RoutingError('HUB_FAILED', `the hub ${hub} ${whatIsWrong(error)}`, { retryable: true, cause: error })
}

function whatIsWrong(error: unknown): string {
  if (error instanceof RoutingError) return error.message
  const code = codeOf(deepest(error)) ?? ''
  if (Object.hasOwn(certificates, code) || /CERT/.test(code))
    return `shows a certificate that is wrong: ${certificates[code] ?? `OpenSSL says ${code}`}; it was asked nothing`
  if (/SSL|TLS|EPROTO/.test(code)) return `does not speak TLS there (${code}): was http:// meant?`
  if ((deepest(error) as Error | null)?.name === 'HTTPParserError')
    return 'does not speak HTTP there: is the port right?'
  // Ports of other protocols, to which the platform's fetch sends nothing.
  if (sentenceOf(deepest(error)) === 'bad port')
    return 'is not reachable: nothing is sent over HTTP to that port; is it right?'
  return `is not reachable: ${others[code] ?? sentenceOf(deepest(error))}`
}

// A name with several addresses fails with one error for each.
function deepest(error: unknown): unknown {
  let inner = error
  for (let depth = 0; depth < 4; depth++) {
    const { cause, errors } = (inner ?? {}) as { cause?: unknown; errors?: unknown[] }
    const next = cause ?? errors?.[0]
    if (next === undefined) break
    inner = next
  }
  return inner
}
