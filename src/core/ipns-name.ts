// IPNS names: the PeerId of whoever publishes, written as a CID (`k51…`) or in base58 (`12D3KooW…`). Names of Ed25519 keys
// only: they carry the key in themselves, so that a record can be checked without looking anything up.
// Format: https://specs.ipfs.tech/ipns/ipns-record/#ipns-name
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { CoreError } from './block.ts'
import type { PeerId } from './peer.ts'
import { keyMultihashOf } from './peer-id.ts'
import { pathOf } from './ref.ts'

const libp2pKeyCodec = 0x72
const routingPrefix = new TextEncoder().encode('/ipns/')
/** An identity multihash of 36 bytes that hold libp2p's protobuf of an Ed25519 key: type 1, 32 bytes of key. */
const keyPrefix = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
const multihashBytes = keyPrefix.byteLength + 32

/** What `/ipns/NAME/a/b` says. */
export interface IpnsRef {
  peer: PeerId
  path: string[]
}

/** `/ipns/NAME[/path]` or `ipns://NAME[/path]`; undefined for all other texts. Throws REF_INVALID. */
export function parseIpnsRef(text: string): IpnsRef | undefined {
  const bare = /^(?:\/ipns\/|ipns:\/\/)(.*)$/s.exec(text)?.[1]
  if (bare === undefined) return undefined
  const [name = '', ...rest] = bare.split('/')
  return { peer: parseIpnsName(name), path: pathOf(rest, text) }
}

/** A name in any of its forms, alone or as `/ipns/NAME`. Throws REF_INVALID. */
export function parseIpnsName(text: string): PeerId {
  const name = text.replace(/^(?:\/ipns\/|ipns:\/\/)/, '').replace(/\/$/, '')
  const multihash = keyMultihashOf(name)
  if (multihash && isEd25519(multihash)) return base58btc.baseEncode(multihash) as PeerId
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name
  const why = multihash ? 'is the name of a key that is not Ed25519, which potluck does not read' : whatNameIs(name)
  throw new CoreError('REF_INVALID', `'${shown}' ${why}`)
}

/** As people write it: `k51…`, a CID in base 36. */
export function formatIpnsName(peer: PeerId): string {
  const multihash = Digest.decode(base58btc.baseDecode(peer))
  return CID.createV1(libp2pKeyCodec, multihash).toString(base36)
}

/** The key under which routing systems keep the record. */
export function ipnsKeyOf(peer: PeerId): Uint8Array {
  return Buffer.concat([routingPrefix, base58btc.baseDecode(peer)])
}

/** The publisher that a routing key names; undefined if it is no Ed25519 key. */
export function ipnsPeerOf(key: Uint8Array): PeerId | undefined {
  const multihash = key.subarray(routingPrefix.byteLength)
  const isIpns = Buffer.compare(key.subarray(0, routingPrefix.byteLength), routingPrefix) === 0
  return isIpns && isEd25519(multihash) ? (base58btc.baseEncode(multihash) as PeerId) : undefined
}

function isEd25519(multihash: Uint8Array): boolean {
  return multihash.byteLength === multihashBytes && keyPrefix.every((byte, at) => multihash[at] === byte)
}

function whatNameIs(name: string): string {
  return name.includes('.')
    ? 'is a DNS name; potluck resolves names of keys only, which look like k51…'
    : 'is not an IPNS name; one looks like k51… or 12D3KooW…'
}
