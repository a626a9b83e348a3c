// Sealing of broadcasts. Gossip passes through peers that are no members, hubs above all, so members seal what they say with a
// key that only members have: ChaCha20-Poly1305 (RFC 8439) under a random nonce, bound to topic and author. What was sealed
// by nobody of the cluster does not open, so strangers cannot speak either.
import { createCipheriv, createDecipheriv } from 'node:crypto'

const nonceBytes = 12
const tagBytes = 16
const cipher = 'chacha20-poly1305'
const options = { authTagLength: tagBytes }

/** What a sealed message is bound to. */
export interface Envelope {
  topic: string
  /** PeerId of its author, as gossip has proven it. */
  from: string
}

/** `nonce` must be new for every message of a key: 12 random bytes are, for some thousand million messages. */
export function seal(key: Uint8Array, nonce: Uint8Array, envelope: Envelope, plain: Uint8Array): Uint8Array {
  const sealing = createCipheriv(cipher, key, nonce, options)
  sealing.setAAD(boundTo(envelope), { plaintextLength: plain.byteLength })
  const body = sealing.update(plain)
  sealing.final()
  return new Uint8Array(Buffer.concat([nonce, body, sealing.getAuthTag()]))
}

/** The plain bytes; undefined if this key has not sealed them for this envelope. */
export function unseal(key: Uint8Array, envelope: Envelope, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.byteLength < nonceBytes + tagBytes) return undefined
  const body = sealed.subarray(nonceBytes, -tagBytes)
  const opening = createDecipheriv(cipher, key, sealed.subarray(0, nonceBytes), options)
  opening.setAAD(boundTo(envelope), { plaintextLength: body.byteLength })
  opening.setAuthTag(sealed.subarray(-tagBytes))
  const plain = opening.update(body)
  try {
    opening.final()
  } catch {
    return undefined
  }
  return new Uint8Array(plain.buffer, plain.byteOffset, plain.byteLength)
}

function boundTo({ topic, from }: Envelope): Uint8Array {
  return new TextEncoder().encode(`${from} ${topic}`)
}
