// Who may connect. A cluster has a 32-byte random secret; keys are derived from it that tell nothing about it or each other. The network key is the prologue of Noise's handshake, under a protocol name with a short key id: a stranger cannot
// finish the handshake, and one of another cluster is told at once that he is. The member key proves to a connected peer
// that this one belongs to the cluster. It is admission, not encryption: an active dialer learns our PeerId, nothing more.
//
// An invite line is all that another machine needs: `potluck1-`, then base64url of dag-cbor and a checksum, so that a line
// that lost or changed a letter on its way is refused instead of joining nothing.
import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import * as dagCbor from '@ipld/dag-cbor'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { NetError } from './errors.ts'

const secretBytes = 32

export interface ClusterKeys {
  networkKey: Uint8Array
  /** A hub has none. */
  memberKey: Uint8Array | undefined
  /** Seals broadcasts, which pass through peers that are no members. A hub has none. */
  gossipKey: Uint8Array | undefined
  /** Eight hex digits that tell clusters apart. They are of a hash of a derived key, so they do not help guessing. */
  keyId: string
}

/** A new cluster secret. */
export function newSecret(random: Random): Uint8Array {
  return random.bytes(secretBytes)
}

/** The keys of a cluster: HKDF-SHA256 (RFC 5869) with one info string each. Throws SECRET_INVALID. */
export function deriveKeys(secret: Uint8Array): ClusterKeys & { memberKey: Uint8Array; gossipKey: Uint8Array } {
  if (secret.byteLength !== secretBytes)
    throw new NetError(
      'SECRET_INVALID',
      `the cluster secret must have ${secretBytes} bytes and has ${secret.byteLength}; restore 'cluster.key', or join again with an invite line`,
    )
  const derive = (info: string) => new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), info, 32))
  return {
    ...hubKeys(derive('potluck network key 1')),
    memberKey: derive('potluck member key 1'),
    gossipKey: derive('potluck gossip key 1'),
  }
}

/** The keys of a hub, which has the network key alone. */
export function hubKeys(networkKey: Uint8Array): ClusterKeys {
  const keyId = createHash('sha256').update('potluck key id 1').update(networkKey).digest('hex').slice(0, 8)
  return { networkKey, memberKey: undefined, gossipKey: undefined, keyId }
}

/**
 * What a light client shows to a hub's index over HTTP. Whoever may connect to the network can derive it, a hub's line included;
 * it lets nobody connect, and says nothing about the keys.
 */
export function hubToken(networkKey: Uint8Array): string {
  return Buffer.from(hkdfSync('sha256', networkKey, new Uint8Array(0), 'potluck hub token 1', 32)).toString('base64url')
}

/** The security protocol under which peers of one private network find each other. */
export function securityProtocol(keyId: string): string {
  return `/noise/potluck-${keyId}`
}

/** What a member shows of itself: HMAC-SHA256(member key, "potluck member" and its PeerId), 32 bytes. */
export function memberProof(memberKey: Uint8Array, peer: PeerId): Uint8Array {
  return new Uint8Array(createHmac('sha256', memberKey).update('potluck member').update(peer).digest())
}

/** True if the proof was made by someone who has the member key, for this PeerId. Takes the same time for any wrong proof. */
export function provesMember(memberKey: Uint8Array, peer: PeerId, proof: Uint8Array): boolean {
  const expected = memberProof(memberKey, peer)
  return proof.byteLength === expected.byteLength && timingSafeEqual(proof, expected)
}

export interface Invite {
  /** The cluster's secret, or for a hub its network key; 32 bytes either way. */
  key: { kind: 'member' | 'hub'; bytes: Uint8Array }
  /** How often the secret had been replaced. */
  generation: number
  /** Multiaddrs, with `/p2p/` tail, of peers to meet the others through. */
  addresses: string[]
}

const checksumBytes = 4

const loopback = /^\/ip4\/127\.|^\/ip6\/::1\//

/** The line for `potluck join`. Loopback addresses are in it only if there are no others: they mean another peer there. */
export function encodeInvite({ key, generation, addresses }: Invite): string {
  const reachable = addresses.filter((address) => !loopback.test(address))
  const shown = (reachable.length > 0 ? reachable : addresses).slice(0, limits.inviteAddressesMax)
  const field = key.kind === 'hub' ? { networkKey: key.bytes } : { secret: key.bytes }
  const body = dagCbor.encode({ addresses: shown, ...field, ...(generation > 0 ? { generation } : {}) })
  return `${prefixes[key.kind]}1-${Buffer.concat([body, checksumOf(body)]).toString('base64url')}`
}

const prefixes = { member: 'potluck', hub: 'potluckhub' }

/** Reads a line. Throws INVITE_INVALID with what is wrong with it. */
export function decodeInvite(line: string): Invite {
  const [, prefix, version, text] = /^(potluck|potluckhub)(\d+)-(.*)$/.exec(line.trim()) ?? []
  if (version === undefined || text === undefined)
    throw invalid("this is not an invite line: one starts with 'potluck1-'; 'potluck invite' prints it")
  if (version !== '1') throw invalid(`this invite line is of version ${version}: update potluck on this machine`)
  if (line.length > limits.inviteCharactersMax) throw invalid('this invite line is too long to be one')
  const bytes = Buffer.from(text, 'base64url')
  const body = new Uint8Array(bytes.subarray(0, -checksumBytes))
  // Node's decoder skips what is not base64url, and ignores spare bits: the way back shows both.
  const whole = bytes.toString('base64url') === text && bytes.byteLength > checksumBytes
  if (!whole || Buffer.compare(bytes.subarray(-checksumBytes), checksumOf(body)) !== 0)
    throw invalid('this invite line is damaged or not complete: copy it again, as one line')
  const kind = prefix === prefixes.hub ? 'hub' : 'member'
  const { secret, networkKey, addresses, generation = 0 } = dagCbor.decode<Record<string, unknown>>(body)
  const key = kind === 'hub' ? networkKey : secret
  const listed = Array.isArray(addresses) && addresses.every((address) => typeof address === 'string')
  const counted = Number.isSafeInteger(generation) && (generation as number) >= 0
  if (!(key instanceof Uint8Array) || key.byteLength !== secretBytes || !listed || !counted)
    throw invalid('this invite line was made by another program: it has no secret and addresses')
  return { key: { kind, bytes: key }, generation: generation as number, addresses }
}

function checksumOf(body: Uint8Array): Buffer {
  return createHash('sha256').update('potluck invite').update(body).digest().subarray(0, checksumBytes)
}

function invalid(sentence: string): NetError {
  return new NetError('INVITE_INVALID', sentence)
}
