// What drivers, holders and those that ask say to each other, as bytes: canonical DAG-CBOR lists that begin with a word. Many
// pins go in one message. Whatever comes in is checked field by field; what does not fit throws PIN_INVALID and changes
// nothing.
import { encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { Fields } from '../core/fields.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { ReplicasError } from './errors.ts'
import type { PlaceState } from './words.ts'

/** How far a member is with one pin, as it says itself. */
export interface Progress {
  state: 'held' | 'fetching' | 'full' | 'failing'
  doneBytes: number
  why?: string | undefined
}

/** A wish of the driver that a member hold a pin. */
export interface Holding {
  key: string
  /** The pin, encoded. */
  pin: Uint8Array
  /** Members that hold it: the fewer, the more it is endangered. */
  others: number
  /** Where to get it. */
  from: PeerId[]
  /** Something is missing there: look through all of it. */
  again: boolean
}

export interface ToldPlace {
  peer: PeerId
  state: PlaceState
  doneBytes: number
  why?: string | undefined
}

/** What a driver knows of a pin. */
export interface Told {
  pin: Uint8Array
  /** As many members as shall have confirmed it, and the record names them. */
  enough: boolean
  places: ToldPlace[]
  bytesPerSecond: number
  why?: string | undefined
}

export type Request =
  /** Answered with progress. */
  | { kind: 'hold'; holdings: Holding[] }
  /** These are held by enough others, or ended. Answered with nothing: whoever is told makes sure and drops them. */
  | { kind: 'release'; keys: string[] }
  /** How far the sender is now. Answered with nothing. */
  | { kind: 'report'; progress: [key: string, progress: Progress][] }
  /** Answered with what the other knows of each as its driver. */
  | { kind: 'tell'; keys: string[] }
  /** Answered with SHA-256 of nonce and bytes of each block. */
  | { kind: 'audit'; blocks: CID[]; nonce: Uint8Array }
  /** Answered with the bytes that the other holds and has promised to hold. */
  | { kind: 'used' }

export type Answer = { nowMs: number; usedBytes: number } & (
  | { kind: 'progress'; progress: Progress[] }
  | { kind: 'told'; told: (Told | undefined)[] }
  | { kind: 'hashes'; hashes: (Uint8Array | undefined)[] }
  | { kind: 'noted' }
)

const places = ['held', 'fetching', 'asked', 'full', 'away', 'failing'] as const
const progresses = ['held', 'fetching', 'full', 'failing'] as const
const nonceBytesMax = 64
const whyCharactersMax = 512

export function encodeRequest(request: Request): Uint8Array {
  switch (request.kind) {
    case 'hold':
      return encode([
        request.kind,
        request.holdings.map(({ key, pin, others, from, again }) => [key, pin, others, from, again]),
      ])
    case 'release':
    case 'tell':
      return encode([request.kind, request.keys])
    case 'report':
      return encode([request.kind, request.progress.map(([key, progress]) => [key, ...progressParts(progress)])])
    case 'audit':
      return encode([request.kind, request.blocks.map(({ bytes }) => bytes), request.nonce])
    default:
      return encode([request.kind])
  }
}

/** Throws PIN_INVALID. */
export function decodeRequest(bytes: Uint8Array): Request {
  const [kind, first, second] = fields.decode(bytes, limits.callBytesMax)
  switch (kind) {
    case 'hold':
      return { kind, holdings: fields.list(first, limits.pinsCarried, 'list of pins').map(holdingField) }
    case 'release':
    case 'tell':
      return { kind, keys: fields.list(first, limits.pinsCarried, 'list of pins').map(keyField) }
    case 'report':
      return { kind, progress: fields.list(first, limits.pinsCarried, 'list of pins').map(reportField) }
    case 'audit':
      return {
        kind,
        blocks: fields.list(first, limits.pinsAudited, 'list of blocks').map(cidField),
        nonce: fields.bytes(second, nonceBytesMax, 'nonce'),
      }
    case 'used':
      return { kind }
    default:
      throw invalid('an unknown request')
  }
}

export function encodeAnswer(answer: Answer): Uint8Array {
  const head = [answer.kind, Math.max(0, Math.round(answer.nowMs)), answer.usedBytes]
  if (answer.kind === 'progress') return encode([...head, answer.progress.map(progressParts)])
  if (answer.kind === 'told') return encode([...head, answer.told.map((told) => (told ? toldParts(told) : null))])
  if (answer.kind === 'hashes') return encode([...head, answer.hashes.map((hash) => hash ?? null)])
  return encode(head)
}

/** Throws PIN_INVALID. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const [kind, now, used, list] = fields.decode(bytes, limits.callBytesMax)
  const head = { nowMs: fields.count(now, 'time'), usedBytes: fields.count(used, 'size') }
  const items = () => fields.list(list, limits.pinsCarried, 'list of answers')
  if (kind === 'progress') return { ...head, kind, progress: items().map(progressField) }
  if (kind === 'told') return { ...head, kind, told: items().map((one) => (one === null ? undefined : toldField(one))) }
  if (kind === 'hashes')
    return { ...head, kind, hashes: items().map((one) => (one === null ? undefined : fields.bytes(one, 32, 'hash'))) }
  if (kind === 'noted') return { ...head, kind }
  throw invalid('an unknown answer')
}

function progressParts({ state, doneBytes, why }: Progress): unknown[] {
  return [state, doneBytes, whyPart(why)]
}

// Sentences quote each other, and one that is too long would make whoever is told refuse everything.
function whyPart(why: string | undefined): string | null {
  return why?.slice(0, whyCharactersMax) ?? null
}

function progressField(value: unknown): Progress {
  const [state, doneBytes, why] = fields.list(value, 3, 'progress')
  return {
    state: fields.word(state, progresses, 'state'),
    doneBytes: fields.count(doneBytes, 'size'),
    why: whyField(why),
  }
}

function reportField(value: unknown): [string, Progress] {
  const [key, ...rest] = fields.list(value, 4, 'report')
  return [keyField(key), progressField(rest)]
}

function holdingField(value: unknown): Holding {
  const [key, pin, others, from, again] = fields.list(value, 5, 'pin')
  return {
    key: keyField(key),
    pin: fields.bytes(pin, limits.recordValueBytesMax, 'pin'),
    others: fields.count(others, 'number of holders'),
    from: peersField(from),
    again: again === true,
  }
}

function toldParts({ pin, enough, places, bytesPerSecond, why }: Told): unknown[] {
  const listed = places.map((place) => [place.peer, place.state, place.doneBytes, whyPart(place.why)])
  return [pin, enough, listed, Math.min(Math.round(bytesPerSecond), Number.MAX_SAFE_INTEGER), whyPart(why)]
}

function toldField(value: unknown): Told {
  const [pin, enough, listed, bytesPerSecond, why] = fields.list(value, 5, 'status')
  return {
    pin: fields.bytes(pin, limits.recordValueBytesMax, 'pin'),
    enough: enough === true,
    places: fields.list(listed, limits.membersMax, 'list of places').map((one) => {
      const [peer, state, doneBytes, reason] = fields.list(one, 4, 'place')
      return {
        peer: fields.peer(peer),
        state: fields.word(state, places, 'state'),
        doneBytes: fields.count(doneBytes, 'size'),
        why: whyField(reason),
      }
    }),
    bytesPerSecond: fields.count(bytesPerSecond, 'rate'),
    why: whyField(why),
  }
}

function peersField(value: unknown): PeerId[] {
  return fields.list(value, limits.pinSourcesMax, 'list of members').map((peer) => fields.peer(peer))
}

function keyField(value: unknown): string {
  return fields.text(value, limits.recordKeyBytesMax, 'key')
}

function whyField(value: unknown): string | undefined {
  return value === null ? undefined : fields.text(value, whyCharactersMax, 'reason')
}

function cidField(value: unknown): CID {
  const bytes = fields.bytes(value, limits.cidCharactersMax, 'CID')
  try {
    return CID.decode(bytes)
  } catch {
    throw invalid('a bad CID')
  }
}

function invalid(what: string): ReplicasError {
  return new ReplicasError('PIN_INVALID', `a member sent ${what} about pins; its potluck may be of another version`)
}

const fields = new Fields(invalid)
