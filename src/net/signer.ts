// Signatures with this peer's identity, and checks of others'. A PeerId carries the public key in itself, so nothing has to
// be looked up; making a key object of it costs as much as a third of a check, so those of the last members are kept.
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Signer } from '../core/ports.ts'
import { libp2pPeerId } from './addresses.ts'
import { peerIdOf, privateKeyOf } from './identity.ts'

const signatureBytes = 64

export class Ed25519Signer implements Signer {
  readonly self: PeerId
  readonly #key: KeyObject
  readonly #others = new Lru<PeerId, KeyObject>(limits.membersMax)

  /** Takes an identity as `newIdentity` made it. Throws IDENTITY_INVALID. */
  constructor(identity: Uint8Array) {
    const { raw } = privateKeyOf(identity)
    const [d, x] = [base64(raw.subarray(0, 32)), base64(raw.subarray(32, 64))]
    this.self = peerIdOf(identity)
    this.#key = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' })
  }

  sign(bytes: Uint8Array): Uint8Array {
    return new Uint8Array(sign(null, bytes, this.#key))
  }

  verify(peer: PeerId, bytes: Uint8Array, signature: Uint8Array): boolean {
    const key = this.#keyOf(peer)
    return key !== undefined && signature.byteLength === signatureBytes && verify(null, bytes, key, signature)
  }

  #keyOf(peer: PeerId): KeyObject | undefined {
    const known = this.#others.get(peer)
    if (known) return known
    const key = publicKeyOf(peer)
    if (key) this.#others.set(peer, key)
    return key
  }
}

function publicKeyOf(peer: PeerId): KeyObject | undefined {
  try {
    const id = libp2pPeerId(peer)
    // Other ways to write the same id would be other peers to everybody who compares text.
    if (id.type !== 'Ed25519' || id.toString() !== peer) return undefined
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64(id.publicKey.raw) }, format: 'jwk' })
  } catch {
    return undefined
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
