// How two members come to know the same: they compare digests, and only if these differ the ids of what each knows, and
// then send each other what is missing. Gossip may be lost; this is not. The worker does it now and then with one member
// chosen by chance, and looks after this peer's own addresses.
import type { Abortable } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Calls, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { decodeEntries, decodeIds, encodeEntries, encodeIds, encodeRequest } from './messages.ts'
import { claimedAddresses, type Roll } from './roll.ts'

export interface ReconcilingDeps {
  calls: () => Calls
  network: Network
  random: Random
  log: Log
  roll: Roll
  /** Members that have proven themselves on a connection that is open. */
  proven: () => PeerId[]
}

export class Reconciling implements Worker {
  readonly name = 'comparing what members know'
  readonly #deps: ReconcilingDeps
  #waitedMs = 0
  #compared = 0

  constructor(deps: ReconcilingDeps) {
    this.#deps = deps
  }

  status(): string {
    return `knows ${this.#deps.roll.book.size} peers; compared ${this.#compared} times since the start`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { roll, network, random, proven } = this.#deps
    const { own } = roll
    const addresses = claimedAddresses(network.addresses())
    if (own && own.state !== 'left' && own.addresses.join() !== addresses.join()) await roll.claim({ addresses })
    await roll.save()
    this.#waitedMs += times.addressesPollMs
    if (this.#waitedMs >= times.reconcileEveryMs) {
      this.#waitedMs = 0
      const peers = proven()
      const peer = peers[Math.floor(random.unit() * peers.length)]
      if (peer !== undefined) await this.with(peer, { signal }).catch((error: unknown) => this.#failed(peer, error))
    }
    // Spread by a quarter, so that members which started together do not all compare at once.
    return { next: 'later', delayMs: times.addressesPollMs * (0.75 + 0.5 * random.unit()) }
  }

  // The next time it is another member.
  #failed(peer: PeerId, error: unknown): void {
    this.#deps.log.debug(`nothing was compared with ${peer}: ${sentenceOf(error)}`)
  }

  /** Compares with one member, both ways. */
  async with(peer: PeerId, options: Abortable): Promise<void> {
    const { roll } = this.#deps
    const calls = this.#deps.calls()
    const compare = encodeRequest({ kind: 'compare', digest: roll.digest })
    const theirs = new Set(decodeIds(await calls.call(peer, compare, options)))
    this.#compared++
    if (theirs.size === 0) return
    const entries = this.#entriesBut(theirs)
    const wanted = [...theirs].filter((id) => !roll.ids.has(id))
    if (entries.length === 0 && wanted.length === 0) return
    const exchange = encodeRequest({ kind: 'exchange', entries, wanted })
    roll.learn(decodeEntries(await calls.call(peer, exchange, options)), peer)
  }

  answerCompare(digest: Uint8Array): Uint8Array {
    const { roll } = this.#deps
    const isSame = Buffer.compare(digest, roll.digest) === 0
    return encodeIds(isSame ? [] : [...roll.ids])
  }

  answerExchange({ entries, wanted }: { entries: Uint8Array[]; wanted: string[] }, from: PeerId): Uint8Array {
    const { roll } = this.#deps
    const ids = new Set(wanted)
    const given = [...roll.book.values()].filter(({ id }) => ids.has(id)).map(({ bytes }) => bytes)
    roll.learn(entries, from)
    return encodeEntries(fitting(given))
  }

  #entriesBut(ids: ReadonlySet<string>): Uint8Array[] {
    const entries = [...this.#deps.roll.book.values()].filter(({ id }) => !ids.has(id))
    return fitting(entries.map(({ bytes }) => bytes))
  }
}

/** As many as may be sent at a time. */
function fitting(entries: Uint8Array[]): Uint8Array[] {
  let room = limits.exchangeBytesMax
  return entries.filter(({ byteLength }) => {
    room -= byteLength
    return room >= 0
  })
}
