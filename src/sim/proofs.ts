// The twins of signatures and of admission: keyed hashes instead of Ed25519 and HMAC, so that a simulation of a thousand
// peers costs little. They hold as long as nobody in the simulation reads this file: a peer cannot make another's signature
// through the port, and a byte changed on the way is noticed.
import { sha256 } from '../core/block.ts'
import type { PeerId } from '../core/peer.ts'
import type { Admission, Signer } from '../core/ports.ts'

/** As long as a real signature, so that bytes on the wire are counted right. */
const signatureBytes = 64

export function simulatedSigner(self: PeerId): Signer {
  return {
    self,
    sign: (bytes) => signatureOf(self, bytes),
    verify: (peer, bytes, signature) => Buffer.compare(signatureOf(peer, bytes), signature) === 0,
  }
}

/** `secret` stands for the cluster's; undefined for a hub, which only relays. */
export function simulatedAdmission(self: PeerId, secret: string | undefined): Admission {
  return {
    proof: () => (secret === undefined ? undefined : proofOf(self, secret)),
    proves: (peer, proof) => secret !== undefined && Buffer.compare(proofOf(peer, secret), proof) === 0,
  }
}

function signatureOf(peer: PeerId, bytes: Uint8Array): Uint8Array {
  const signature = new Uint8Array(signatureBytes)
  signature.set(sha256(Buffer.concat([Buffer.from(peer), bytes])))
  return signature
}

function proofOf(peer: PeerId, secret: string): Uint8Array {
  return sha256(Buffer.from(`${secret} ${peer}`))
}
