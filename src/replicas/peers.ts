// Asking a member, this peer included, about pins. Whoever answers also says what time it has and how much it holds, which is
// remembered here.
import type { Abortable } from '../base/abort.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Calls } from '../core/ports.ts'
import type { ClusterTime } from './cluster-time.ts'
import { ReplicasError } from './errors.ts'
import { type Answer, decodeAnswer, encodeRequest, type Request } from './messages.ts'

export interface PeersDeps {
  self: PeerId
  calls: () => Calls
  time: ClusterTime
  /** What this peer itself answers. */
  local: (request: Request, from: PeerId) => Promise<Answer>
}

type Kind = Answer['kind']

export class Peers {
  readonly #deps: PeersDeps
  readonly #usedBytes = new Lru<PeerId, number>(limits.membersMax)

  constructor(deps: PeersDeps) {
    this.#deps = deps
  }

  /** Throws what Calls throws, and PIN_INVALID for an answer of another kind. */
  async ask<K extends Kind>(
    peer: PeerId,
    request: Request,
    kind: K,
    options: Abortable & { timeoutMs?: number } = {},
  ): Promise<Answer & { kind: K }> {
    const { self, calls, local, time } = this.#deps
    const answer =
      peer === self
        ? await local(request, self)
        : decodeAnswer(await calls().call(peer, encodeRequest(request), options))
    if (peer !== self) time.heard(peer, answer.nowMs)
    this.#usedBytes.set(peer, answer.usedBytes)
    if (answer.kind !== kind) throw new ReplicasError('PIN_INVALID', `${peer} answered something else`)
    return answer as Answer & { kind: K }
  }

  /** What a member said last; undefined if it has not been asked. */
  usedBytes(peer: PeerId): number | undefined {
    return this.#usedBytes.get(peer)
  }
}
