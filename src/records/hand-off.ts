// Hand-off: after the ring has changed, what this peer holds and others own now goes to all of them, partition by partition.
// A partition is deleted here only when every one of its owners has confirmed that it keeps everything that was in it. The
// same worker finds out when everybody has done so, and the earlier ring may be forgotten.
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { Laws } from './laws.ts'
import type { Peers } from './peers.ts'
import type { Presence } from './presence.ts'
import type { Replica } from './replica.ts'
import type { Rings } from './rings.ts'
import { expect, sendPartition } from './sync.ts'

export interface HandOffDeps {
  membership: Membership
  rings: Rings
  replica: Replica
  peers: Peers
  laws: Laws
  presence: Presence
  log: Log
}

export class HandOffWorker implements Worker {
  readonly name = 'hand-off'
  readonly #deps: HandOffDeps
  wake: () => void = () => {}

  constructor(deps: HandOffDeps) {
    this.#deps = deps
  }

  onWork(wake: () => void): void {
    this.wake = wake
  }

  status(): string {
    const left = this.toHandOver().length
    if (left > 0) return `handing over ${left} partitions`
    const open = this.#deps.rings.earlier.length
    return open > 0 ? 'all handed over; waiting for others to say the same' : 'holds what it owns'
  }

  /** Partitions that are held here and owned by others only. */
  toHandOver(): number[] {
    return this.#deps.replica.tree.held().filter((partition) => !this.#deps.rings.isOwner(partition))
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { rings } = this.#deps
    await rings.update()
    const { epoch } = rings
    let waiting = 0
    const partitions = this.toHandOver()
    for (let at = 0; at < partitions.length && waiting < limits.handOffFailuresMax; at += limits.handOffInFlight) {
      if (signal.aborted || rings.epoch !== epoch) return { next: 'now' }
      const some = partitions.slice(at, at + limits.handOffInFlight)
      const gone = await Promise.all(some.map((partition) => this.#handOver(partition, signal)))
      waiting += gone.filter((isGone) => !isGone).length
    }
    if (rings.earlier.length > 0) await rings.settle(await this.#done(signal), epoch)
    const isBusy = waiting > 0 || rings.earlier.length > 0
    return { next: 'later', delayMs: isBusy ? times.handOffRetryMs : times.handOffPollMs }
  }

  /** True if the partition is gone from here. */
  async #handOver(partition: number, signal: AbortSignal): Promise<boolean> {
    const { rings, replica, laws, log } = this.#deps
    // Without any owner there is nobody to hold it instead.
    const owners = rings.owners(partition)
    if (owners.length === 0) return false
    const hash = replica.tree.hashOf(partition)
    for (const owner of laws.confirmers(owners)) {
      if (this.#deps.membership.member(owner)?.liveness === 'dead') return false
      try {
        await sendPartition(this.#deps, owner, partition, { known: this.#deps.presence.wasAway, signal })
      } catch (error) {
        log.debug(`partition ${partition} was not handed to ${owner}: ${sentenceOf(error)}`)
        return false
      }
    }
    if (rings.isOwner(partition)) return false
    return await replica.giveUp(partition, hash)
  }

  /** Members that hold nothing any more that others own. */
  async #done(signal: AbortSignal): Promise<Set<PeerId>> {
    const { membership, rings, peers } = this.#deps
    const done = new Set<PeerId>()
    if (this.toHandOver().length === 0) done.add(membership.self)
    const asked = new Set(rings.earlier.flatMap(({ members }) => members.map(({ peer }) => peer)))
    for (const peer of [...asked].sort()) {
      if (peer === membership.self || membership.member(peer)?.liveness !== 'alive') continue
      try {
        if (expect(await peers.ask(peer, { type: 'settled' }, { signal }), 'done').isDone) done.add(peer)
      } catch (error) {
        this.#deps.log.debug(`${peer} did not say whether it has handed over: ${sentenceOf(error)}`)
      }
    }
    return done
  }
}
