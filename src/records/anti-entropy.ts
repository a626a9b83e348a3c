// Anti-entropy: two owners of the same partitions compare one hash over all of them, and go down only where it differs: to
// groups of partitions, to partitions, to keys. So equal stores cost one small question, and whatever was missed by writes,
// hints and repairs is found in the end. One co-owner a step, in turn.
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits, partitionCount } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { PartitionRange } from './messages.ts'
import type { Peers } from './peers.ts'
import type { Presence } from './presence.ts'
import { sameBytes } from './record.ts'
import type { Replica } from './replica.ts'
import type { Rings } from './rings.ts'
import { expect, syncPartition } from './sync.ts'

export interface AntiEntropyDeps {
  membership: Membership
  rings: Rings
  replica: Replica
  presence: Presence
  peers: Peers
  clock: Clock
  random: Random
}

export class AntiEntropyWorker implements Worker {
  readonly name = 'anti-entropy'
  readonly #deps: AntiEntropyDeps
  #last: PeerId | undefined
  #doing = 'has not compared anything yet'

  constructor(deps: AntiEntropyDeps) {
    this.#deps = deps
  }

  status(): string {
    return this.#doing
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { random, presence } = this.#deps
    const peer = this.#next()
    if (peer) {
      const partitions = await this.compareWith(peer, signal)
      // They agree on the ring, or they would not have compared.
      const { replica, rings } = this.#deps
      await presence.met(replica.tree.held().every((partition) => rings.isOwner(partition)))
      this.#doing = partitions === 0 ? `the same as ${peer}` : `mended ${partitions} partitions with ${peer}`
    } else this.#doing = 'no other owner is there to compare with'
    await presence.compared(peer)
    if (presence.isFilling) return { next: 'later', delayMs: times.fillEveryMs }
    // Not in step with everybody else.
    return { next: 'later', delayMs: times.antiEntropyEveryMs * (0.5 + random.unit()) }
  }

  /** Makes all partitions shared with a peer equal; returns how many differed. Throws what calls throw. */
  async compareWith(peer: PeerId, signal: AbortSignal): Promise<number> {
    let differing = await this.#differing(peer, [[0, partitionCount]], signal)
    while (differing.some(([from, to]) => to - from > 1)) {
      const parts = differing.flatMap(split)
      differing = []
      for (let at = 0; at < parts.length; at += limits.recordRangesMax)
        differing.push(...(await this.#differing(peer, parts.slice(at, at + limits.recordRangesMax), signal)))
    }
    for (const [partition] of differing) await syncPartition(this.#deps, peer, partition, { signal })
    return differing.length
  }

  async #differing(peer: PeerId, ranges: PartitionRange[], signal: AbortSignal): Promise<PartitionRange[]> {
    const { peers, rings, replica } = this.#deps
    const answer = expect(await peers.ask(peer, { type: 'hashes', ranges }, { signal }), 'hashes')
    return ranges.filter((range, index) => {
      const own = replica.tree.hashOver(rings.sharedWithin(peer, range))
      const other = answer.hashes[index]
      return other !== undefined && !sameBytes(own, other)
    })
  }

  /** The co-owner after the last one, among those alive. */
  #next(): PeerId | undefined {
    const { membership } = this.#deps
    const others = membership
      .members()
      .filter(
        ({ peer, liveness, state, capacity }) =>
          peer !== membership.self && liveness !== 'dead' && state === 'joined' && capacity > 0,
      )
      .map(({ peer }) => peer)
    const last = this.#last
    this.#last = others.find((peer) => last !== undefined && peer > last) ?? others[0]
    return this.#last
  }
}

function split([from, to]: PartitionRange): PartitionRange[] {
  const size = Math.ceil((to - from) / limits.recordRangesMax)
  const parts: PartitionRange[] = []
  for (let at = from; at < to; at += size) parts.push([at, Math.min(at + size, to)])
  return parts
}
