// Answering other members, and this peer itself: each request is one small act on the replica. Only peers that have proven
// that they are members get anything, and only those that see the same ring get more than the claims to see it.

import { CodedError } from '../base/errors.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { AnswerCall, Membership } from '../core/ports.ts'
import type { Acceptor } from './acceptor.ts'
import { RecordsError } from './errors.ts'
import { type Answer, type Carried, decodeRequest, encodeAnswer, type KeyHash, type Request } from './messages.ts'
import type { Presence } from './presence.ts'
import { decodeWrite, sameBytes } from './record.ts'
import type { Replica, Stored } from './replica.ts'
import type { Rings } from './rings.ts'
import { hashOfRecord } from './tree.ts'

export interface ServeDeps {
  membership: Membership
  rings: Rings
  replica: Replica
  acceptor: Acceptor
  presence: Presence
  /** True when this peer holds nothing that others own. */
  isDrained: () => boolean
  /** Called when a write was issued here for the first time. */
  onIssued: (key: string, stored: Stored) => void
}

/** Answers requests of others; never throws. */
export function answerCalls(deps: ServeDeps): AnswerCall {
  return async (bytes, from) => {
    try {
      return encodeAnswer(await answerCall(deps, bytes, from))
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      return encodeAnswer({ type: 'refused', code: error.code, sentence: error.message })
    }
  }
}

async function answerCall(deps: ServeDeps, bytes: Uint8Array, from: PeerId): Promise<Answer> {
  const { membership, rings } = deps
  if (!membership.proven(from))
    throw new RecordsError('NOT_MEMBER', 'this peer has not seen a proof that you are a member; join the cluster first')
  const { epoch, claims, request } = decodeRequest(bytes)
  if (epoch !== rings.epoch && ringMatters(request)) {
    if (claims.length > 0) membership.learn([...claims])
    await rings.update()
    if (epoch !== rings.epoch) return { type: 'epoch', claims: membership.claims() }
  }
  return await act(deps, request, from)
}

function ringMatters({ type }: Request): boolean {
  return type !== 'list' && type !== 'past'
}

/** Does what a request asks. Throws RECORD_INVALID, TOO_MANY_SIBLINGS and what the table throws. */
export async function act(deps: ServeDeps, request: Request, from: PeerId): Promise<Answer> {
  const { replica, rings, acceptor } = deps
  switch (request.type) {
    case 'get': {
      if (request.strict) requireFilled(deps.presence)
      const isOwner = rings.isOwner(partitionOf(request.key))
      // What others own alone may have been removed while this peer was away.
      const isHidden = !isOwner && deps.presence.wasAway
      return { type: 'record', set: isHidden ? null : (replica.bytesOf(request.key) ?? null), isOwner }
    }
    case 'issue':
      return await issueHere(deps, request)
    case 'put':
      return await putHere(deps, request)
    case 'prepare':
      requireFilled(deps.presence)
      return await acceptor.prepare(request.key, request.ballot)
    case 'accept':
      return await acceptor.accept(request.key, request.ballot, request.write)
    case 'list':
      return listHere(replica, request)
    case 'past':
      return { type: 'past', writes: replica.past(request.key).map(({ bytes }) => bytes) }
    case 'hashes': {
      const hashes = request.ranges.map((range) => replica.tree.hashOver(rings.sharedWithin(from, range)))
      return { type: 'hashes', hashes }
    }
    case 'keys':
      return keysHere(replica, request)
    case 'fetch':
      return carry(request.keys, (key) => replica.ownedBytesOf(key))
    case 'drop':
      return await dropHere(replica, request.keys)
    case 'settled':
      return { type: 'done', isDone: deps.isDrained() }
  }
}

// A store that was wiped has forgotten what it acknowledged: until it has met all who may know, it cannot vouch for anything.
function requireFilled({ isFilling }: Presence): void {
  if (!isFilling) return
  throw new RecordsError('QUORUM_UNAVAILABLE', 'this store is new and has not met all other members yet', {
    retryable: true,
  })
}

// Whoever was asked to stand in while it still stayed may begin to leave before its turn comes.
function requireStay({ rings }: ServeDeps): void {
  if (rings.stays) return
  throw new RecordsError('RING_CHANGED', 'this peer leaves the cluster and keeps nothing more for others', {
    retryable: true,
  })
}

/** Issues a write as this peer; `onDecided` hears what is on its way to the disk. Throws like `act`. */
export async function issueHere(
  deps: ServeDeps,
  { write: bytes, missing }: Request & { type: 'issue' },
  onDecided?: (set: Uint8Array) => void,
): Promise<Answer> {
  const write = decodeWrite(bytes)
  const isOwner = deps.rings.isOwner(partitionOf(write.key))
  if (!isOwner && missing.length === 0)
    throw new RecordsError('RECORD_INVALID', `this peer does not own '${write.key}'`)
  if (!isOwner) requireStay(deps)
  const stored = await deps.replica.issue(write, missing, onDecided)
  deps.onIssued(write.key, stored)
  return { type: 'record', set: stored.bytes, isOwner }
}

// Who owned a partition before and still has it keeps nothing new: that it was asked tells it that the ring has changed, and
// the present owners keep what is new.
async function putHere(
  deps: ServeDeps,
  { records, missing, tells, known }: Request & { type: 'put' },
): Promise<Answer> {
  const { replica, rings } = deps
  let isOwner = true
  const keep = async ([key, set]: Carried): Promise<Uint8Array | null> => {
    const isOwned = rings.isOwner(partitionOf(key))
    isOwner &&= isOwned
    if (!isOwned && missing.length === 0) return null
    if (!isOwned) requireStay(deps)
    if (known && !replica.bytesOf(key)) return null
    const { bytes } = await replica.merge(key, set, missing)
    return tells && !sameBytes(bytes, set) ? bytes : null
  }
  return { type: 'kept', news: await Promise.all(records.map(keep)), isOwner }
}

async function dropHere(replica: Replica, keys: readonly KeyHash[]): Promise<Answer> {
  const dropped = await Promise.all(
    keys.map(([key, hash]) => replica.drop(key, (bytes) => sameBytes(hashOfRecord(key, bytes), hash))),
  )
  return { type: 'done', isDone: dropped.every(Boolean) }
}

function listHere(replica: Replica, { prefix, after, limit }: Request & { type: 'list' }): Answer {
  return carry(replica.keys(prefix, after === '' ? undefined : after), (key) => replica.bytesOf(key), limit)
}

/** As many records as one message carries; at least one, whatever its size. */
function carry(
  keys: Iterable<string>,
  bytesOf: (key: string) => Uint8Array | undefined,
  most: number = limits.recordsCarried,
): Answer {
  const records: Carried[] = []
  let sizeBytes = 0
  for (const key of keys) {
    const bytes = bytesOf(key)
    if (!bytes) continue
    sizeBytes += bytes.byteLength + key.length
    if (
      records.length > 0 &&
      (records.length >= Math.min(most, limits.recordsCarried) || sizeBytes > limits.recordsCarriedBytes)
    )
      return { type: 'records', records, more: true }
    records.push([key, bytes])
  }
  return { type: 'records', records, more: false }
}

function keysHere(replica: Replica, { partition, after }: Request & { type: 'keys' }): Answer {
  const keys: KeyHash[] = []
  for (const hash of replica.hashesIn(partition, after)) {
    if (keys.length === limits.recordHashesCarried) return { type: 'keys', keys, more: true }
    keys.push(hash)
  }
  return { type: 'keys', keys, more: false }
}
