// Announcing: the DHT is told which roots this peer provides, and told again before it forgets. The announcer keeps the
// roots in a durable table and works through them region by region (sweep.ts says why); a new root goes first. Cost grows
// with the size of the network, not with the number of roots, and a restart goes on where the last run stopped.
//
// It does not check that the blocks are here, and withdrawing a root only stops announcing it: what servers have recorded
// expires by itself, 48 hours after the last announcement.
import type { CID } from 'multiformats/cid'
import { type Abortable, withDeadline } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { inlineBytes } from '../core/block.ts'
import { dhtKey } from '../core/dht-key.ts'
import { limits } from '../core/limits.ts'
import type { Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { formatTime } from '../core/units.ts'
import { type ExploreDeps, explore, type Region } from './explore.ts'
import { isWithin, positionOf, positionOfPeer, prefixOf, startOf } from './keyspace.ts'
import { Roots } from './roots.ts'
import { type Assignment, afterAnnouncing, assign, nextSlotMs, postponed, type Root, type Server } from './sweep.ts'

export interface AnnouncerDeps extends ExploreDeps {
  table: Table
  log: Log
}

export interface Announcer {
  /** Resolves when it is durable that this root is ours to announce; the worker announces it as soon as there are servers. */
  announce(cid: CID, options?: Abortable): Promise<void>
  /** Resolves when it is durable that this root is not announced again. */
  withdraw(cid: CID, options?: Abortable): Promise<void>
  /** Does the announcing, one region a step. */
  readonly worker: Worker
}

export async function openAnnouncer(deps: AnnouncerDeps): Promise<Announcer> {
  const roots = new Roots(deps.table)
  const worker = new AnnouncingWorker(deps, roots)
  return {
    worker,
    async announce(cid, { signal } = {}) {
      signal?.throwIfAborted()
      // An identity CID has its content in itself: nobody looks for it.
      if (inlineBytes(cid)) return
      const key = dhtKey(cid.multihash.bytes)
      if (await roots.add(key, positionOf(key))) worker.wake()
    },
    async withdraw(cid, { signal } = {}) {
      signal?.throwIfAborted()
      await roots.remove(positionOf(dhtKey(cid.multihash.bytes)))
    },
  }
}

class AnnouncingWorker implements Worker {
  readonly name = 'announcing'
  readonly #deps: AnnouncerDeps
  readonly #roots: Roots
  readonly #phase: number
  #explored: { region: Region; atMs: number } | undefined
  #doing: string | undefined
  /** Ends the wait for the next step early. */
  wake: () => void = () => {}

  constructor(deps: AnnouncerDeps, roots: Roots) {
    this.#deps = deps
    this.#roots = roots
    this.#phase = startOf(prefixOf(positionOfPeer(deps.self)))
  }

  onWork(wake: () => void): void {
    this.wake = wake
  }

  status(): string {
    const { total, waiting } = this.#roots
    if (total === 0) return 'nothing to announce'
    return `announced ${total - waiting} of ${total} roots; ${this.#doing ?? this.#next()}`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { dht, clock } = this.#deps
    const nowMs = clock.nowMs()
    const first = this.#roots.firstDue(nowMs)
    if (!first) {
      const dueMs = this.#roots.nextDueMs(nowMs) ?? Number.POSITIVE_INFINITY
      return { next: 'later', delayMs: Math.min(dueMs - nowMs, times.announcePollMs) }
    }
    if (dht.size() === 0) return { next: 'later', delayMs: times.serversPollMs }
    try {
      this.#doing = 'looking for servers'
      const region = await this.#regionAround(first, signal)
      const roots = this.#roots.dueWithin(region.prefix, clock.nowMs(), limits.sweepRootsMax)
      await this.#announce(roots, region, signal)
    } catch (error) {
      // Others get their turn before this one is tried again.
      if (!signal.aborted) await this.#roots.update([postponed(first, clock.nowMs())])
      throw error
    } finally {
      this.#doing = undefined
    }
    return { next: 'now' }
  }

  async #regionAround({ key, position }: Root, signal: AbortSignal): Promise<Region> {
    const { clock } = this.#deps
    const known = this.#explored
    const isFresh = known && clock.monotonicMs() - known.atMs < times.regionFreshMs
    if (isFresh && isWithin(position, known.region.prefix)) return known.region
    const isAlone = (prefix: string) => this.#roots.dueWithin(prefix, clock.nowMs(), 2).length < 2
    const region = await explore(this.#deps, key, isAlone, { signal })
    // The region of a single root is of no use to any other.
    if (region.prefix.length <= limits.exploreBitsMax) this.#explored = { region, atMs: clock.monotonicMs() }
    return region
  }

  async #announce(roots: Root[], region: Region, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps
    const assignment = assign(roots, [...region.servers.values()])
    this.#doing = `telling ${assignment.rootsOf.size} servers of ${roots.length}`
    const { reached, failed } = await this.#tell(assignment, signal)
    // What is left to announce in this region goes to the next nearest instead, unless most of what we know of it is wrong.
    for (const server of failed) region.servers.delete(server.peer)
    if (2 * failed.length >= assignment.rootsOf.size) this.#explored = undefined
    const nowMs = clock.nowMs()
    const announced = { nowMs, wanted: assignment.wanted, slotMs: nextSlotMs(region.slot, this.#phase, nowMs) }
    await this.#roots.update(roots.map((root) => afterAnnouncing(root, reached.get(root) ?? 0, announced)))
    log.debug(`announced ${roots.length} roots to ${assignment.rootsOf.size - failed.length} servers`)
  }

  async #tell(assignment: Assignment, signal: AbortSignal): Promise<{ reached: Map<Root, number>; failed: Server[] }> {
    const { dht, clock, log } = this.#deps
    const reached = new Map<Root, number>()
    const failed: Server[] = []
    const waiting = assignment.rootsOf.entries()
    const lane = async () => {
      for (const [server, roots] of waiting) {
        const keys = roots.map(({ key }) => key)
        const tell = (signal: AbortSignal) => dht.addProviders(server, keys, { signal })
        try {
          await withDeadline(clock, times.announceServerMs, `announcing to ${server.peer}`, tell, { signal })
        } catch (error) {
          signal.throwIfAborted()
          log.debug(`${server.peer} was not told of ${keys.length} roots: ${sentenceOf(error)}`)
          failed.push(server)
          continue
        }
        for (const root of roots) reached.set(root, (reached.get(root) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: limits.sweepServersInFlight }, lane))
    return { reached, failed }
  }

  #next(): string {
    const { dht, clock } = this.#deps
    const nowMs = clock.nowMs()
    if (this.#roots.firstDue(nowMs)) return dht.size() === 0 ? 'waiting for a server of the DHT' : 'next region now'
    const dueMs = this.#roots.nextDueMs(nowMs)
    return dueMs === undefined ? 'nothing is due' : `next region in ${formatTime(dueMs - nowMs)}`
  }
}
