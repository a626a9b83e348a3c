// The bytes of dag-pb nodes. Encoding is @ipld/dag-pb's. Decoding is our own, as strict as theirs, because their text
// decoder drops a byte order mark at the start of a name, and a file must come back under the name that it had.
// Format: https://ipld.io/specs/codecs/dag-pb/spec/
import { encode } from '@ipld/dag-pb'
import { CID } from 'multiformats/cid'

export interface Link {
  name: string
  cid: CID
  /** Bytes of the DAG below, as the node's author says; nothing may rely on it. */
  tsize: number
}

/** A link in a tenth of the memory that a CID object takes: folders have as many as they like. */
export interface PackedLink {
  name: string
  /** The CID's bytes, one a character. */
  cid: string
  tsize: number
}

export function packed({ name, cid, tsize }: Link): PackedLink {
  return { name, cid: Buffer.from(cid.bytes).toString('latin1'), tsize }
}

export function unpacked({ name, cid, tsize }: PackedLink): Link {
  return { name, cid: CID.decode(Buffer.from(cid, 'latin1')), tsize }
}

export interface PbNode {
  data: Uint8Array | undefined
  links: Link[]
}

/** Links must be in the order of their names' bytes. */
export function encodePb(data: Uint8Array, links: Link[]): Uint8Array {
  return encode({ Data: data, Links: links.map(({ name, cid, tsize }) => ({ Hash: cid, Name: name, Tsize: tsize })) })
}

/** Throws a plain Error with the reason: the caller knows which block it was. */
export function decodePb(bytes: Uint8Array): PbNode {
  const cursor = new Cursor(bytes)
  let data: Uint8Array | undefined
  const links: Link[] = []
  let linksEnded = false
  while (!cursor.atEnd) {
    const tag = cursor.varint()
    if (tag === dataTag) {
      if (data) throw new Error('it has two data fields')
      data = cursor.piece()
      linksEnded = links.length > 0
    } else if (tag === linkTag) {
      if (linksEnded) throw new Error('its links are not together')
      links.push(decodeLink(cursor.piece()))
    } else throw new Error('it has an unknown field')
  }
  return { data, links }
}

const dataTag = 0x0a
const linkTag = 0x12
const hashTag = 0x0a
const nameTag = 0x12
const tsizeTag = 0x18

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function decodeLink(bytes: Uint8Array): Link {
  const cursor = new Cursor(bytes)
  let cid: CID | undefined
  let name: string | undefined
  let tsize: number | undefined
  while (!cursor.atEnd) {
    const tag = cursor.varint()
    if (tag === hashTag && !cid && name === undefined && tsize === undefined) cid = CID.decode(cursor.piece())
    else if (tag === nameTag && name === undefined && tsize === undefined) name = utf8.decode(cursor.piece())
    else if (tag === tsizeTag && tsize === undefined) tsize = cursor.varint()
    else throw new Error('one of its links has an unknown, repeated or misplaced field')
  }
  if (!cid) throw new Error('one of its links has no CID')
  return { cid, name: name ?? '', tsize: tsize ?? 0 }
}

class Cursor {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.byteLength
  }

  /** Up to 64 bits; past 2^53 it is not exact, which only a false `tsize` can be. */
  varint(): number {
    let value = 0
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw new Error('it ends inside a number')
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new Error('it has a number that is too large')
  }

  piece(): Uint8Array {
    const length = this.varint()
    const end = this.#at + length
    if (end > this.#bytes.byteLength) throw new Error('it ends inside a field')
    const piece = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return piece
  }
}
