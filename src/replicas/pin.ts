// What the cluster knows of one pin: the wishes that it be kept, how large it is, and which members are named as its holders.
// Pure, and merged without loss: drivers that do not see each other, and people who pin and unpin meanwhile, write values side
// by side, and everybody makes the same of them. Wishes are a set from which only what was seen can be removed: a removal
// beats whatever a driver wrote beside it, and a new wish beats an older removal.
import { encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { Lru } from '../base/lru.ts'
import { Fields } from '../core/fields.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { ReplicasError } from './errors.ts'
import type { PinRecord } from './words.ts'

export interface Wish {
  /** Random; names the wish. */
  id: string
  /** Who keeps a copy of its own besides, until it lets go. */
  by: PeerId
  copies: number
  /** Wall time, milliseconds since 1970. */
  expiresMs?: number | undefined
  /** `by` shall not be one of the holders. */
  elsewhere: boolean
}

export interface EndedWish {
  id: string
  by: PeerId
  atMs: number
}

export interface Pin {
  /** As it was given first: text, since there may be very many pins. */
  cid: string
  /** Bytes of all blocks, each once. */
  sizeBytes: number
  /** None: the pin has ended, and its holders may let go. */
  wishes: readonly Wish[]
  /** Wishes that have ended: whose they were, and when that was, in wall time. */
  ended: readonly EndedWish[]
  /** Members named, sorted. */
  holders: readonly PeerId[]
}

export const pinPrefix = 'pin/'
const version = 1

/** Both versions of a CID name the same pin; the codec counts, since what hangs below is another thing. */
export function pinKey(cid: CID): string {
  return pinPrefix + CID.createV1(cid.code, cid.multihash).toString()
}

/** Throws PIN_INVALID. */
export function cidOfKey(key: string): CID {
  try {
    return CID.parse(key.slice(pinPrefix.length))
  } catch {
    throw invalid(`the key '${key}'`)
  }
}

export function encodePin({ cid, sizeBytes, wishes, ended, holders }: Pin): Uint8Array {
  return encode([
    version,
    cid,
    sizeBytes,
    wishes.map(({ id, by, copies, expiresMs, elsewhere }) => [id, by, copies, expiresMs ?? null, elsewhere]),
    ended.map(({ id, by, atMs }) => [id, by, atMs]),
    holders,
  ])
}

/** Throws PIN_INVALID. */
export function decodePin(bytes: Uint8Array): Pin {
  const [form, cid, sizeBytes, wishes, ended, holders] = fields.decode(bytes, limits.recordValueBytesMax)
  if (form !== version) throw invalid('a pin of another version')
  return {
    cid: cidField(cid),
    sizeBytes: fields.count(sizeBytes, 'size'),
    // Those who did not see each other may have made more together than one of them could.
    wishes: fields.list(wishes, limits.membersMax, 'list of wishes').map(wishField),
    ended: fields.list(ended, limits.pinEndedMax, 'list of ended wishes').map((one) => {
      const [id, by, atMs] = fields.list(one, 3, 'wish')
      return {
        id: fields.text(id, limits.pinWishIdCharactersMax, 'wish'),
        by: peerField(by),
        atMs: fields.count(atMs, 'time'),
      }
    }),
    holders: fields.list(holders, limits.membersMax, 'list of holders').map(peerField),
  }
}

/**
 * A pin that somebody says is the one with this key. Throws PIN_INVALID, also when it is of another content: it would be held
 * under one name and let go under the other.
 */
export function decodePinOf(key: string, bytes: Uint8Array): Pin {
  const pin = decodePin(bytes)
  if (pinPrefix + pin.cid !== key && pinKey(CID.parse(pin.cid)) !== key) throw invalid('another content')
  return pin
}

/** The pin that a record says, all its values taken together; undefined if it says none. Values that are no pins are passed over. */
export function pinOf({ key, siblings }: Pick<PinRecord, 'key' | 'siblings'>): Pin | undefined {
  let merged: Pin | undefined
  for (const { value } of siblings) {
    if (!value) continue
    try {
      const pin = decodePinOf(key, value)
      merged = merged ? mergePins(merged, pin) : pin
    } catch {
      // Of another version, or forged by a member: nothing that this peer could act on.
    }
  }
  return merged
}

/** Commutative, associative and idempotent, but for the oldest of very many ended wishes. When one ended twice, the later time holds. */
export function mergePins(a: Pin, b: Pin): Pin {
  const ended = newestOf(uniqueById([...a.ended, ...b.ended].sort((one, other) => one.atMs - other.atMs)))
  const isEnded = new Set(ended.map(({ id }) => id))
  const wishes = uniqueById([...a.wishes, ...b.wishes]).filter(({ id }) => !isEnded.has(id))
  return {
    cid: [a.cid, b.cid].sort()[0]!,
    sizeBytes: Math.max(a.sizeBytes, b.sizeBytes),
    wishes,
    ended,
    holders: [...new Set([...a.holders, ...b.holders])].sort(),
  }
}

/** The pin with one more wish, in place of what the same member wished and this one covers. Throws COPIES_INVALID when there are too many. */
export function withWish(pin: Pin | undefined, cid: CID, sizeBytes: number, wish: Wish): Pin {
  const before = pin ?? { cid: cid.toString(), sizeBytes, wishes: [], ended: [], holders: [] }
  // Whoever adds the same every night has one wish, not one for each night.
  const others = before.wishes.filter((other) => !covers(wish, other))
  if (others.length >= limits.pinWishesMax)
    throw new ReplicasError(
      'COPIES_INVALID',
      `${cid} has been pinned ${others.length} times; 'potluck pin rm' ends all of them`,
    )
  return { ...before, sizeBytes: Math.max(before.sizeBytes, sizeBytes), wishes: uniqueById([...others, wish]) }
}

/** True if nothing is lost when `other` goes. Whoever wanted no copy and now asks for as many without saying so may have one. */
function covers(wish: Wish, { by, copies, expiresMs, elsewhere }: Wish): boolean {
  const isLonger = wish.expiresMs === undefined || (expiresMs !== undefined && expiresMs <= wish.expiresMs)
  const isSamePlace = wish.elsewhere === elsewhere || !wish.elsewhere
  return wish.by === by && isSamePlace && copies <= wish.copies && isLonger
}

/** The pin after these of its wishes have ended. */
export function withoutWishes(pin: Pin, isOver: (wish: Wish) => boolean, nowMs: number): Pin {
  const over = pin.wishes.filter(isOver)
  const atMs = Math.max(0, Math.round(nowMs))
  const ended = newestOf(uniqueById([...over.map(({ id, by }) => ({ id, by, atMs })), ...pin.ended]))
  return { ...pin, wishes: pin.wishes.filter((wish) => !isOver(wish)), ended }
}

/** Copies that are wanted: what the most demanding wish says. */
export function copiesOf({ wishes }: Pick<Pin, 'wishes'>): number {
  return wishes.reduce((most, { copies }) => Math.max(most, copies), 0)
}

/** Members that shall not hold it. */
export function elsewhereOf({ wishes }: Pick<Pin, 'wishes'>): ReadonlySet<PeerId> {
  return new Set(wishes.flatMap(({ by, elsewhere }) => (elsewhere ? [by] : [])))
}

/** When the last wish ends; undefined if never. */
export function endOf({ wishes }: Pick<Pin, 'wishes'>): number | undefined {
  let endMs = 0
  for (const { expiresMs } of wishes) {
    if (expiresMs === undefined) return undefined
    endMs = Math.max(endMs, expiresMs)
  }
  return wishes.length === 0 ? undefined : endMs
}

/** When the first wish ends; infinity if none does. */
export function firstEndOf({ wishes }: Pick<Pin, 'wishes'>): number {
  return wishes.reduce(
    (first, { expiresMs = Number.POSITIVE_INFINITY }) => Math.min(first, expiresMs),
    Number.POSITIVE_INFINITY,
  )
}

function uniqueById<T extends { id: string }>(items: readonly T[]): T[] {
  const byId = new Map(items.map((item) => [item.id, item]))
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function newestOf(ended: EndedWish[]): EndedWish[] {
  const byAge = ended.toSorted((a, b) => b.atMs - a.atMs || (a.id < b.id ? -1 : 1))
  return byAge.slice(0, limits.pinEndedMax)
}

function wishField(value: unknown): Wish {
  const [id, by, copies, expiresMs, elsewhere] = fields.list(value, 5, 'wish')
  const count = fields.count(copies, 'number of copies')
  if (count < 1 || count > limits.copiesMax) throw invalid('a bad number of copies')
  return {
    id: fields.text(id, limits.pinWishIdCharactersMax, 'wish'),
    by: peerField(by),
    copies: count,
    expiresMs: expiresMs === null ? undefined : fields.count(expiresMs, 'time'),
    elsewhere: elsewhere === true,
  }
}

function cidField(value: unknown): string {
  const text = fields.text(value, limits.cidCharactersMax, 'CID')
  try {
    CID.parse(text)
    return text
  } catch {
    throw invalid('a bad CID')
  }
}

/** The same text for the same member, however many pins name it. */
function peerField(value: unknown): PeerId {
  const peer = fields.peer(value)
  const known = peers.get(peer)
  if (known === undefined) peers.set(peer, peer)
  return known ?? peer
}

function invalid(what: string): ReplicasError {
  return new ReplicasError('PIN_INVALID', `a peer or the disk gave ${what} for a pin`)
}

const fields = new Fields(invalid)
const peers = new Lru<PeerId, PeerId>(limits.membersMax)
