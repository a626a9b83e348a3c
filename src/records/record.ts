// Records as bytes: a write that its author signed, the set of siblings that replicas store and exchange, and the version
// that callers hold in their hands as text. All are canonical DAG-CBOR, so equal sets have equal bytes and equal hashes.
import { encode } from '@ipld/dag-cbor'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Signer } from '../core/ports.ts'
import { RecordsError } from './errors.ts'
import { bytesField, countField, decoded, invalid, listField, textField } from './fields.ts'
import { pathBytesMax, signedBytesOf, signTogether } from './signatures.ts'
import {
  compareDots,
  covers,
  type Dot,
  type PastWriteId,
  type Sibling,
  type SiblingSet,
  type Vector,
  type Version,
  type Write,
} from './version.ts'

/** What is signed begins so: nothing else is taken for a write. */
const domain = 'potluck record 1'
const idLengthMax = 64
const signatureBytesMax = 128

/** What an author says. */
export type WriteParts = Omit<Write, 'author' | 'bytes'>

/** Signs writes, at most `limits.recordsSignedTogether`, with one signature: key, value, causal context and id of each. */
export function signWrites(signer: Signer, several: readonly WriteParts[]): Write[] {
  const author = signer.self
  const bodies = several.map(({ key, value, id, context, atMs }) =>
    encode([domain, key, value ?? null, author, id, flatVector(context.seen), [...context.writes], atMs]),
  )
  const signed = signTogether(signer, bodies)
  return several.map((parts, index) => {
    const { signature, path } = signed[index]!
    return { ...parts, author, bytes: encode([bodies[index]!, signature, path]) }
  })
}

/** A write as it was signed; the signature is not checked here. Throws RECORD_INVALID. */
export function decodeWrite(bytes: Uint8Array): Write {
  const [body] = envelope(bytes)
  const fields = listField(decoded(body, 'write'), 8, 'write')
  if (fields.length !== 8 || fields[0] !== domain) throw invalid('a write of another kind')
  const [, key, value, author, id, seen, writes, atMs] = fields
  return {
    key: checkedKey(key),
    value: value === null ? undefined : bytesField(value, limits.recordValueBytesMax, 'value'),
    author: textField(author, 128, 'author') as PeerId,
    id: textField(id, idLengthMax, 'write id'),
    context: { seen: vectorOf(seen), writes: idsOf(writes) },
    atMs: countField(atMs, 'time'),
    bytes,
  }
}

/** Checks signatures, and remembers the verdict on the last ones: a write passes here again with every set that it is in. */
export class Verifier {
  readonly #signer: Signer
  readonly #verified = new Lru<string, Uint8Array>(limits.recordVerdictsMax)
  /** Signatures that are good for what they are about, by author: of writes that were signed together the first is checked. */
  readonly #signatures = new Lru<string, Uint8Array>(limits.recordVerdictsMax)

  constructor(signer: Signer) {
    this.#signer = signer
  }

