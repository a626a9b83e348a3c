// Handing a new cluster secret to the members. Whoever rotates makes it, signs who shall have it, puts it in force here and
// offers it to the others; each that takes it offers it on, so that members who slept get it from anybody. A secret travels
// only between proven members, encrypted by the connection, and only to those whom the rotator named.
//
// Two rotations at once end with one secret everywhere (`outranks`). Should the one that loses have shut somebody out whom
// the winner has not, its rotator rotates again.
import * as dagCbor from '@ipld/dag-cbor'
import type { Abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { openCalls } from '../core/calls.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Calls, Membership, Network, Signer } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { newSecret } from './admission.ts'
import { NetError } from './errors.ts'
import { decodeRotation, openRotation, signRotation } from './rotation-message.ts'
import {
  decodeMap,
  isCount,
  isSecret,
  outranks,
  type Rank,
  type Rotation,
  rankOf,
  rotated,
  type Secrets,
} from './secrets.ts'

export interface RotationDeps {
  network: Network
  membership: Membership
  signer: Signer
  clock: Clock
  random: Random
  log: Log
  /** The secrets in force; undefined in the open network. */
  secrets: () => Secrets | undefined
  /**
   * Makes secrets durable, then puts them in force. With `only`, connections to all other peers are closed. When it throws,
   * the old ones must still be in force.
   */
  adopt: (secrets: Secrets, options: { only: readonly PeerId[] | undefined }) => Promise<void>
}

export interface Rotated {
  generation: number
  /** Members that have the new secret. */
  reached: PeerId[]
  /** Members that did not answer; unless somebody was shut out, they get it when they come back in time. */
  missed: PeerId[]
}

const protocol = '/potluck/secret/1'

/** Answers offers of other members. The worker that it is offers the secret to members that come back. */
export async function openRotations(deps: RotationDeps): Promise<Rotations> {
  const rotations = new Rotations(deps)
  await rotations.open()
  return rotations
}

export class Rotations implements Worker, AsyncDisposable {
  readonly name = 'handing on the cluster secret'
  readonly #deps: RotationDeps
  #calls: Calls | undefined
  #stopListening = () => {}
  /** Members that are known to have the current secret. */
  readonly #told = new Set<PeerId>()
  /** Whom a rotation of ours has shut out that lost against one which has not. */
  #again: PeerId[] = []
  #last: Promise<unknown> = Promise.resolve()
  #wake = () => {}

  constructor(deps: RotationDeps) {
    this.#deps = deps
  }

  async open(): Promise<void> {
    const answer = (request: Uint8Array, from: PeerId) => this.#answer(request, from)
    this.#calls = await openCalls(this.#deps, { protocol, answer })
    this.#stopListening = this.#deps.network.onPeer(({ peer, connected }) => {
      // It may come back from a backup, with what it had then.
      if (connected && this.#told.delete(peer)) this.#wake()
    })
  }

  /**
   * Makes a new secret and hands it to all members but those excluded. Throws NOT_A_MEMBER for a hub or in the open network,
   * ROTATION_REFUSED for its own exclusion. Whoever is excluded need not be a member any more.
   */
  async rotate({ exclude }: { exclude: readonly PeerId[] }, options: Abortable = {}): Promise<Rotated> {
    const rotation = await this.#inTurn(() => this.#begin(exclude))
    const others = rotation.members.filter((peer) => peer !== this.#deps.network.self)
    const reached = await this.#offerAll(others, options)
    this.#wake()
    const missed = others.filter((peer) => !reached.includes(peer))
    return { generation: rotation.generation, reached, missed }
  }

  status(): string {
    const waiting = this.#waiting().length
    if (waiting === 0) return 'every member has the current secret'
    return `${waiting} members have not been seen since the secret was replaced`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const again = this.#again
    this.#again = []
    if (again.length > 0) await this.rotate({ exclude: again }, { signal })
    const waiting = this.#waiting()
    await this.#offerAll(
      waiting.filter((peer) => this.#deps.membership.proven(peer)),
      { signal },
    )
    return { next: 'later', delayMs: waiting.length > 0 ? times.rotationOfferMs : times.rotationOverlapMs }
  }

  onWork(wake: () => void): void {
    this.#wake = wake
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopListening()
    await this.#calls?.[Symbol.asyncDispose]()
  }

  async #begin(exclude: readonly PeerId[]): Promise<Rotation> {
    const { membership, random, clock, signer } = this.#deps
    const held = this.#held()
    if (held?.current.kind !== 'member')
      throw new NetError('NOT_A_MEMBER', 'only a member of a private cluster can replace its secret')
    if (exclude.includes(membership.self))
      throw refused("a peer cannot shut itself out; 'potluck leave' leaves the cluster")
    const members = membership.members().filter(({ state, peer }) => state !== 'left' || peer === membership.self)
    const rotation: Rotation = {
      by: membership.self,
      generation: held.generation + 1,
      secret: newSecret(random),
      members: members.map(({ peer }) => peer).filter((peer) => !exclude.includes(peer)),
      excluded: exclude,
      startedMs: clock.nowMs(),
    }
    await this.#adopt(held, rotation, signRotation(signer, rotation))
    return rotation
  }

  async #adopt(held: Secrets, rotation: Rotation, signed: Uint8Array): Promise<void> {
    const next = rotated(held, rotation, signed, this.#deps.clock.nowMs())
    const only = rotation.excluded.length > 0 ? rotation.members : undefined
    await this.#deps.adopt(next, { only })
    this.#told.clear()
    const lost = held.rotation && decodeRotation(held.rotation)
    if (lost?.by === this.#deps.network.self && lost.generation === rotation.generation)
      this.#again = lost.excluded.filter((peer) => rotation.members.includes(peer))
    this.#deps.log.info(`the cluster has a new secret (generation ${rotation.generation}), made by ${rotation.by}`)
    this.#wake()
  }

  async #answer(request: Uint8Array, from: PeerId): Promise<Uint8Array> {
    if (!this.#deps.membership.proven(from))
      throw new NetError('NOT_A_MEMBER', 'only members are told of the cluster secret', { retryable: true })
    const { have, take } = decodeMap(request) ?? {}
    if (take instanceof Uint8Array) {
      await this.#consider(take)
      return dagCbor.encode({})
    }
    const theirs = rankIn(have)
    if (!theirs) throw new NetError('ROTATION_REFUSED', 'this is no offer of a secret')
    const held = this.#held()
    if (!held) return dagCbor.encode({})
    const own = ownRank(held)
    if (outranks(theirs, own)) return dagCbor.encode({ want: true })
    if (!outranks(own, theirs)) this.#told.add(from)
    const given = outranks(own, theirs) && this.#rotationFor(from)
    return dagCbor.encode(given ? { take: given } : {})
  }

  /** Takes over a rotation if it is newer, sound, and meant for this peer. Throws ROTATION_REFUSED. */
  #consider(signed: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const { membership, signer, network } = this.#deps
      const rotation = openRotation(signer, signed)
      const held = this.#held()
      if (!held || held.current.kind === 'hub') throw refused('this peer is no member and takes no secrets')
      if (!outranks(rankOf(rotation), ownRank(held))) return
      if (rotation.generation > held.generation + limits.generationsAheadMax)
        throw refused('this secret is too many generations ahead')
      if (!membership.member(rotation.by)) throw refused(`${rotation.by}, who made this secret, is not a known member`)
      if (!rotation.members.includes(network.self)) throw refused('this secret is not meant for this peer')
      await this.#adopt(held, rotation, signed)
    })
  }

  /** Those who have the current secret afterwards. */
  async #offerAll(peers: readonly PeerId[], options: Abortable): Promise<PeerId[]> {
    const reached: PeerId[] = []
    const waiting = [...peers]
    const lane = async () => {
      for (let peer = waiting.shift(); peer && !options.signal?.aborted; peer = waiting.shift())
        if (await this.#offer(peer, options)) reached.push(peer)
    }
    await Promise.all(Array.from({ length: limits.rotationCallsMax }, lane))
    return reached
  }

  async #offer(peer: PeerId, options: Abortable): Promise<boolean> {
    const calls = this.#calls
    const held = this.#held()
    const signed = held && this.#rotationFor(peer)
    if (!calls || !held || !signed) return false
    try {
      const ask = async (message: object) => decodeMap(await calls.call(peer, dagCbor.encode(message), options)) ?? {}
      const { want, take } = await ask({ have: ownRank(held) })
      if (take instanceof Uint8Array) await this.#consider(take)
      else if (want === true) await ask({ take: signed })
      this.#told.add(peer)
      return true
    } catch (error) {
      this.#deps.log.debug(`offering the new secret to ${peer}: ${sentenceOf(error)}`)
      return false
    }
  }

  /** Members who shall have the current secret and may still be without it. */
  #waiting(): PeerId[] {
    const held = this.#held()
    const nowMs = this.#deps.clock.nowMs()
    if (!held?.rotation || !held.previous.some(({ untilMs }) => untilMs > nowMs)) return []
    const { members = [] } = decodeRotation(held.rotation) ?? {}
    return members.filter((peer) => peer !== this.#deps.network.self && !this.#told.has(peer))
  }

  #rotationFor(peer: PeerId): Uint8Array | undefined {
    const { rotation } = this.#held() ?? {}
    return rotation && decodeRotation(rotation)?.members.includes(peer) ? rotation : undefined
  }

  #held(): Secrets | undefined {
    return this.#deps.secrets()
  }

  // One change at a time: each decides by what the one before it has left. As many wait as offers are being answered.
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}

function ownRank({ generation, current, rotation }: Secrets): Rank {
  const excluded = (rotation && decodeRotation(rotation)?.excluded) ?? []
  return rankOf({ generation, secret: current.bytes, excluded })
}

function rankIn(value: unknown): Rank | undefined {
  const { generation, excludes, hash } = (value ?? {}) as Record<string, unknown>
  return isCount(generation) && typeof excludes === 'boolean' && isSecret(hash)
    ? { generation, excludes, hash }
    : undefined
}

function refused(sentence: string): NetError {
  return new NetError('ROTATION_REFUSED', sentence)
}
