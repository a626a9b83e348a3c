// Meeting others: one Worker that keeps this peer connected. It dials the bootstrap addresses whenever they are not
// connected, peers that were found (by mDNS, by the DHT, or known from before the restart) while connections are few, and
// peers that were lost, each with a back-off of its own. A bootstrap peer may come up long after this one.
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Network } from '../core/ports.ts'
import { times } from '../core/times.ts'

interface Target {
  dial: string | PeerInfo
  /** Unknown for an address without one, until it has answered. */
  peer: PeerId | undefined
  /** Bootstrap addresses are tried for ever; found peers are given up, and come back when found again. */
  lasting: boolean
  failures: number
  dueMs: number
}

const failuresMost = 8

export class Meeting implements Worker {
  readonly name = 'meeting peers'
  readonly #network: Network
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: Log
  readonly #onOtherNetwork: (peer: PeerId) => void
  readonly #connectionsWanted: number
  readonly #targets = new Map<string, Target>()

  constructor(
    deps: { network: Network; clock: Clock; random: Random; log: Log; onOtherNetwork: (peer: PeerId) => void },
    options: { bootstrap: string[]; connectionsWanted: number },
  ) {
    this.#network = deps.network
    this.#clock = deps.clock
    this.#random = deps.random
    this.#log = deps.log
    this.#onOtherNetwork = deps.onOtherNetwork
    this.#connectionsWanted = options.connectionsWanted
    for (const address of options.bootstrap) {
      const peer = /\/p2p\/([^/]+)$/.exec(address)?.[1] as PeerId | undefined
      if (peer !== this.#network.self)
        this.#targets.set(address, { dial: address, peer, lasting: true, failures: 0, dueMs: 0 })
    }
  }

  /** A peer that may be worth a dial. True if it was not known to be. */
  found(info: PeerInfo): boolean {
    if (info.peer === this.#network.self || this.#targets.has(info.peer)) return false
    if (this.#targets.size >= limits.discoveredMax) return false
    this.#targets.set(info.peer, { dial: info, peer: info.peer, lasting: false, failures: 0, dueMs: 0 })
    return true
  }

  /** The last connection to a peer has closed: it is dialed again, unless it was hopeless before. */
  lost(peer: PeerId): void {
    this.found({ peer, addresses: [] })
    const dueMs = this.#clock.monotonicMs() + this.#backOffMs(0)
    for (const target of this.#targets.values()) if (target.peer === peer) Object.assign(target, { dueMs, failures: 0 })
  }

  /** Bootstrap peers, as far as they are known. */
  lasting(): PeerId[] {
    return [...this.#targets.values()].flatMap(({ lasting, peer }) => (lasting && peer ? [peer] : []))
  }

  /** Bootstrap addresses that have not answered the last time. */
  unreached(): string[] {
    const lasting = [...this.#targets].filter(([, { lasting, failures }]) => lasting && failures > 0)
    return lasting.map(([address]) => address)
  }

  status(): string {
    const connected = this.#network.connected().length
    const waiting = [...this.#targets.values()].filter(({ failures }) => failures > 0).length
    if (waiting === 0) return `connected to ${connected} peers`
    return `connected to ${connected} peers, trying ${waiting} that did not answer`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const connected = new Set(this.#network.connected().map(({ peer }) => peer))
    for (const [key, { peer, lasting }] of this.#targets)
      if (!lasting && peer !== undefined && connected.has(peer)) this.#targets.delete(key)
    const room = Math.max(0, this.#connectionsWanted - connected.size)
    const nowMs = this.#clock.monotonicMs()
    const open = [...this.#targets.values()].filter(({ peer }) => peer === undefined || !connected.has(peer))
    const due = open.filter(({ dueMs }) => dueMs <= nowMs)
    const found = due.filter(({ lasting }) => !lasting).slice(0, Math.min(room, limits.dialsInBackgroundMax))
    const chosen = [...due.filter(({ lasting }) => lasting), ...found].slice(0, limits.dialsInBackgroundMax)
    await Promise.all(chosen.map((target) => this.#dial(target, signal)))
    if (chosen.length > 0 && due.length > chosen.length && room > 0) return { next: 'now' }
    const soonest = Math.min(...open.map(({ dueMs }) => dueMs).filter((dueMs) => dueMs > nowMs))
    const delayMs = Math.min(Math.max(soonest - this.#clock.monotonicMs(), 100), times.redialMostMs)
    return { next: 'later', delayMs }
  }

  async #dial(target: Target, signal: AbortSignal): Promise<void> {
    try {
      target.peer = await this.#network.connect(target.dial, { signal })
      target.failures = 0
      // Found peers are done with: if the connection is lost, they are found again.
      if (!target.lasting) this.#targets.delete(target.peer)
      else target.dueMs = this.#clock.monotonicMs() + times.redialFirstMs
    } catch (error) {
      if (signal.aborted) return
      this.#failed(target, error)
    }
  }

  #failed(target: Target, error: unknown): void {
    const log = target.lasting && target.failures === 0 ? this.#log.warn : this.#log.debug
    log(`${target.lasting ? 'bootstrap: ' : ''}${sentenceOf(error)}`)
    target.failures++
    target.dueMs = this.#clock.monotonicMs() + this.#backOffMs(target.failures)
    if (target.lasting || target.peer === undefined) return
    const otherNetwork = codeOf(error) === 'OTHER_NETWORK'
    if (otherNetwork) this.#onOtherNetwork(target.peer)
    if (otherNetwork || target.failures >= failuresMost) this.#targets.delete(target.peer)
  }

  /** Doubling, up to a minute, and spread by a quarter, so that a cluster that lost its switch does not dial in step. */
  #backOffMs(failures: number): number {
    const wholeMs = Math.min(times.redialFirstMs * 2 ** failures, times.redialMostMs)
    return wholeMs * (0.75 + 0.25 * this.#random.unit())
  }
}
