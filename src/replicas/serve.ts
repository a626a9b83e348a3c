// Answering other members about pins. Only peers that have proven that they are members are answered at all; what they say of
// the pins that this peer drives or holds is believed as far as an audit or a look at the record cannot show it wrong.
import type { Clock } from '../base/clock.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { AnswerCall, BlockReader, Membership } from '../core/ports.ts'
import { answerAudit } from './audit.ts'
import type { DriverWorker } from './driver.ts'
import { ReplicasError } from './errors.ts'
import type { HolderWorker } from './holder.ts'
import type { Holdings } from './holdings.ts'
import type { KeeperWorker } from './keeper.ts'
import { type Answer, decodeRequest, encodeAnswer, type Request } from './messages.ts'
import { pinKey } from './pin.ts'
import type { Presence } from './presence.ts'
import { tellOf } from './telling.ts'

/** About what one place takes in a message. */
const bytesOfPlace = 256

export interface ServeDeps {
  membership: Membership
  store: BlockReader
  clock: Clock
  presence: Presence
  holdings: Holdings
  driver: DriverWorker
  holder: HolderWorker
  keeper: KeeperWorker
}

export function answerCalls(deps: ServeDeps): AnswerCall {
  return async (bytes, from) => {
    if (!deps.membership.proven(from))
      throw new ReplicasError(
        'NOT_MEMBER',
        'this peer has not seen a proof that you are a member; join the cluster first',
      )
    return encodeAnswer(await act(deps, decodeRequest(bytes), from))
  }
}

/** Does what a request asks, of this peer itself too. */
export async function act(deps: ServeDeps, request: Request, from: PeerId): Promise<Answer> {
  const { clock, holdings, driver, holder, keeper, store } = deps
  const head = () => ({ nowMs: clock.nowMs(), usedBytes: holdings.usedBytes })
  switch (request.kind) {
    case 'hold': {
      // Together, so that they are made durable together.
      const progress = await Promise.all(request.holdings.map((holding) => holder.hold(holding)))
      return { ...head(), kind: 'progress', progress }
    }
    case 'release':
      keeper.release(request.keys)
      return { ...head(), kind: 'noted' }
    case 'report':
      driver.reported(from, request.progress)
      return { ...head(), kind: 'noted' }
    case 'tell': {
      // What does not fit counts as not known, and is asked for again, alone or elsewhere.
      let roomBytes = limits.pinsCarriedBytes
      const told = request.keys.map((key) => {
        const one = roomBytes > 0 ? tellOf(deps, key) : undefined
        roomBytes -= one ? one.pin.byteLength + one.places.length * bytesOfPlace : 0
        return one
      })
      return { ...head(), kind: 'told', told }
    }
    case 'audit': {
      const hashes = await answerAudit(store, request.blocks, request.nonce)
      // What an audit finds missing is seldom all; and whoever asks has what it asks for.
      if (hashes.includes(undefined)) {
        for (const cid of request.blocks) holder.lacks(pinKey(cid), from)
        holder.doubtAllSoon()
      }
      return { ...head(), kind: 'hashes', hashes }
    }
    case 'used':
      return { ...head(), kind: 'noted' }
  }
}
