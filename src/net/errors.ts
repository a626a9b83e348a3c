// What can go wrong between this peer and others. Everything that libp2p throws is translated here or where it is caught,
// so that no caller ever sees one of its errors.
import { CodedError } from '../base/errors.ts'

export type NetErrorCode =
  | 'ADDRESS_INVALID'
  | 'CIRCUIT_FAILED'
  | 'DIAL_FAILED'
  | 'GOSSIP_TOO_LARGE'
  | 'IDENTITY_INVALID'
  | 'INVITE_INVALID'
  | 'LISTEN_FAILED'
  | 'NO_DHT_SERVERS'
  | 'NOT_A_MEMBER'
  | 'OTHER_NETWORK'
  | 'PORT_IN_USE'
  | 'PROTOCOL_UNSUPPORTED'
  | 'ROTATION_REFUSED'
  | 'SECRET_INVALID'
  | 'STREAM_BROKEN'
  | 'VALUE_REFUSED'

export class NetError extends CodedError<NetErrorCode> {}
