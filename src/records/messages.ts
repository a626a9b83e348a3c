// What members ask each other about records, as DAG-CBOR. Every request carries the epoch of its sender's ring: who sees
// another ring answers with its claims instead. Whatever arrives is checked field by field before anything is done with it.
import { encode } from '@ipld/dag-cbor'
import { limits, partitionCount } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Accepted, Ballot } from './ballot.ts'
import { bytesField, countField, decoded, invalid, listField, partsField, textField } from './fields.ts'
import { checkedKey } from './record.ts'
import { hashBytes } from './tree.ts'

/** A record as it travels: the set of siblings is encoded. */
export type Carried = readonly [key: string, set: Uint8Array]

export type KeyHash = readonly [key: string, hash: Uint8Array]

/** From the first to before the second. */
export type PartitionRange = readonly [from: number, to: number]

export type Request =
  /** The record of a key; a strict one only from a store that lacks nothing. */
  | { readonly type: 'get'; readonly key: string; readonly strict: boolean }
  /** Give a signed write its dot and keep it; hints are for `missing`. */
  | { readonly type: 'issue'; readonly write: Uint8Array; readonly missing: readonly PeerId[] }
  /** Keep these; `tells`: answer with what is here afterwards, where that is more. */
  | {
      readonly type: 'put'
      readonly records: readonly Carried[]
      readonly missing: readonly PeerId[]
      readonly tells: boolean
      /** Only records that the other knows: the sender was away so long that the rest may have been removed. */
      readonly known: boolean
    }
  /** Promise to accept nothing for this key below the ballot. */
  | { readonly type: 'prepare'; readonly key: string; readonly ballot: Ballot }
  | { readonly type: 'accept'; readonly key: string; readonly ballot: Ballot; readonly write: Uint8Array }
  | { readonly type: 'list'; readonly prefix: string; readonly after: string; readonly limit: number }
  | { readonly type: 'past'; readonly key: string }
  /** A hash over each range of partitions, of which those count that both own. */
  | { readonly type: 'hashes'; readonly ranges: readonly PartitionRange[] }
  /** Hashes of the records in one partition after a key. */
  | { readonly type: 'keys'; readonly partition: number; readonly after: string }
  | { readonly type: 'fetch'; readonly keys: readonly string[] }
  /** Delete these removed records if they are here in this version. */
  | { readonly type: 'drop'; readonly keys: readonly KeyHash[] }
  /** Whether all that others own has been handed over. */
  | { readonly type: 'settled' }

export type Answer =
  | { readonly type: 'epoch'; readonly claims: readonly Uint8Array[] }
  | { readonly type: 'refused'; readonly code: string; readonly sentence: string }
  | { readonly type: 'record'; readonly set: Uint8Array | null; readonly isOwner: boolean }
  /** `news`: what is here afterwards, null where it is what was sent or nothing was asked. */
  | { readonly type: 'kept'; readonly news: readonly (Uint8Array | null)[]; readonly isOwner: boolean }
  | { readonly type: 'promised'; readonly set: Uint8Array | null; readonly accepted: Accepted | null }
  | { readonly type: 'outbid'; readonly ballot: Ballot }
  | { readonly type: 'records'; readonly records: readonly Carried[]; readonly more: boolean }
  | { readonly type: 'past'; readonly writes: readonly Uint8Array[] }
  | { readonly type: 'hashes'; readonly hashes: readonly Uint8Array[] }
  | { readonly type: 'keys'; readonly keys: readonly KeyHash[]; readonly more: boolean }
  | { readonly type: 'done'; readonly isDone: boolean }

/** A request on its way: who sends it sees the ring so, and knows these claims. */
export interface Envelope {
  readonly epoch: string
  readonly claims: readonly Uint8Array[]
  readonly request: Request
}

export function encodeRequest({ epoch, claims, request }: Envelope): Uint8Array {
  return encode([epoch, claims, request])
}

export function encodeAnswer(answer: Answer): Uint8Array {
  return encode(answer)
}

/** Throws RECORD_INVALID. */
export function decodeRequest(bytes: Uint8Array): Envelope {
  const [epoch, claims, request] = listField(decoded(bytes, 'request'), 3, 'request')
  return { epoch: textField(epoch, 128, 'epoch'), claims: claimsOf(claims), request: requestOf(request) }
}

