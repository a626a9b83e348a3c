// Who is there, as a driver needs to know it: how many members are seen, and who has been away for longer than the grace time.
// Since when a member is away is remembered over restarts, by wall time: a clock that is wrong may cost a copy that was not
// needed, and never one that was.
import { decode, encode } from '@ipld/dag-cbor'
import type { Clock } from '../base/clock.ts'
import type { Member } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership, Table } from '../core/ports.ts'
import { times } from '../core/times.ts'

const prefix = 'away/'
const prefixEnd = 'away0'

export class Presence {
  readonly #membership: Membership
  readonly #table: Table
  readonly #clock: Clock
  readonly #graceMs: number
  /** Wall time since when a member has been away. */
  readonly #awaySince = new Map<PeerId, number>()
  readonly #openedAtMs: number
  /** Monotonic times of the first and the last question in a row that a member did not answer. */
  readonly #deaf = new Map<PeerId, { sinceMs: number; lastMs: number }>()
  #counted = { joined: 0, seen: 0 }

  constructor(
    { membership, table, clock }: { membership: Membership; table: Table; clock: Clock },
    { graceMs }: { graceMs: number },
  ) {
    this.#membership = membership
    this.#table = table
    this.#clock = clock
    this.#graceMs = graceMs
    this.#openedAtMs = clock.monotonicMs()
    for (const [row, bytes] of table.range({ from: prefix, to: prefixEnd }))
      this.#awaySince.set(row.slice(prefix.length) as PeerId, Number(decode(bytes)))
  }

  /** Notes who has gone and who is back, and counts. */
  async update(): Promise<void> {
    this.#counted = this.#count()
    const nowMs = Math.max(0, Math.round(this.#clock.nowMs()))
    for (const member of this.#membership.members()) {
      const { peer } = member
      // Nobody expects an answer of one that is away: what it did before and does after are no row.
      if (!this.isHere(member)) this.#deaf.delete(peer)
      const sinceMs = this.#awaySince.get(peer)
      if (this.isHere(member)) {
        if (sinceMs !== undefined) await this.#forget(peer)
      } else if (sinceMs === undefined || sinceMs > nowMs) {
        this.#awaySince.set(peer, nowMs)
        await this.#table.write([{ put: prefix + peer, value: encode(nowMs) }])
      }
    }
    for (const peer of this.#awaySince.keys()) if (!this.#membership.member(peer)) await this.#forget(peer)
    for (const peer of this.#deaf.keys()) if (!this.#membership.member(peer)) this.#deaf.delete(peer)
  }

  isHere({ peer, state, liveness }: Member): boolean {
    return peer === this.#membership.self || (state !== 'left' && liveness !== 'dead')
  }

  /** True for a member that answers, as far as is known. */
  seesPeer(peer: PeerId): boolean {
    const member = this.#membership.member(peer)
    return member !== undefined && this.isHere(member)
  }

  /** True for one that is no member any more. */
  hasLeft(peer: PeerId): boolean {
    const member = this.#membership.member(peer)
    return !member || member.state === 'left'
  }

  /** True for one that is no member any more, or has been away for too long. */
  isGone(peer: PeerId): boolean {
    if (this.hasLeft(peer)) return true
    if (this.seesPeer(peer)) return false
    const sinceMs = this.#awaySince.get(peer)
    return sinceMs !== undefined && this.#clock.nowMs() - sinceMs > this.#graceMs
  }

  /** A member was asked about pins. */
  asked(peer: PeerId, { answered }: { answered: boolean }): void {
    const nowMs = this.#clock.monotonicMs()
    if (answered) this.#deaf.delete(peer)
    else this.#deaf.set(peer, { sinceMs: this.#deaf.get(peer)?.sinceMs ?? nowMs, lastMs: nowMs })
  }

  /**
   * True for one that is here and yet has answered nothing about pins: for some time, or for as long as one that is away if it
   * has a copy already. It is asked again from time to time.
   */
  isDeaf(peer: PeerId, { hasCopy }: { hasCopy: boolean }): boolean {
    const deaf = this.#deaf.get(peer)
    if (!deaf || this.#clock.monotonicMs() - deaf.lastMs > times.unfitMs) return false
    return deaf.lastMs - deaf.sinceMs > (hasCopy ? this.#graceMs : times.pinsDeafMs)
  }

  /** True for one that has been away for longer than a restart takes: nothing new waits for it. */
  isMissed(peer: PeerId): boolean {
    const sinceMs = this.#awaySince.get(peer)
    return sinceMs !== undefined && this.#clock.nowMs() - sinceMs > times.pinsDeafMs
  }

  /** Milliseconds until one that is away counts as gone; undefined if it is here. */
  goneInMs(peer: PeerId): number | undefined {
    const sinceMs = this.#awaySince.get(peer)
    return sinceMs === undefined ? undefined : Math.max(0, sinceMs + this.#graceMs - this.#clock.nowMs())
  }

  /** Members in the ring, and how many of them are seen, as of the last update. */
  get counted(): { readonly joined: number; readonly seen: number } {
    return this.#counted
  }

  /** True while more than half of the members are seen: who sees fewer may be the one that is cut off. */
  get seesMost(): boolean {
    const { joined, seen } = this.#counted
    return 2 * seen > joined
  }

  #count(): { joined: number; seen: number } {
    const joined = this.#membership.members().filter(({ state }) => state === 'joined')
    return { joined: joined.length, seen: joined.filter((member) => this.#isSeen(member)).length }
  }

  // Whoever is cut off notices that at first only by doubts; and one that has just started takes everybody for alive.
  #isSeen({ peer, liveness }: Member): boolean {
    if (peer === this.#membership.self) return true
    const isNew = this.#clock.monotonicMs() - this.#openedAtMs < times.sightMs
    return liveness === 'alive' && (!isNew || this.#membership.proven(peer))
  }

  async #forget(peer: PeerId): Promise<void> {
    this.#awaySince.delete(peer)
    await this.#table.write([{ delete: prefix + peer }])
  }
}
