// What members say to each other, as bytes: requests and answers of the protocol, and what goes to everybody by gossip.
// Canonical DAG-CBOR lists that begin with a word; whatever comes in is checked field by field, and what does not fit
// throws MESSAGE_INVALID and changes nothing. Entries inside are checked by whoever takes them.
import { encode } from '@ipld/dag-cbor'
import { Fields } from '../core/fields.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { MembersError } from './errors.ts'
import type { Opinion, Rumour } from './rumours.ts'

export const protocol = '/potluck/members/1'
export const topic = 'potluck/members/1'

export type Request =
  /** That we are a member. Answered with the same, and what the other knows. */
  | { kind: 'hello'; proof: Uint8Array }
  /** Answered with rumours. */
  | { kind: 'ping'; rumours: Rumour[] }
  /** Please ping this member. Answered with whether it answered. */
  | { kind: 'ask'; peer: PeerId; withinMs: number }
  /** Answered with the ids of all entries, or with none if the digests are equal. */
  | { kind: 'compare'; digest: Uint8Array }
  /** Entries that the other lacks, and ids of those that we lack. Answered with entries. */
  | { kind: 'exchange'; entries: Uint8Array[]; wanted: string[] }

export interface Hello {
  proof: Uint8Array
  /** Of the book of whoever answers. */
  digest: Uint8Array
  /** The notice that the caller was forgotten, if so. */
  notice: Uint8Array | undefined
}

const idBytes = 8
const digestBytes = 32
const proofBytesMax = 64
const entriesMax = limits.membersMax + limits.forgottenMax

export function encodeRequest(request: Request): Uint8Array {
  const { kind } = request
  if (kind === 'hello') return encode([kind, request.proof])
  if (kind === 'ping') return encode([kind, request.rumours])
  if (kind === 'ask') return encode([kind, request.peer, request.withinMs])
  if (kind === 'compare') return encode([kind, request.digest])
  return encode([kind, request.entries, packIds(request.wanted)])
}

export function decodeRequest(bytes: Uint8Array): Request {
  const [kind, first, second] = fields.decode(bytes, limits.callBytesMax)
  if (kind === 'hello') return { kind, proof: fields.bytes(first, proofBytesMax, 'proof') }
  if (kind === 'ping') return { kind, rumours: rumoursOf(first) }
  if (kind === 'ask') return { kind, peer: fields.peer(first), withinMs: fields.count(second, 'time') }
  if (kind === 'compare') return { kind, digest: digestOf(first) }
  if (kind === 'exchange') return { kind, entries: entriesOf(first), wanted: unpackIds(second) }
  throw refuse('an unknown request')
}

export function encodeHello({ proof, digest, notice }: Hello): Uint8Array {
  return encode([proof, digest, notice ?? null])
}

export function decodeHello(bytes: Uint8Array): Hello {
  const [proof, digest, notice] = fields.decode(bytes, limits.callBytesMax)
  return {
    proof: fields.bytes(proof, proofBytesMax, 'proof'),
    digest: digestOf(digest),
    notice: notice === null ? undefined : fields.bytes(notice, limits.claimBytesMax, 'notice'),
  }
}

/** Rumours, as a probe's answer or a broadcast. */
export function encodeRumours(rumours: Rumour[]): Uint8Array {
  return encode(rumours)
}

export function decodeRumours(bytes: Uint8Array): Rumour[] {
  return rumoursOf(fields.decode(bytes, limits.callBytesMax))
}

export function encodeReached(reached: boolean): Uint8Array {
  return encode([reached])
}

export function decodeReached(bytes: Uint8Array): boolean {
  return fields.decode(bytes, limits.callBytesMax)[0] === true
}

export function encodeIds(ids: string[]): Uint8Array {
  return encode([packIds(ids)])
}

export function decodeIds(bytes: Uint8Array): string[] {
  return unpackIds(fields.decode(bytes, limits.callBytesMax)[0])
}

export function encodeEntries(entries: Uint8Array[]): Uint8Array {
  return encode([entries])
}

export function decodeEntries(bytes: Uint8Array): Uint8Array[] {
  return entriesOf(fields.decode(bytes, limits.callBytesMax)[0])
}

/** What a rumour says of somebody; undefined for an entry. */
export function opinionOf(rumour: Rumour): Opinion | undefined {
  if (rumour instanceof Uint8Array) return undefined
  const [peer, incarnation, liveness, from] = rumour
  return { peer, incarnation, liveness, from }
}

function rumoursOf(value: unknown): Rumour[] {
  return fields.list(value, limits.rumoursMax, 'list of rumours').map((one): Rumour => {
    if (one instanceof Uint8Array) return fields.bytes(one, limits.claimBytesMax, 'entry')
    const [peer, incarnation, liveness, from] = fields.list(one, 4, 'rumour')
    const said = fields.word(liveness, ['suspect', 'dead'] as const, 'rumour')
    return [fields.peer(peer), fields.count(incarnation, 'incarnation'), said, fields.peer(from)]
  })
}

function entriesOf(value: unknown): Uint8Array[] {
  const entries = fields.list(value, entriesMax, 'list of entries')
  return entries.map((entry) => fields.bytes(entry, limits.claimBytesMax, 'entry'))
}

function digestOf(value: unknown): Uint8Array {
  return fields.bytes(value, digestBytes, 'digest')
}

function packIds(ids: string[]): Uint8Array {
  return new Uint8Array(Buffer.from(ids.join(''), 'hex'))
}

function unpackIds(value: unknown): string[] {
  const hex = Buffer.from(fields.bytes(value, entriesMax * idBytes, 'list of ids')).toString('hex')
  const digits = 2 * idBytes
  return Array.from({ length: Math.ceil(hex.length / digits) }, (_, at) => hex.slice(at * digits, (at + 1) * digits))
}

function refuse(what: string): MembersError {
  return new MembersError('MESSAGE_INVALID', `a peer sent ${what}; its potluck may be of another version`)
}

const fields = new Fields(refuse)
