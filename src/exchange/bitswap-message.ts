// The messages of Bitswap 1.2, to and from bytes. https://specs.ipfs.tech/bitswap-protocol/
//
//   Message    wantlist 1 {entries 1, full 2}, payload 3 {prefix 1, data 2}, presences 4 {cid 1, type 2}, pendingBytes 5
//   Entry      block 1, priority 2, cancel 3, wantType 4 (0 block, 1 have), sendDontHave 5
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { readVarint, varintBytes } from '../base/frames.ts'
import { bytesField, fields, varintField } from '../base/protobuf.ts'
import { digestOf } from '../core/block.ts'
import { ExchangeError } from './errors.ts'

export const bitswapProtocol = '/ipfs/bitswap/1.2.0'

export interface WantEntry {
  cid: CID
  cancel: boolean
  type: 'block' | 'have'
  sendDontHave: boolean
}

export interface BitswapMessage {
  wants: WantEntry[]
  /** The wants replace all earlier ones. */
  full: boolean
  /** Blocks, with CIDs computed from the bytes: they are what they say, but perhaps not what was wanted. */
  blocks: { cid: CID; bytes: Uint8Array }[]
  presences: { cid: CID; have: boolean }[]
}

/** An entry, block or presence of a message being made, with its size on the wire. */
export interface Part {
  pieces: Uint8Array[]
  sizeBytes: number
  /** An entry of the want-list, of which a message has one. */
  isWant?: true
}

export function wantPart({ cid, cancel, type, sendDontHave }: WantEntry): Part {
  const entry = [
    ...bytesField(1, cid.bytes),
    ...varintField(2, 1),
    ...(cancel ? varintField(3, 1) : []),
    ...(type === 'have' ? varintField(4, 1) : []),
    ...(sendDontHave ? varintField(5, 1) : []),
  ]
  return { ...part(bytesField(1, ...entry)), isWant: true }
}

export function blockPart(cid: CID, bytes: Uint8Array): Part {
  const { version, code, multihash } = cid
  const prefix = Buffer.concat([version, code, multihash.code, multihash.digest.byteLength].map(varintBytes))
  return part(bytesField(3, ...bytesField(1, prefix), ...bytesField(2, bytes)))
}

export function presencePart(cid: CID, have: boolean): Part {
  return part(bytesField(4, ...bytesField(1, cid.bytes), ...varintField(2, have ? 0 : 1)))
}

/**
 * Parts as one message with its length before it. All wants go into one want-list: the format says that several would be
 * put together, but some readers keep only the last.
 */
export function messageOf(parts: Part[]): Uint8Array[] {
  const wants = parts.filter(({ isWant }) => isWant).flatMap(({ pieces }) => pieces)
  const others = parts.filter(({ isWant }) => !isWant).flatMap(({ pieces }) => pieces)
  const body = [...(wants.length > 0 ? bytesField(1, ...wants) : []), ...others]
  return [varintBytes(part(body).sizeBytes), ...body]
}

function part(pieces: Uint8Array[]): Part {
  return { pieces, sizeBytes: pieces.reduce((sum, piece) => sum + piece.byteLength, 0) }
}

/** Throws PEER_BROKEN for anything that is not a message. Blocks with hashes that we do not know are left out. */
export function decodeMessage(bytes: Uint8Array): BitswapMessage {
  const message: BitswapMessage = { wants: [], full: false, blocks: [], presences: [] }
  try {
    for (const { number, bytes: value } of fields(bytes)) {
      if (number === 1) readWantlist(value, message)
      else if (number === 3) readBlock(value, message)
      else if (number === 4) readPresence(value, message)
    }
  } catch (error) {
    if (error instanceof ExchangeError) throw error
    throw new ExchangeError('PEER_BROKEN', 'the peer sent a Bitswap message that cannot be read', { cause: error })
  }
  return message
}

function readWantlist(bytes: Uint8Array, message: BitswapMessage): void {
  for (const { number, bytes: entry, value } of fields(bytes)) {
    if (number === 2) message.full = value === 1
    if (number !== 1) continue
    let cid: CID | undefined
    const want = { cancel: false, type: 'block' as 'block' | 'have', sendDontHave: false }
    for (const field of fields(entry)) {
      if (field.number === 1) cid = CID.decode(field.bytes.slice())
      else if (field.number === 3) want.cancel = field.value === 1
      else if (field.number === 4) want.type = field.value === 1 ? 'have' : 'block'
      else if (field.number === 5) want.sendDontHave = field.value === 1
    }
    if (cid) message.wants.push({ cid, ...want })
  }
}

function readBlock(bytes: Uint8Array, message: BitswapMessage): void {
  let prefix: Uint8Array | undefined
  let data: Uint8Array = new Uint8Array(0)
  for (const field of fields(bytes)) {
    if (field.number === 1) prefix = field.bytes
    else if (field.number === 2) data = field.bytes
  }
  if (!prefix) return
  const numbers: number[] = []
  for (let at = 0; at < prefix.byteLength && numbers.length < 4; ) {
    const { value, next } = readVarint(prefix, at)
    numbers.push(value)
    at = next
  }
  const [version, codec = 0, hash = 0] = numbers
  const digest = digestOf(hash, data)
  if (!digest || (version !== 0 && version !== 1)) return
  // A copy of its own: a view would keep the whole message alive.
  message.blocks.push({ cid: CID.create(version, codec, createDigest(hash, digest)), bytes: data.slice() })
}

function readPresence(bytes: Uint8Array, message: BitswapMessage): void {
  let cid: CID | undefined
  let have = true
  for (const field of fields(bytes)) {
    if (field.number === 1) cid = CID.decode(field.bytes.slice())
    else if (field.number === 2) have = field.value === 0
  }
  if (cid) message.presences.push({ cid, have })
}
