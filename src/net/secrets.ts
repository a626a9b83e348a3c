// The secrets of a cluster as one peer holds them: the current one, and those before it that may still connect for a while.
// A rotation replaces the current secret; the one before connects only peers that were members when the rotation began, and
// only until its time is over. A hub holds the network key alone: it can finish handshakes and relay, and prove nothing.
//
// All of it is a value: functions take one and give the next. The bytes that are kept are the bare 32-byte secret as long as
// there is no more to say, as older homes have it, else a tag and dag-cbor.
import * as dagCbor from '@ipld/dag-cbor'
import { sha256 } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { type ClusterKeys, deriveKeys, encodeInvite, hubKeys } from './admission.ts'
import { NetError } from './errors.ts'

const secretBytes = 32

/** What opens a cluster: its secret, or for a hub the network key that is derived from it; 32 bytes either way. */
export interface ClusterKey {
  kind: 'member' | 'hub'
  bytes: Uint8Array
}

export interface PreviousSecret {
  secret: Uint8Array
  /** Wall time, milliseconds since 1970, after which it connects nobody. */
  untilMs: number
  /** The only peers that it connects: members when it was replaced. */
  members: readonly PeerId[]
  /** Whether it also connects peers whose address the user has set, such as a hub that waits for its new line. */
  bootstrap: boolean
}

export interface Secrets {
  readonly current: ClusterKey
  /** How often the cluster's secret has been replaced. */
  readonly generation: number
  /** The signed rotation that brought the current secret, to hand on; undefined if an invite line brought it. */
  readonly rotation: Uint8Array | undefined
  /** The latest first. */
  readonly previous: readonly PreviousSecret[]
}

/** A new secret for the members of a cluster, as its rotator says it. */
export interface Rotation {
  by: PeerId
  generation: number
  secret: Uint8Array
  /** Those who get it, the rotator included. */
  members: readonly PeerId[]
  /** Members that are shut out: if there are any, the old secret goes as soon as the new one has been handed out. */
  excluded: readonly PeerId[]
  /** Wall time of the rotator. */
  startedMs: number
}

/** Secrets of a peer that has only this key. */
export function secretsOf(current: ClusterKey, generation = 0): Secrets {
  return { current, generation, rotation: undefined, previous: [] }
}

/** The keys of a secret or of a hub's line. */
export function keysOf({ kind, bytes }: ClusterKey): ClusterKeys {
  return kind === 'member' ? deriveKeys(bytes) : hubKeys(bytes)
}

/** An invite line for a member, or for a hub. Throws NOT_A_MEMBER: a hub can only invite hubs. */
export function inviteLine(secrets: Secrets, { hub, addresses }: { hub: boolean; addresses: string[] }): string {
  const { current, generation } = secrets
  if (current.kind === 'hub' && !hub)
    throw new NetError('NOT_A_MEMBER', "a hub has no cluster secret to hand on; run 'potluck invite' on a member")
  const key = hub ? ({ kind: 'hub', bytes: keysOf(current).networkKey } as const) : current
  return encodeInvite({ key, generation, addresses })
}

/** The secrets after a rotation; `signed` is the rotation as it is handed on. */
export function rotated(secrets: Secrets, rotation: Rotation, signed: Uint8Array, nowMs: number): Secrets {
  const excludes = rotation.excluded.length > 0
  // A rotator with a fast clock must not keep an old secret alive for longer.
  const untilMs = Math.min(nowMs, rotation.startedMs) + (excludes ? times.rotationHandMs : times.rotationOverlapMs)
  const members = new Set(rotation.members)
  const narrowed = secrets.previous.map((previous) => ({
    ...previous,
    members: previous.members.filter((peer) => members.has(peer)),
    untilMs: excludes ? Math.min(previous.untilMs, untilMs) : previous.untilMs,
    bootstrap: previous.bootstrap && !excludes,
  }))
  const replaced = { secret: secrets.current.bytes, untilMs, members: rotation.members, bootstrap: !excludes }
  return {
    current: { kind: 'member', bytes: rotation.secret },
    generation: rotation.generation,
    rotation: signed,
    previous: [replaced, ...narrowed].filter(({ untilMs }) => untilMs > nowMs).slice(0, limits.secretsKeptMax),
  }
}

/** What decides which of two secrets a cluster ends with. */
export interface Rank {
  generation: number
  excludes: boolean
  /** SHA-256 of the secret. */
  hash: Uint8Array
}

export function rankOf({ generation, secret, excluded }: Pick<Rotation, 'generation' | 'secret' | 'excluded'>): Rank {
  return { generation, excludes: excluded.length > 0, hash: sha256(secret) }
}

/**
 * True if `rank` replaces `held`: the higher generation, of two rotations at once the one that shuts somebody out, then
 * the smaller hash. All peers that hear of the same rotations end with the same one.
 */
export function outranks(rank: Rank, held: Rank): boolean {
  if (rank.generation !== held.generation) return rank.generation > held.generation
  if (rank.excludes !== held.excludes) return rank.excludes
  return Buffer.compare(rank.hash, held.hash) < 0
}

const tag = new TextEncoder().encode('potluck cluster key 1\n')

/** The bytes of `cluster.key`. */
export function encodeSecrets(secrets: Secrets): Uint8Array {
  const { current, generation, rotation, previous } = secrets
  if (current.kind === 'member' && generation === 0 && previous.length === 0) return current.bytes
  const body = dagCbor.encode({ ...current, generation, rotation: rotation ?? null, previous })
  return new Uint8Array(Buffer.concat([tag, body]))
}

/** Reads `cluster.key`. Throws SECRET_INVALID. */
export function decodeSecrets(bytes: Uint8Array): Secrets {
  if (bytes.byteLength === secretBytes) return secretsOf({ kind: 'member', bytes })
  if (Buffer.compare(bytes.subarray(0, tag.byteLength), tag) !== 0) throw damaged()
  const body = decodeMap(bytes.subarray(tag.byteLength)) ?? {}
  const { kind, bytes: key, generation, rotation, previous } = body
  const sound =
    (kind === 'member' || kind === 'hub') &&
    isSecret(key) &&
    isCount(generation) &&
    (rotation === null || rotation instanceof Uint8Array) &&
    Array.isArray(previous) &&
    previous.length <= limits.secretsKeptMax &&
    previous.every(isPrevious)
  if (!sound) throw damaged()
  return { current: { kind, bytes: key }, generation, rotation: rotation ?? undefined, previous }
}

function isPrevious(value: unknown): value is PreviousSecret {
  const { secret, untilMs, members, bootstrap } = (value ?? {}) as Record<string, unknown>
  return isSecret(secret) && isCount(untilMs) && isPeerList(members) && typeof bootstrap === 'boolean'
}

/** A map of dag-cbor; undefined for anything else. */
export function decodeMap(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = dagCbor.decode(bytes)
    const isMap = typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
    return isMap ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

export function isSecret(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.byteLength === secretBytes
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function isPeerList(value: unknown): value is PeerId[] {
  return (
    Array.isArray(value) &&
    value.length <= limits.membersMax &&
    value.every((peer) => typeof peer === 'string' && peer.length <= limits.peerIdCharactersMax)
  )
}

function damaged(): NetError {
  return new NetError(
    'SECRET_INVALID',
    "the cluster's key is damaged: restore 'cluster.key' from a backup, or join again with an invite line",
  )
}
