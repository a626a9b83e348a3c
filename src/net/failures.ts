// Why a dial or a listen failed, in words of people who want to know what to do about it.
import { codeOf, sentenceOf } from '../base/errors.ts'
import { NetError } from './errors.ts'

const plainReasons: Record<string, string> = {
  ECONNREFUSED: 'nobody listens there (connection refused)',
  ECONNRESET: 'the other side hung up',
  EHOSTUNREACH: 'there is no route to that host',
  ENETUNREACH: 'there is no route to that network',
  ENOTFOUND: 'that host name is not known',
  EAI_AGAIN: 'that host name could not be looked up',
  ETIMEDOUT: 'no answer in time',
  EACCES: 'this system does not allow it',
  EADDRNOTAVAIL: 'this machine does not have such an address',
}

const namedReasons: Record<string, string> = {
  TimeoutError: 'no answer in time',
  AbortError: 'no answer in time',
  NoValidAddressesError: 'no address is known at which it could be dialed',
  NotFoundError: 'no address is known at which it could be dialed',
  LimitedConnectionError: 'it is reached only through a relay of strangers, which lets too little through for this',
  ConnectionDeniedError: 'it accepts no more connections now',
}

/** The error of a failed dial: OTHER_NETWORK if that explains every address, else DIAL_FAILED with each reason once. */
export function dialFailure(error: unknown, target: string): NetError {
  const reasons = flatten(error).map(dialReason)
  const otherNetwork = reasons.length > 0 && reasons.every((reason) => reason === otherNetworkReason)
  if (otherNetwork)
    return new NetError(
      'OTHER_NETWORK',
      `${target}: this peer is of another private network (or of none): its invite line is needed`,
      { cause: error },
    )
  const shown = [...new Set(reasons)].slice(0, 3).join('; ') || 'no address is known at which it could be dialed'
  return new NetError('DIAL_FAILED', `could not connect to ${target}: ${shown}`, { retryable: true, cause: error })
}

const otherNetworkReason = 'it is of another private network, or of none'

// The upgrader keeps only the message of what went wrong in a handshake, so the message has to tell.
function dialReason(error: unknown): string {
  const { name = '', message = '' } = error as Error
  if (/could not negotiate|not admitted/.test(message)) return otherNetworkReason
  if (/does not match expected remote identity key/.test(message))
    return 'another peer answers there (its PeerId is different)'
  if (/dial self/i.test(message)) return 'that is this peer itself'
  if (name === 'EncryptionFailedError' || name === 'MuxerUnavailableError') return handshakeReason(message)
  return plainReasons[codeOf(error) ?? ''] ?? namedReasons[name] ?? sentenceOf(error)
}

function handshakeReason(message: string): string {
  if (/abort|timed? ?out/i.test(message)) return 'no answer in time'
  if (/decrypt|tag|cipher/i.test(message)) return otherNetworkReason
  return 'what answers there is no libp2p peer, or it hung up'
}

function flatten(error: unknown): unknown[] {
  const { errors, cause } = error as { errors?: unknown[]; cause?: unknown }
  if (Array.isArray(errors) && errors.length > 0) return errors.flatMap(flatten)
  // Errors of sockets come wrapped, and only the innermost has the code.
  if (codeOf(error) === undefined && cause !== undefined && codeOf(cause) !== undefined) return [cause]
  return [error]
}

/** The error of a failed listen: PORT_IN_USE or LISTEN_FAILED, naming the address. */
export function listenFailure(error: unknown, listen: string[]): NetError {
  const { message } = error as Error
  const [, port] = /EADDRINUSE[^\n]*:(\d+)/.exec(message) ?? []
  if (port !== undefined)
    return new NetError(
      'PORT_IN_USE',
      `port ${port} is in use by another program; stop that one, or listen elsewhere (--listen /ip4/0.0.0.0/tcp/0 takes a free port)`,
      { retryable: true, cause: error },
    )
  const code = Object.keys(plainReasons).find((known) => message.includes(known))
  const last = sentenceOf(error).split('\n').at(-1)?.trim()
  // libp2p says nothing of addresses that no transport takes.
  const why = code ? plainReasons[code] : last || 'potluck listens on IP addresses and TCP ports alone'
  return new NetError('LISTEN_FAILED', `could not listen on ${listen.join(', ')}: ${why}`, { cause: error })
}
