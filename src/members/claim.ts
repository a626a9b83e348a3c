// What members sign and pass on: claims, which a member makes of itself, and notices that one was forgotten, which any
// member makes of another and which are final. Both are entries: a body in canonical DAG-CBOR and the author's signature
// over it, under a prefix of their own so that no other signature of a peer can be taken for one.
//
// That an entry is genuine says who made it, not that he is a member: entries are taken from proven members only.
import { encode } from '@ipld/dag-cbor'
import { sha256 } from '../core/block.ts'
import { Fields } from '../core/fields.ts'
import { limits } from '../core/limits.ts'
import type { Claim, MemberState } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Signer } from '../core/ports.ts'
import { MembersError } from './errors.ts'

interface Signed {
  /** Whom it is about. */
  peer: PeerId
  /** Who signed it. */
  author: PeerId
  /** As it travels and is kept. */
  bytes: Uint8Array
  /** 16 hex digits of the hash of the bytes: what is compared to see whether two members know the same. */
  id: string
}

export interface ClaimEntry extends Signed {
  kind: 'claim'
  claim: Claim
}

export interface NoticeEntry extends Signed {
  kind: 'forgotten'
}

export type Entry = ClaimEntry | NoticeEntry

const domain = new TextEncoder().encode('potluck member entry 1\n')
const states: readonly MemberState[] = ['joined', 'leaving', 'left']
const signatureBytes = 64

/** Signs a claim of this peer. */
export function signClaim(signer: Signer, claim: Claim): ClaimEntry {
  const { peer, incarnation, state, zone, capacity, addresses } = claim
  const bytes = seal(signer, ['claim', peer, incarnation, state, zone, capacity, addresses])
  return { kind: 'claim', peer, author: peer, claim, bytes, id: idOf(bytes) }
}

/** Signs that a peer is forgotten. */
export function signNotice(signer: Signer, peer: PeerId): NoticeEntry {
  const bytes = seal(signer, ['forgotten', peer, signer.self])
  return { kind: 'forgotten', peer, author: signer.self, bytes, id: idOf(bytes) }
}

/** Reads an entry, every field checked but not yet the signature. Throws CLAIM_INVALID. */
export function decodeEntry(encoded: Uint8Array): Entry {
  const body = bodyOf(encoded)
  // A view would keep the message alive that it came in.
  const bytes = new Uint8Array(encoded)
  const [kind, ...rest] = fields.decode(body, limits.claimBytesMax)
  const peer = fields.peer(rest[0])
  const id = idOf(bytes)
  if (kind === 'forgotten') {
    if (rest.length !== 2) throw refuse('a bad form')
    return { kind, peer, author: fields.peer(rest[1]), bytes, id }
  }
  if (kind !== 'claim' || rest.length !== 6) throw refuse('a bad form')
  const claim: Claim = {
    peer,
    incarnation: fields.count(rest[1], 'incarnation'),
    state: fields.word(rest[2], states, 'state'),
    zone: fields.text(rest[3], limits.zoneBytesMax, 'zone'),
    capacity: fields.count(rest[4], 'capacity'),
    addresses: fields
      .list(rest[5], limits.claimAddressesMax, 'list of addresses')
      .map((address) => fields.text(address, limits.addressCharactersMax, 'address')),
  }
  if (!isZone(claim.zone)) throw refuse('a bad zone')
  return { kind, peer, author: peer, claim, bytes, id }
}

/** True if the author of a decoded entry signed exactly this. */
export function isGenuine(signer: Signer, { author, bytes }: Entry): boolean {
  const [body, signature] = fields.decode(bytes, limits.claimBytesMax) as [Uint8Array, Uint8Array]
  return signer.verify(author, Buffer.concat([domain, body]), signature)
}

/** A zone is one to 64 bytes of printable text without spaces at its ends. */
export function isZone(zone: string): boolean {
  const bytes = Buffer.byteLength(zone)
  return bytes > 0 && bytes <= limits.zoneBytesMax && zone === zone.trim() && /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(zone)
}

function seal(signer: Signer, body: unknown[]): Uint8Array {
  const encoded = encode(body)
  // Copied, since what encoders give may be a piece of a pool of theirs.
  return new Uint8Array(encode([encoded, signer.sign(Buffer.concat([domain, encoded]))]))
}

// One entry has one encoding, or a stranger could make others of it that all look genuine. The decoder takes the shortest
// forms only, but for one: it reads a whole number that was written as a fraction.
function bodyOf(bytes: Uint8Array): Uint8Array {
  const parts = fields.decode(bytes, limits.claimBytesMax)
  const body = fields.bytes(parts[0], limits.claimBytesMax, 'body')
  fields.bytes(parts[1], signatureBytes, 'signature')
  const again = encode(fields.decode(body, limits.claimBytesMax))
  if (parts.length !== 2 || Buffer.compare(again, body) !== 0) throw refuse('a bad form')
  return body
}

/** What two entries have in common only if they are the same, byte for byte. */
export function idOf(bytes: Uint8Array): string {
  return Buffer.from(sha256(bytes).subarray(0, 8)).toString('hex')
}

function refuse(what: string): MembersError {
  return new MembersError('CLAIM_INVALID', `somebody's claim to be a member has ${what}; it was dropped`)
}

const fields = new Fields(refuse)