/** Throws RECORD_INVALID. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const parts = partsField(decoded(bytes, 'answer'), 'answer')
  switch (parts.type) {
    case 'epoch':
      return { type: 'epoch', claims: claimsOf(parts.claims) }
    case 'refused':
      return {
        type: 'refused',
        code: textField(parts.code, 64, 'code'),
        sentence: textField(parts.sentence, 4_096, 'sentence'),
      }
    case 'record':
      return { type: 'record', set: setOrNull(parts.set), isOwner: parts.isOwner === true }
    case 'kept':
      return { type: 'kept', news: newsOf(parts.news), isOwner: parts.isOwner === true }
    case 'promised':
      return { type: 'promised', set: setOrNull(parts.set), accepted: acceptedOf(parts.accepted) }
    case 'outbid':
      return { type: 'outbid', ballot: ballotOf(parts.ballot) }
    case 'records':
      return { type: 'records', records: carriedOf(parts.records), more: parts.more === true }
    case 'past': {
      const writes = listField(parts.writes, limits.recordPastMax, 'history')
      return { type: 'past', writes: writes.map((write) => bytesField(write, limits.recordPastBytesMax, 'write')) }
    }
    case 'hashes': {
      const hashes = listField(parts.hashes, limits.recordRangesMax, 'list of hashes')
      return { type: 'hashes', hashes: hashes.map((hash) => bytesField(hash, hashBytes, 'hash')) }
    }
    case 'keys':
      return { type: 'keys', keys: keyHashesOf(parts.keys), more: parts.more === true }
    case 'done':
      return { type: 'done', isDone: parts.isDone === true }
    default:
      throw invalid('an answer of an unknown kind')
  }
}

function requestOf(value: unknown): Request {
  const parts = partsField(value, 'request')
  const { type } = parts
  switch (type) {
    case 'get':
      return { type, key: checkedKey(parts.key), strict: parts.strict === true }
    case 'past':
      return { type, key: checkedKey(parts.key) }
    case 'issue':
      return { type, write: writeOf(parts.write), missing: peersOf(parts.missing) }
    case 'put': {
      const [tells, known] = [parts.tells === true, parts.known === true]
      return { type, records: carriedOf(parts.records), missing: peersOf(parts.missing), tells, known }
    }
    case 'prepare':
      return { type, key: checkedKey(parts.key), ballot: ballotOf(parts.ballot) }
    case 'accept':
      return { type, key: checkedKey(parts.key), ballot: ballotOf(parts.ballot), write: writeOf(parts.write) }
    case 'list': {
      const [prefix, after] = [parts.prefix, parts.after].map((text) =>
        textField(text, limits.recordKeyBytesMax, 'key'),
      )
      return { type, prefix: prefix!, after: after!, limit: countField(parts.limit, 'limit', limits.recordsListed) }
    }
    case 'hashes': {
      return { type, ranges: listField(parts.ranges, limits.recordRangesMax, 'list of partitions').map(rangeOf) }
    }
    case 'keys': {
      const after = textField(parts.after, limits.recordKeyBytesMax, 'key')
      return { type, partition: countField(parts.partition, 'partition', partitionCount - 1), after }
    }
    case 'fetch':
      return { type, keys: listField(parts.keys, limits.recordsCarried, 'list of keys').map(checkedKey) }
    case 'drop':
      return { type, keys: keyHashesOf(parts.keys) }
    case 'settled':
      return { type }
    default:
      throw invalid('a request of an unknown kind')
  }
}

function rangeOf(value: unknown): PartitionRange {
  const [from, to] = listField(value, 2, 'range of partitions')
  return [countField(from, 'partition', partitionCount), countField(to, 'partition', partitionCount)]
}

function claimsOf(value: unknown): Uint8Array[] {
  return listField(value, limits.membersMax, 'list of claims').map((claim) =>
    bytesField(claim, limits.callBytesMax, 'claim'),
  )
}

function writeOf(value: unknown): Uint8Array {
  return bytesField(value, limits.recordBodyBytesMax, 'write')
}

function setOf(value: unknown): Uint8Array {
  return bytesField(value, limits.callBytesMax, 'record')
}

function setOrNull(value: unknown): Uint8Array | null {
  return value === null ? null : setOf(value)
}

function newsOf(value: unknown): (Uint8Array | null)[] {
  return listField(value, limits.recordsCarried, 'answer').map(setOrNull)
}

function carriedOf(value: unknown): Carried[] {
  return listField(value, limits.recordsCarried, 'list of records').map((item) => {
    const [key, set] = listField(item, 2, 'record')
    return [checkedKey(key), setOf(set)]
  })
}

function keyHashesOf(value: unknown): KeyHash[] {
  return listField(value, limits.recordHashesCarried, 'list of keys').map((item) => {
    const [key, hash] = listField(item, 2, 'key and hash')
    return [checkedKey(key), bytesField(hash, hashBytes, 'hash')]
  })
}

function peersOf(value: unknown): PeerId[] {
  return listField(value, limits.membersMax, 'list of peers').map((peer) => textField(peer, 128, 'PeerId') as PeerId)
}

export function ballotOf(value: unknown): Ballot {
  const [round, proposer] = listField(value, 2, 'ballot')
  return [countField(round, 'ballot'), textField(proposer, 128, 'PeerId')]
}

export function acceptedOf(value: unknown): Accepted | null {
  if (value === null) return null
  const [ballot, write] = listField(value, 2, 'accepted write')
  return [ballotOf(ballot), write === null ? null : writeOf(write)]
}
