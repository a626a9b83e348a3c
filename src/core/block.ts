// A Block is bytes whose hash has been checked: the only ways to make one are to verify bytes against a CID or to compute
// the CID from them. Whoever holds a Block may store or show it; whoever holds bytes may not.
import { createHash, hash as hashOnce } from 'node:crypto'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { CodedError } from '../base/errors.ts'
import { limits } from './limits.ts'

export type CoreErrorCode =
  | 'MISMATCH'
  | 'HASH_UNSUPPORTED'
  | 'NOT_ADMITTED'
  | 'BLOCK_TOO_LARGE'
  | 'CALL_REFUSED'
  | 'CALLS_FULL'
  | 'IPNS_EXPIRED'
  | 'IPNS_INVALID'
  | 'REF_INVALID'
  | 'SIZE_INVALID'
  | 'STREAM_BROKEN'
  | 'TIME_INVALID'

export class CoreError extends CodedError<CoreErrorCode> {}

/** Multicodec numbers of the formats whose links we follow. */
export const codecs = { raw: 0x55, dagPb: 0x70, dagCbor: 0x71, dagJson: 0x0129 } as const

export const sha256Code = 0x12
const identityCode = 0x00
const hashNames = new Map([
  [sha256Code, 'sha256'],
  [0x13, 'sha512'],
  [0x14, 'sha3-512'],
  [0x15, 'sha3-384'],
  [0x16, 'sha3-256'],
])

export class Block {
  readonly cid: CID
  readonly bytes: Uint8Array

  private constructor(cid: CID, bytes: Uint8Array) {
    this.cid = cid
    this.bytes = bytes
  }

  /** Checks bytes against their CID. Throws MISMATCH, HASH_UNSUPPORTED or BLOCK_TOO_LARGE. */
  static verify(cid: CID, bytes: Uint8Array): Block {
    if (bytes.byteLength > limits.blockBytesMax)
      throw new CoreError(
        'BLOCK_TOO_LARGE',
        `block ${cid} has ${bytes.byteLength} bytes; the limit is ${limits.blockBytesMax}`,
      )
    if (!matches(cid, bytes)) throw new CoreError('MISMATCH', `these bytes are not block ${cid}`)
    return new Block(cid, bytes)
  }

  /** A new block: SHA-256, CIDv1 (or v0, for dag-pb only). */
  static of(codec: number, bytes: Uint8Array, version: 0 | 1 = 1): Block {
    const digest = Digest.create(sha256Code, sha256(bytes))
    return new Block(version === 0 ? CID.createV0(digest as never) : CID.createV1(codec, digest), bytes)
  }
}

/** The digest by multihash code; undefined for hashes that we do not know. */
export function digestOf(code: number, bytes: Uint8Array): Uint8Array | undefined {
  if (code === identityCode) return bytes.byteLength <= limits.identityBytesMax ? bytes : undefined
  const name = hashNames.get(code)
  return name === undefined ? undefined : hashed(name, bytes)
}

/** True if the bytes have the CID's hash. Throws HASH_UNSUPPORTED. */
export function matches(cid: CID, bytes: Uint8Array): boolean {
  requireKnownHash(cid)
  const { code, digest } = cid.multihash
  const actual = code === identityCode ? bytes : hashed(hashNames.get(code)!, bytes)
  return equalPrefix(actual, digest, code)
}

/** Throws HASH_UNSUPPORTED unless we can check blocks of this CID. */
export function requireKnownHash(cid: CID): void {
  const { code, digest } = cid.multihash
  if (code === identityCode && digest.byteLength > limits.identityBytesMax)
    throw new CoreError('HASH_UNSUPPORTED', `${cid} carries more than ${limits.identityBytesMax} bytes in itself`)
  if (code !== identityCode && !hashNames.has(code))
    throw new CoreError(
      'HASH_UNSUPPORTED',
      `${cid} uses multihash 0x${code.toString(16)}, which potluck cannot verify (it knows SHA-2 and SHA-3)`,
    )
}

/** The bytes that an identity CID carries; undefined for all others. */
export function inlineBytes(cid: CID): Uint8Array | undefined {
  return cid.multihash.code === identityCode ? cid.multihash.digest : undefined
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return hashed('sha256', bytes)
}

// A digest shorter than its hash is a truncation, which would make forgery cheap: refused.
function equalPrefix(actual: Uint8Array, expected: Uint8Array, code: number): boolean {
  if (actual.byteLength !== expected.byteLength && code !== identityCode) return false
  return Buffer.compare(actual, expected) === 0
}

function hashed(name: string, bytes: Uint8Array): Uint8Array {
  const digest =
    typeof hashOnce === 'function' ? hashOnce(name, bytes, 'buffer') : createHash(name).update(bytes).digest()
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength)
}
