// The key under which the DHT knows a block. Servers in the wild keep provider records of SHA-256 multihashes only and drop
// all others without a word, so content of another hash is announced and looked up under the SHA-256 of its multihash. Peers
// other than potluck do not look there; for SHA-256, which is nearly everything, the key is the plain multihash.
import * as Digest from 'multiformats/hashes/digest'
import { sha256, sha256Code } from './block.ts'

/** The DHT's key for a multihash. Applying it twice changes nothing. */
export function dhtKey(multihash: Uint8Array): Uint8Array {
  const plain = multihash.byteLength === 34 && multihash[0] === sha256Code && multihash[1] === 32
  return plain ? multihash : Digest.create(sha256Code, sha256(multihash)).bytes
}
