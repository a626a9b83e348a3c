// The identity of a peer: an Ed25519 private key in libp2p's protobuf form (68 bytes), whose public half is the PeerId.
// Here it is made and read; where it is kept is not known here.
import { generateKeyPairSync } from 'node:crypto'
import { privateKeyFromProtobuf, privateKeyFromRaw, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { PeerId } from '../core/peer.ts'
import { NetError } from './errors.ts'

/** A new identity, as the bytes to keep. Whoever has them is this peer. */
export function newIdentity(): Uint8Array {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const raw = Buffer.concat([Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')])
  return privateKeyToProtobuf(privateKeyFromRaw(new Uint8Array(raw)))
}

/** The PeerId of an identity. Throws IDENTITY_INVALID. */
export function peerIdOf(identity: Uint8Array): PeerId {
  return peerIdFromPrivateKey(privateKeyOf(identity)).toString() as PeerId
}

/** libp2p's form of an identity. Throws IDENTITY_INVALID. */
export function privateKeyOf(identity: Uint8Array): Ed25519PrivateKey {
  try {
    const key = privateKeyFromProtobuf(identity)
    if (key.type === 'Ed25519') return key
  } catch {
    // Falls through to the one sentence that helps.
  }
  throw new NetError(
    'IDENTITY_INVALID',
    "the identity key is damaged (it must hold an Ed25519 key, 68 bytes); restore 'identity.key' from a backup, or move it away to become a new peer",
  )
}
