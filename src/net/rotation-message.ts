// A rotation as it travels and is kept: dag-cbor of its body and the rotator's signature over it. What comes from elsewhere
// is checked field by field before anybody acts on it.
import * as dagCbor from '@ipld/dag-cbor'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Signer } from '../core/ports.ts'
import { NetError } from './errors.ts'
import { decodeMap, isCount, isPeerList, isSecret, type Rotation } from './secrets.ts'

// So that no other signed message of a peer can be taken for a rotation.
const purpose = new TextEncoder().encode('potluck rotation 1\n')

export function signRotation(signer: Signer, rotation: Rotation): Uint8Array {
  const body = dagCbor.encode({ ...rotation })
  return dagCbor.encode({ body, signature: signer.sign(Buffer.concat([purpose, body])) })
}

/** Reads a rotation that another peer gave. Throws ROTATION_REFUSED unless its rotator has signed it. */
export function openRotation(signer: Signer, signed: Uint8Array): Rotation {
  const { body, signature } = decodeMap(signed) ?? {}
  const rotation = decodeRotation(signed)
  const genuine =
    rotation !== undefined &&
    body instanceof Uint8Array &&
    signature instanceof Uint8Array &&
    signer.verify(rotation.by, Buffer.concat([purpose, body]), signature)
  if (!genuine) throw new NetError('ROTATION_REFUSED', 'this new secret is not signed by the member who made it')
  return rotation
}

/** The body of a rotation, signature unchecked: for one that was checked when it came. Undefined for anything else. */
export function decodeRotation(signed: Uint8Array): Rotation | undefined {
  const { body } = decodeMap(signed) ?? {}
  const fields = body instanceof Uint8Array ? (decodeMap(body) ?? {}) : {}
  const { by, generation, secret, members, excluded, startedMs } = fields
  const sound =
    typeof by === 'string' &&
    by.length <= limits.peerIdCharactersMax &&
    isCount(generation) &&
    isSecret(secret) &&
    isPeerList(members) &&
    isPeerList(excluded) &&
    isCount(startedMs)
  return sound ? { by: by as PeerId, generation, secret, members, excluded, startedMs } : undefined
}
