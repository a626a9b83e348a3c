// Asking other members. A request is encoded once, however many it goes to; a member that sees another ring is brought to
// agree first. When it is this peer that was behind, RING_CHANGED is thrown: whoever asked must plan anew.
import type { Abortable } from '../base/abort.ts'
import type { PeerId } from '../core/peer.ts'
import type { Calls, Membership } from '../core/ports.ts'
import { RecordsError, type RecordsErrorCode } from './errors.ts'
import { type Answer, decodeAnswer, encodeRequest, type Request } from './messages.ts'
import type { Rings } from './rings.ts'

export interface PeersDeps {
  membership: Membership
  rings: Rings
  calls: Calls
  /** Answers a request of this peer to itself. */
  local: (request: Request) => Promise<Answer>
}

export class Peers {
  readonly #deps: PeersDeps
  readonly #encoded = new WeakMap<Request, { epoch: string; bytes: Uint8Array }>()

  constructor(deps: PeersDeps) {
    this.#deps = deps
  }

  /** Throws RING_CHANGED, what the other refused, and what calls throw. */
  async ask(peer: PeerId, request: Request, options: Abortable & { timeoutMs?: number } = {}): Promise<Answer> {
    const { membership, rings, calls, local } = this.#deps
    if (peer === membership.self) return await local(request)
    const { epoch } = rings
    const answer = accepted(decodeAnswer(await calls.call(peer, this.#bytesOf(request, epoch), options)))
    if (answer.type !== 'epoch') return answer
    membership.learn([...answer.claims])
    await rings.update()
    if (rings.epoch !== epoch) throw ringChanged()
    // The other is behind: it learns what is known here together with the request.
    const bytes = encodeRequest({ epoch, claims: membership.claims(), request })
    const second = accepted(decodeAnswer(await calls.call(peer, bytes, options)))
    if (second.type === 'epoch') throw ringChanged()
    return second
  }

  #bytesOf(request: Request, epoch: string): Uint8Array {
    const known = this.#encoded.get(request)
    if (known?.epoch === epoch) return known.bytes
    const bytes = encodeRequest({ epoch, claims: [], request })
    this.#encoded.set(request, { epoch, bytes })
    return bytes
  }
}

/** The sets of a `kept` answer or the set of a `record` one; anything else is not an answer to what was asked. */
export function setsOf(answer: Answer): readonly Uint8Array[] {
  if (answer.type === 'record') return answer.set ? [answer.set] : []
  return answer.type === 'kept' ? answer.news.filter((set) => set !== null) : []
}

const refusals = new Set<string>(['TOO_MANY_SIBLINGS', 'NOT_MEMBER'])

function accepted(answer: Answer): Answer {
  if (answer.type !== 'refused') return answer
  const code = refusals.has(answer.code) ? (answer.code as RecordsErrorCode) : 'RECORD_INVALID'
  throw new RecordsError(code, answer.sentence)
}

function ringChanged(): RecordsError {
  return new RecordsError('RING_CHANGED', 'members join or leave at this moment; try again', { retryable: true })
}
