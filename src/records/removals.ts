// Removed keys take room until everybody has forgotten what was removed. A removal is deleted once it is thirty days old and
// every owner has said that it has it in this very version; the primary owner asks, and then tells all to delete it. An owner
// that was not there keeps it from happening, so nothing that one of them still holds comes back.
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { Carried, KeyHash, Request } from './messages.ts'
import type { Peers } from './peers.ts'
import type { Replica } from './replica.ts'
import type { Rings } from './rings.ts'
import { expect } from './sync.ts'
import { hashOfRecord } from './tree.ts'

export interface RemovalsDeps {
  membership: Membership
  rings: Rings
  replica: Replica
  peers: Peers
  clock: Clock
  log: Log
}

export class RemovalsWorker implements Worker {
  readonly name = 'removals'
  readonly #deps: RemovalsDeps
  #deleted = 0

  constructor(deps: RemovalsDeps) {
    this.#deps = deps
  }

  status(): string {
    return `deleted ${this.#deleted} removed keys for good`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { rings, replica, clock } = this.#deps
    const later: StepResult = { next: 'later', delayMs: times.removalsEveryMs }
    // While a hand-off runs there are more who may have an older version.
    if (rings.earlier.length > 0) return later
    const beforeMs = clock.nowMs() - times.removalsKeptMs
    const byPartition = new Map<number, Carried[]>()
    let count = 0
    for (const { partition, key, bytes } of replica.removedBefore(beforeMs)) {
      if (!this.#isPrimary(partition)) continue
      byPartition.set(partition, [...(byPartition.get(partition) ?? []), [key, bytes]])
      if (++count === limits.recordsCarried) break
    }
    for (const [partition, records] of byPartition) {
      if (signal.aborted) break
      try {
        await this.#delete(rings.owners(partition), records, signal)
      } catch (error) {
        this.#deps.log.debug(`removed keys of partition ${partition} are kept on: ${sentenceOf(error)}`)
      }
    }
    return later
  }

  async #delete(owners: readonly PeerId[], records: readonly Carried[], signal: AbortSignal): Promise<void> {
    const { peers, membership } = this.#deps
    const put: Request = { type: 'put', records, missing: [], tells: true, known: false }
    const confirmed = new Set(records.map(([key]) => key))
    const others = owners.filter((owner) => owner !== membership.self)
    for (const owner of others) {
      const answer = expect(await peers.ask(owner, put, { signal }), 'kept')
      if (!answer.isOwner) return
      for (const [index, [key]] of records.entries()) if (answer.news[index] !== null) confirmed.delete(key)
    }
    const keys = records.flatMap(([key, bytes]): KeyHash[] =>
      confirmed.has(key) ? [[key, hashOfRecord(key, bytes)]] : [],
    )
    if (keys.length === 0) return
    for (const owner of [...others, membership.self]) await peers.ask(owner, { type: 'drop', keys }, { signal })
    this.#deleted += keys.length
  }

  #isPrimary(partition: number): boolean {
    return this.#deps.rings.owners(partition)[0] === this.#deps.membership.self
  }
}