  /** Throws RECORD_INVALID unless the author signed this write. */
  check(write: Write): void {
    const known = this.#verified.get(write.id)
    if (known && sameBytes(known, write.bytes)) return
    const [body, signature, path] = envelope(write.bytes)
    const signed = signedBytesOf(body, path)
    const name = `${write.author}/${Buffer.from(signature).toString('latin1')}`
    const good = this.#signatures.get(name)
    if (!good || !sameBytes(good, signed)) {
      if (!this.#signer.verify(write.author, signed, signature)) throw invalid('a write that its author did not sign')
      this.#signatures.set(name, signed)
    }
    this.#verified.set(write.id, write.bytes)
  }

  /** Takes a write that this peer has just signed. */
  trust(write: Write): void {
    this.#verified.set(write.id, write.bytes)
  }
}

export function encodeSet(set: SiblingSet): Uint8Array {
  const siblings = set.siblings.map(({ dots, write }) => [
    dots.flatMap(({ store, count }) => [store, count]),
    write.bytes,
  ])
  const bytes = encode([flatVector(set.seen), siblings, set.past.flatMap(({ rank, id }) => [rank, id])])
  if (set.siblings[0]) remember(set.siblings[0].write.key, bytes, set)
  return bytes
}

/** A set of siblings of `key`; signatures are not checked here. Throws RECORD_INVALID. */
export function decodeSet(key: string, bytes: Uint8Array): SiblingSet {
  const known = lately.get(key)
  if (known && sameBytes(known.bytes, bytes)) return known.set
  const [seen, siblings, past] = listField(decoded(bytes, 'record'), 3, 'record')
  const set = {
    seen: vectorOf(seen),
    siblings: listField(siblings, limits.recordSiblingsHeldMax, 'list of siblings').map((item) => siblingOf(key, item)),
    past: pastOf(past),
  }
  for (const { dots } of set.siblings)
    if (!dots.every((dot) => covers(set.seen, dot))) throw invalid('a record that has not seen its own dots')
  remember(key, bytes, set)
  return set
}

/** What the last bytes of a key meant: one write or read meets the same bytes in several places, and decoding costs most of it. */
const lately = new Lru<string, { bytes: Uint8Array; set: SiblingSet }>(limits.recordVerdictsMax)

function remember(key: string, bytes: Uint8Array, set: SiblingSet): void {
  if (bytes.byteLength <= limits.recordSetRememberedBytes) lately.set(key, { bytes, set })
}

/** A version as text, for callers. */
export function versionText(version: Version): string {
  if (version.seen.size === 0) return 'none'
  return Buffer.from(encode([flatVector(version.seen), [...version.writes]])).toString('base64url')
}

/** Throws VERSION_INVALID. */
export function parseVersion(text: string): Version {
  if (text === 'none') return { seen: new Map(), writes: [] }
  try {
    const [seen, writes] = listField(decoded(Buffer.from(text, 'base64url'), 'version'), 2, 'version')
    const version = { seen: vectorOf(seen), writes: idsOf(writes) }
    if (version.seen.size > 0) return version
  } catch {
    // What it was instead of a version is of no use to anybody.
  }
  throw new RecordsError(
    'VERSION_INVALID',
    `'${text.slice(0, 80)}' is not a version; take the one that a read has shown`,
  )
}

/** Throws RECORD_INVALID for a key that no honest peer sends. */
export function checkedKey(value: unknown): string {
  const key = textField(value, limits.recordKeyBytesMax, 'key')
  const reason = keyFault(key)
  if (reason !== undefined) throw invalid(`a key that ${reason}`)
  return key
}

/** What is wrong with a key; undefined if nothing is. */
export function keyFault(key: string): string | undefined {
  if (key === '') return 'is empty'
  if (Buffer.byteLength(key) > limits.recordKeyBytesMax) return `has more than ${limits.recordKeyBytesMax} bytes`
  // The table's keys are text and end with the record's: a zero or half of a surrogate pair would not come back the same.
  if (/\p{Cc}/u.test(key)) return 'has control characters'
  return key.isWellFormed() ? undefined : 'is not well-formed text'
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
}

function envelope(bytes: Uint8Array): [body: Uint8Array, signature: Uint8Array, path: Uint8Array] {
  const [body, signature, path] = listField(decoded(bytes, 'write'), 3, 'write')
  return [
    bytesField(body, limits.recordBodyBytesMax, 'write'),
    bytesField(signature, signatureBytesMax, 'signature'),
    bytesField(path, pathBytesMax, 'signature'),
  ]
}

function flatVector(vector: Vector): (string | number)[] {
  if (vector.size <= 1) return [...vector].flat()
  return [...vector].sort(([a], [b]) => (a < b ? -1 : 1)).flat()
}

function vectorOf(value: unknown): Vector {
  const flat = listField(value, 2 * limits.recordStoresMax, 'version')
  const vector = new Map<string, number>()
  for (let index = 0; index < flat.length; index += 2)
    vector.set(textField(flat[index], idLengthMax, 'store id'), countField(flat[index + 1], 'count'))
  return vector
}

function idsOf(value: unknown): string[] {
  return listField(value, limits.recordSiblingsHeldMax, 'list of writes')
    .map((id) => textField(id, idLengthMax, 'write id'))
    .sort()
}

function siblingOf(key: string, value: unknown): Sibling {
  const [dots, bytes] = listField(value, 2, 'sibling')
  const write = decodeWrite(
    bytesField(bytes, limits.recordBodyBytesMax + 2 * signatureBytesMax + pathBytesMax, 'write'),
  )
  if (write.key !== key) throw invalid('a write of another key')
  return { dots: dotsOf(dots), write }
}

function dotsOf(value: unknown): Dot[] {
  const flat = listField(value, 2 * limits.recordDotsMax, 'list of dots')
  const dots: Dot[] = []
  for (let index = 0; index < flat.length; index += 2)
    dots.push({ store: textField(flat[index], idLengthMax, 'store id'), count: countField(flat[index + 1], 'count') })
  // In one order only: equal records must have equal bytes.
  const isSorted = dots.every((dot, index) => index === 0 || compareDots(dots[index - 1]!, dot) < 0)
  if (dots.length === 0 || !isSorted) throw invalid('a bad list of dots')
  return dots
}

function pastOf(value: unknown): PastWriteId[] {
  const flat = listField(value, 2 * limits.recordPastIdsMax, 'list of past writes')
  const past: PastWriteId[] = []
  for (let index = 0; index < flat.length; index += 2)
    past.push({ rank: countField(flat[index], 'rank'), id: textField(flat[index + 1], idLengthMax, 'write id') })
  return past
}
