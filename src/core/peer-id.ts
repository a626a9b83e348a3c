// PeerIds as other programs write them: the multihash of a public key in base58, or a CID of it in base 36, 32 or 58. What is
// read here comes from strangers; that it has the form of a PeerId says nothing about who has the key.
// Format: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md#string-representation
import { base32 } from 'multiformats/bases/base32'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import type { PeerId } from './peer.ts'

const libp2pKeyCodec = 0x72
/** Multihashes of keys: the protobuf of an Ed25519 or a secp256k1 key itself, or the SHA-256 of a longer key. */
const keyForms = [
  { prefix: [0x00, 0x24, 0x08, 0x01, 0x12, 0x20], bytes: 38 },
  { prefix: [0x00, 0x25, 0x08, 0x02, 0x12, 0x21], bytes: 39 },
  { prefix: [0x12, 0x20], bytes: 34 },
]

/** Characters of the longest spelling: a secp256k1 key in base 32 has 67. */
const textCharactersMax = 80

/** The PeerId that a text in any of its forms stands for, in base58; undefined if it is none. */
export function readPeerId(text: string): PeerId | undefined {
  const multihash = keyMultihashOf(text)
  const isKey = keyForms.some(
    ({ prefix, bytes }) => multihash?.byteLength === bytes && prefix.every((byte, at) => multihash[at] === byte),
  )
  return multihash && isKey ? (base58btc.baseEncode(multihash) as PeerId) : undefined
}

/** The multihash in a text that is written like a PeerId, whatever it is of; undefined for any other text. */
export function keyMultihashOf(text: string): Uint8Array | undefined {
  if (text.length > textCharactersMax) return undefined
  try {
    if (/^(1|Qm)/.test(text)) return base58btc.baseDecode(text)
    const cid = CID.parse(text, base36.decoder.or(base32.decoder).or(base58btc.decoder))
    return cid.code === libp2pKeyCodec ? cid.multihash.bytes : undefined
  } catch {
    return undefined
  }
}
