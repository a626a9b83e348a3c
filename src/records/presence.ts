// Whether this peer may speak for the records that it owns. A new store, after a wiped disk too, has first to compare with
// everybody who may hold what it lacks. And a peer may have been away so long that others have deleted removals which it never
// heard of: what it still owns is safe, because nothing is deleted without its word; what others own by now is not, and could
// come back with what it has. Wall time decides that, so a clock that is wrong makes it careful, not forgetful.
import { decode, encode } from '@ipld/dag-cbor'
import type { Clock } from '../base/clock.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership, Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { countField } from './fields.ts'
import { filledRow, presenceRow } from './rows.ts'

export interface PresenceDeps {
  membership: Membership
  table: Table
  clock: Clock
}

export class Presence {
  readonly #deps: PresenceDeps
  readonly #isInvited: boolean
  #lastMs: number | undefined
  #wasAway = false
  /** Members that a new store has compared with; undefined once it has met all. */
  #met: Set<PeerId> | undefined

  constructor(deps: PresenceDeps, { isInvited }: { isInvited: boolean }) {
    const { table } = deps
    this.#deps = deps
    this.#isInvited = isInvited
    const row = table.get(presenceRow)
    this.#met = table.get(filledRow) ? undefined : new Set()
    this.#lastMs = row ? countField(decode(row), 'time') : undefined
  }

  /** True from a long absence until this peer has met another owner and holds nothing that others own alone. */
  get wasAway(): boolean {
    this.#wasAway ||= this.#lastMs !== undefined && this.#deps.clock.nowMs() - this.#lastMs > times.absenceMs
    return this.#wasAway
  }

  /** True for a peer that was invited and has heard of nobody yet: nobody would hear that it leaves either. */
  get isUnmet(): boolean {
    return this.#isInvited && this.isFilling && this.#deps.membership.claims().length < 2
  }

  /** True while a new store has not compared with all others that hold partitions. */
  get isFilling(): boolean {
    return this.#met !== undefined
  }

  /** All is the same as at `peer` now; undefined if there is nobody to compare with. */
  async compared(peer: PeerId | undefined): Promise<void> {
    const { membership, table } = this.#deps
    if (!this.#met) return
    // Whoever was invited is never alone: it has not heard of the others yet, or a crash has made it forget them.
    if (this.isUnmet) return
    if (peer) this.#met.add(peer)
    const isOpen = (other: PeerId) => other !== membership.self && !this.#met?.has(other)
    if (membership.view().members.some((member) => member.capacity > 0 && isOpen(member.peer))) return
    await table.write([{ put: filledRow, value: new Uint8Array(0) }])
    this.#met = undefined
  }

  /** This peer is in touch with other owners; `isClear`: and holds nothing that they own alone. */
  async met(isClear: boolean): Promise<void> {
    if (this.wasAway && !isClear) return
    this.#wasAway = false
    const { clock, table } = this.#deps
    const nowMs = Math.max(0, Math.round(clock.nowMs()))
    if (this.#lastMs !== undefined && Math.abs(nowMs - this.#lastMs) < times.presenceEveryMs) return
    this.#lastMs = nowMs
    await table.write([{ put: presenceRow, value: encode(nowMs) }])
  }
}
