// The worker that delivers hints: once an owner is alive again it gets every record that it has missed, as it is now. A hint
// goes only when the owner has said that it keeps the record; being delivered twice does no harm.
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { Request } from './messages.ts'
import type { Peers } from './peers.ts'
import type { Replica } from './replica.ts'
import type { Rings } from './rings.ts'
import { batches, expect } from './sync.ts'

export interface HintsDeps {
  membership: Membership
  rings: Rings
  replica: Replica
  peers: Peers
  clock: Clock
  log: Log
}

export class HintsWorker implements Worker {
  readonly name = 'hints'
  readonly #deps: HintsDeps
  #delivering: PeerId | undefined
  wake: () => void = () => {}

  constructor(deps: HintsDeps) {
    this.#deps = deps
  }

  onWork(wake: () => void): void {
    this.wake = wake
  }

  status(): string {
    const { hints } = this.#deps.replica
    if (hints.size === 0) return 'nobody has missed anything'
    const doing = this.#delivering ? `delivering to ${this.#delivering}` : 'waiting for them to come back'
    return `${hints.size} records were missed by ${hints.owners().length} members; ${doing}`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { replica, membership } = this.#deps
    let hasMore = false
    for (const owner of replica.hints.owners()) {
      if (signal.aborted) break
      if (this.#isAway(owner)) continue
      this.#delivering = owner
      try {
        hasMore ||= await this.#deliver(owner, signal)
      } catch (error) {
        this.#deps.log.debug(`hints for ${owner} were not delivered: ${sentenceOf(error)}`)
      }
      this.#delivering = undefined
    }
    if (membership.members().length < 2) return { next: 'later', delayMs: times.hintsPollMs }
    return hasMore ? { next: 'now' } : { next: 'later', delayMs: times.hintsPollMs }
  }

  /** One batch; true if there is more. */
  async #deliver(owner: PeerId, signal: AbortSignal): Promise<boolean> {
    const { replica, peers } = this.#deps
    const keys = replica.hints.keysOf(owner, limits.recordsCarried)
    const owned = keys.filter((key) => this.#isTheirs(key, owner))
    for (const key of keys) if (!owned.includes(key)) await this.#redirect(key, owner)
    for (const records of batches(owned, (key) => replica.bytesOf(key))) {
      const request: Request = { type: 'put', records, missing: [], tells: true, known: false }
      const answer = expect(await peers.ask(owner, request, { signal }), 'kept')
      if (!answer.isOwner) return false
      for (const [index, [key, set]] of records.entries()) {
        const news = answer.news[index]
        await replica.delivered(key, owner, set, news ?? undefined)
      }
    }
    return keys.length === limits.recordsCarried
  }

  // Somebody else owns the key by now: they get it instead. If this peer is one of them, its copy is an owner's from now on;
  // the other owners find it when they compare.
  async #redirect(key: string, owner: PeerId): Promise<void> {
    const { replica, rings, membership } = this.#deps
    const bytes = replica.bytesOf(key)
    const owners = rings.owners(partitionOf(key)).filter((peer) => peer !== membership.self)
    if (bytes) await replica.merge(key, bytes, rings.isOwner(partitionOf(key)) ? [] : owners)
    if (bytes) await replica.delivered(key, owner, bytes, undefined)
  }

  #isTheirs(key: string, owner: PeerId): boolean {
    return this.#deps.rings.isOwner(partitionOf(key), owner)
  }

  #isAway(owner: PeerId): boolean {
    const member = this.#deps.membership.member(owner)
    // Whoever was forgotten gets nothing any more; redirecting does not need them.
    return member !== undefined && member.state === 'joined' && member.liveness === 'dead'
  }
}
