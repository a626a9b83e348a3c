// One signature for several writes: it is over the root of a Merkle tree whose leaves are the writes, and each write carries
// the hashes that lead from it to the root. A signature costs fifty times as much as a hash to make and a hundred times as much
// to check, so that many small writes at a time are paid for once. A write alone is a tree of one leaf, and carries no hashes.
//
// Leaves and inner nodes are hashed apart, after RFC 6962, so that no node passes for a write. The two below a node are hashed
// in the order of their bytes: a path then proves that a write is among those that were signed, which is all that is asked.
import { encode } from '@ipld/dag-cbor'
import { sha256 } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { Signer } from '../core/ports.ts'

/** What the signature is about: no other message of this peer begins like this. */
const domain = 'potluck records 1'
const hashBytes = 32

/** The longest path, in bytes. */
export const pathBytesMax = hashBytes * Math.ceil(Math.log2(limits.recordsSignedTogether))

export interface Signed {
  signature: Uint8Array
  /** Hashes from beside the leaf to below the root, one after the other. */
  path: Uint8Array
}

/** Signs some messages, at most `limits.recordsSignedTogether`, at once; what belongs to each, in their order. */
export function signTogether(signer: Signer, messages: readonly Uint8Array[]): Signed[] {
  const paths: Uint8Array[][] = messages.map(() => [])
  let nodes = messages.map((message, index) => ({ hash: leafHash(message), leaves: [index] }))
  while (nodes.length > 1) {
    const above: typeof nodes = []
    for (let index = 0; index < nodes.length; index += 2) {
      const [left, right] = [nodes[index]!, nodes[index + 1]]
      for (const leaf of right ? left.leaves : []) paths[leaf]!.push(right!.hash)
      for (const leaf of right?.leaves ?? []) paths[leaf]!.push(left.hash)
      // One that is left over goes up as it is.
      above.push(right ? { hash: nodeHash(left.hash, right.hash), leaves: [...left.leaves, ...right.leaves] } : left)
    }
    nodes = above
  }
  const [root] = nodes
  if (!root) return []
  const signature = signer.sign(signedBytes(root.hash))
  return paths.map((path) => ({ signature, path: Buffer.concat(path) }))
}

/** What the author of a message signed, if the path is right. Whatever the path is, only messages of the tree lead to its root. */
export function signedBytesOf(message: Uint8Array, path: Uint8Array): Uint8Array {
  let hash = leafHash(message)
  for (let at = 0; at < path.byteLength; at += hashBytes) hash = nodeHash(hash, path.subarray(at, at + hashBytes))
  return signedBytes(hash)
}

function signedBytes(root: Uint8Array): Uint8Array {
  return encode([domain, root])
}

function leafHash(message: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([Uint8Array.of(0), message]))
}

function nodeHash(a: Uint8Array, b: Uint8Array): Uint8Array {
  return sha256(Buffer.concat(Buffer.compare(a, b) < 0 ? [Uint8Array.of(1), a, b] : [Uint8Array.of(1), b, a]))
}
