// The twin of signatures: hashes with the author's name in them, as long as real ones. They hold among those who do not
// read this file, and tell a changed byte.
import { sha256 } from '../../src/core/block.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { Signer } from '../../src/core/ports.ts'

export function twinSigner(self: PeerId): Signer {
  return {
    self,
    sign: (bytes) => signature(self, bytes),
    verify: (peer, bytes, claimed) => Buffer.compare(signature(peer, bytes), claimed) === 0,
  }
}

function signature(peer: PeerId, bytes: Uint8Array): Uint8Array {
  const hash = sha256(Buffer.concat([Buffer.from(`signed by ${peer}\n`), bytes]))
  return new Uint8Array(Buffer.concat([hash, hash]))
}
