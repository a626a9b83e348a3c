// The keys that a running host accepts: one security protocol for each secret that may connect now. They change while the
// host runs; connections that stand are not touched by that. Who comes with an old secret must be one of those that it still
// admits, and Noise has proven who that is.
//
// A proof of membership is one HMAC for each secret held, so that a member who has not heard of the newest can check it.
import type { ConnectionEncrypter, MessageStream, SecuredConnection } from '@libp2p/interface'
import { type NoiseComponents, noise } from '@libp2p/noise'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Admission } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { type ClusterKeys, hubToken, memberProof, provesMember, securityProtocol } from './admission.ts'
import { NetError } from './errors.ts'
import { seal, unseal } from './seal.ts'
import { keysOf, type PreviousSecret, type Secrets } from './secrets.ts'

interface Ring {
  keys: ClusterKeys
  /** Undefined for the current secret, which has no end. */
  old: { untilMs: number; members: ReadonlySet<PeerId>; bootstrap: boolean } | undefined
}

const proofBytes = 32

/** In the open network nobody is a member of anything: each peer is a cluster of one. */
export const noAdmission: Admission = { proof: () => undefined, proves: () => false }

export class Keyring implements Admission {
  readonly #clock: Clock
  readonly #random: Random
  readonly #self: PeerId
  readonly #bootstrap: ReadonlySet<PeerId>
  #secrets: Secrets
  #rings: Ring[]
  #components: NoiseComponents | undefined
  #cancelTimer = () => {}

  /** `bootstrap`: peers whose addresses the user has set. Throws SECRET_INVALID. */
  constructor(
    deps: { clock: Clock; random: Random },
    options: { self: PeerId; secrets: Secrets; bootstrap: PeerId[] },
  ) {
    this.#clock = deps.clock
    this.#random = deps.random
    this.#self = options.self
    this.#bootstrap = new Set(options.bootstrap)
    this.#secrets = options.secrets
    this.#rings = ringsOf(options.secrets)
  }

  get secrets(): Secrets {
    return this.#secrets
  }

  /** Tells the current secret from others. */
  get keyId(): string {
    return this.#rings[0]!.keys.keyId
  }

  /** What libp2p is given; the other encrypters follow with `apply`, once there is an upgrader. */
  attach(components: NoiseComponents): ConnectionEncrypter {
    this.#components = components
    return this.#encrypter(this.#rings[0]!, components)
  }

  /** From now on these secrets connect, and no others. */
  change(secrets: Secrets): void {
    this.#secrets = secrets
    this.#rings = ringsOf(secrets)
    this.apply()
  }

  /** Gives libp2p an encrypter for each secret that connects now, and again when one of them ends. */
  apply(): void {
    const components = this.#components
    if (!components) return
    this.close()
    const ends = this.#live().flatMap(({ old }) => old?.untilMs ?? [])
    if (ends.length > 0) {
      const delayMs = Math.min(...ends) - this.#clock.nowMs()
      this.#cancelTimer = this.#clock.timer(Math.min(delayMs, times.rotationOverlapMs), () => this.apply())
    }
    // In order: a dialer asks for the newest first.
    const encrypters = components.upgrader.getConnectionEncrypters()
    encrypters.clear()
    for (const ring of this.#live()) {
      const encrypter = this.#encrypter(ring, components)
      if (!encrypters.has(encrypter.protocol)) encrypters.set(encrypter.protocol, encrypter)
    }
  }

  /** Ends the timer. */
  close(): void {
    this.#cancelTimer()
  }

  proof(): Uint8Array | undefined {
    const proofs = this.#live().flatMap(({ keys }) => (keys.memberKey ? [memberProof(keys.memberKey, this.#self)] : []))
    return proofs.length > 0 ? new Uint8Array(Buffer.concat(proofs)) : undefined
  }

  proves(peer: PeerId, proof: Uint8Array): boolean {
    const { byteLength } = proof
    if (byteLength % proofBytes !== 0 || byteLength > (limits.secretsKeptMax + 1) * proofBytes) return false
    let proven = false
    for (const { keys, old } of this.#live()) {
      const admitted = keys.memberKey !== undefined && (old === undefined || old.members.has(peer))
      for (let at = 0; at < byteLength; at += proofBytes) {
        const matches = provesMember(keys.memberKey ?? nobodysKey, peer, proof.subarray(at, at + proofBytes))
        proven ||= admitted && matches
      }
    }
    return proven
  }

  /** What opens the index of a hub of this network: of all secrets that connect now, that of the current one first. */
  hubTokens(): string[] {
    return this.#live().map(({ keys }) => hubToken(keys.networkKey))
  }

  /** Seals a broadcast for the members. Throws NOT_A_MEMBER for a hub. */
  seal(topic: string, plain: Uint8Array): Uint8Array {
    const { gossipKey } = this.#rings[0]!.keys
    if (!gossipKey) throw new NetError('NOT_A_MEMBER', 'a hub passes broadcasts on and has none of its own')
    return seal(gossipKey, this.#random.bytes(12), { topic, from: this.#self }, plain)
  }

  /** The bytes of a broadcast; undefined unless its author is a member. */
  unseal(topic: string, from: PeerId, sealed: Uint8Array): Uint8Array | undefined {
    for (const { keys, old } of this.#live()) {
      if (!keys.gossipKey || (old && !old.members.has(from))) continue
      const plain = unseal(keys.gossipKey, { topic, from }, sealed)
      if (plain) return plain
    }
    return undefined
  }

  #live(): Ring[] {
    const nowMs = this.#clock.nowMs()
    return this.#rings.filter(({ old }) => old === undefined || old.untilMs > nowMs)
  }

  #admits({ old }: Ring, peer: PeerId): boolean {
    if (!old) return true
    const known = old.members.has(peer) || (old.bootstrap && this.#bootstrap.has(peer))
    return known && this.#clock.nowMs() < old.untilMs
  }

  #encrypter(ring: Ring, components: NoiseComponents): ConnectionEncrypter {
    const plain = noise({ prologueBytes: ring.keys.networkKey })(components)
    const checked = async (stream: MessageStream, securing: Promise<SecuredConnection>) => {
      const secured = await securing
      if (this.#admits(ring, secured.remotePeer.toString() as PeerId)) return secured
      const refusal = new NetError('OTHER_NETWORK', 'not admitted: this peer comes with a secret that was replaced')
      stream.abort(refusal)
      throw refusal
    }
    return {
      protocol: securityProtocol(ring.keys.keyId),
      secureInbound: (stream, options) => checked(stream, plain.secureInbound(stream, options)),
      secureOutbound: (stream, options) => checked(stream, plain.secureOutbound(stream, options)),
    }
  }
}

const nobodysKey = new Uint8Array(32)

function ringsOf({ current, previous }: Secrets): Ring[] {
  return [{ keys: keysOf(current), old: undefined }, ...previous.map(oldRing)]
}

function oldRing({ secret, untilMs, members, bootstrap }: PreviousSecret): Ring {
  return { keys: keysOf({ kind: 'member', bytes: secret }), old: { untilMs, members: new Set(members), bootstrap } }
}
