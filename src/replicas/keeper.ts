// Keeping what is here in step with the records: pins of this peer that nobody has been told of are told; what was pinned here
// is let go once nobody wishes for it; what is held and nobody has asked for since the start, or for long, is asked about; and
// what this peer has been told to release is dropped after a look at the record itself. A record that is lost is written
// again from what is here.
import { decode, encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership, Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { type HolderWorker, mayDrop } from './holder.ts'
import type { Held, Holdings } from './holdings.ts'
import type { Told } from './messages.ts'
import { cidOfKey, decodePinOf, encodePin, mergePins, type Pin, pinKey, pinOf } from './pin.ts'
import { allProve, type ProofDeps } from './proof.ts'
import { askDrivers, type TellingDeps } from './telling.ts'
import type { PinRecords } from './words.ts'

export interface KeeperDeps extends TellingDeps, ProofDeps {
  membership: Membership
  records: PinRecords
  holdings: Holdings
  holder: HolderWorker
  clock: Clock
  random: Random
  log: Log
  /** Tells the cluster of a root that this peer keeps. */
  tell: (root: Held['cid'], signal: AbortSignal) => Promise<void>
  /** Something has been let go of. */
  onLetGo: () => void
  table: Table
}

const seenRow = 'seen'

/** By key, when this peer had last been asked to hold it: who was asked since then is counted on again. */
type Releases = Map<string, number | undefined>

export class KeeperWorker implements Worker {
  readonly name = 'comparing what is here with the pins'
  readonly #deps: KeeperDeps
  /** Keys that somebody has told this peer to release. */
  #toRelease: Releases = new Map()
  /** Keys that others shall hold and could not prove to have, or of which nothing could be found out: they stay for now. */
  readonly #unproven: Releases = new Map()
  #provenAtMs = Number.NEGATIVE_INFINITY
  #checkedAtMs: number | undefined
  #untold = 0
  /**
   * What others have proven, since this peer began to leave, to have all of, or as much of as is here; with what was kept
   * then, since what is pinned anew is to be proven anew.
   */
  readonly #spare = new Map<string, Pin | undefined>()
  /** Away for so long that a record that is not there may be one that was removed and forgotten. */
  readonly #wasAway: boolean
  #seenMs = Number.NEGATIVE_INFINITY
  wake: () => void = () => {}

  constructor(deps: KeeperDeps) {
    this.#deps = deps
    const seen = deps.table.get(seenRow)
    this.#wasAway = seen !== undefined && deps.clock.nowMs() - Number(decode(seen)) > times.absenceMs
  }

  onWork(wake: () => void): void {
    this.wake = wake
  }

  status(): string {
    return this.#untold > 0 ? `${this.#untold} pins of this peer are not known to others yet` : 'all pins are known'
  }

  /** What this peer holds or keeps and must not take away with it when it leaves: what others have not proven to have. */
  unsafe(): { keys: string[]; sizeBytes: number } {
    const { holdings } = this.#deps
    const kept = holdings.keptKeys().filter((key) => !this.#isProvenSpare(key))
    const held = [...holdings.all()].filter(({ key, isHeld }) => isHeld || !this.#isProvenSpare(key))
    const keptBytes = kept.reduce((sum, key) => sum + (holdings.kept(key)?.sizeBytes ?? 0), 0)
    return {
      keys: [...new Set([...kept, ...held.map(({ key }) => key)])],
      sizeBytes: held.reduce((sum, { sizeBytes }) => sum + sizeBytes, keptBytes),
    }
  }

  release(keys: readonly string[]): void {
    const { holdings } = this.#deps
    for (const key of keys)
      if (holdings.get(key) || holdings.kept(key)) this.#toRelease.set(key, holdings.get(key)?.askedAtMs)
    if (this.#toRelease.size > 0) this.wake()
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { clock, membership } = this.#deps
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#provenAtMs >= times.proofAgainMs) {
      this.#provenAtMs = nowMs
      for (const [key, askedAtMs] of this.#unproven) this.#toRelease.set(key, askedAtMs)
      this.#unproven.clear()
    }
    const released = this.#toRelease
    this.#toRelease = new Map()
    await this.#check([...released], signal)
    const isLeaving = membership.member(membership.self)?.state === 'leaving'
    // Who is taken off a pin at a moment when it does not answer is told by nobody, and leaving would wait for that.
    const { everyMs, heardMs } = isLeaving
      ? { everyMs: times.proofAgainMs, heardMs: times.proofAgainMs }
      : { everyMs: times.keeperEveryMs, heardMs: times.pinsConfirmedMs }
    if (this.#checkedAtMs === undefined || nowMs - this.#checkedAtMs >= everyMs) {
      this.#checkedAtMs = nowMs
      await this.#tellUntold(signal)
      await this.#check(this.#doubtful(nowMs - heardMs), signal)
    }
    await this.#notePresence()
    if (this.#toRelease.size > 0) return { next: 'now' }
    if (isLeaving) await this.#findSpare(signal)
    else this.#spare.clear()
    if (isLeaving) return { next: 'later', delayMs: times.pinsUnsettledMs }
    return { next: 'later', delayMs: this.#unproven.size > 0 ? times.proofAgainMs : times.keeperEveryMs }
  }

  /** True if nothing is lost when this peer's copy of a pin goes: nobody wishes for it, or all who shall hold it prove now that they do. */
  async isSpare(key: string, { signal }: Abortable = {}): Promise<boolean> {
    const told = (await askDrivers(this.#deps, [key], { signal })).get(key)
    const record = await this.#deps.records.get(key, { strict: true, signal })
    const pin = pinOf(record)
    return pin !== undefined && !record.stale && (await this.#isProven(pin, told, signal))
  }

  async #isProven(pin: Pin, told: Told | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    if (pin.wishes.length === 0) return true
    const others = pin.holders.filter((peer) => peer !== this.#deps.membership.self)
    return told?.enough === true && (await allProve(this.#deps, CID.parse(pin.cid), others, { signal }))
  }

  // What has been proven once is safe for as long as leaving takes. What is held whole is released by whoever drives it.
  async #findSpare(signal: AbortSignal): Promise<void> {
    const { holdings, log } = this.#deps
    const isOpen = (key: string) => !this.#isProvenSpare(key) && (holdings.kept(key) || !holdings.get(key)?.isHeld)
    const keys = this.unsafe().keys.filter(isOpen)
    const told = await askDrivers(this.#deps, keys, { signal })
    for (const key of keys) {
      const [one, kept] = [told.get(key), holdings.kept(key)]
      try {
        const isSpare = one?.enough ? await this.isSpare(key, { signal }) : await this.#isLost(key, one, signal)
        if (isSpare) this.#spare.set(key, kept)
      } catch (error) {
        signal.throwIfAborted()
        log.debug(`whether ${key} is held by others is not known: ${sentenceOf(error)}`)
      }
    }
  }

  #isProvenSpare(key: string): boolean {
    return this.#spare.has(key) && this.#spare.get(key) === this.#deps.holdings.kept(key)
  }

  /** True if nobody can get all of it, and all who try have whatever is here: to wait for them would have no end. */
  async #isLost(key: string, told: Told | undefined, signal: AbortSignal): Promise<boolean> {
    const { membership, presence, holdings } = this.#deps
    const held = holdings.get(key)
    if (!told || (held && !isFailing(held))) return false
    // Whoever is away may have the rest, until people say that it has gone for good.
    if (membership.members().some((member) => member.state !== 'left' && !presence.isHere(member))) return false
    const others = told.places.filter(({ peer }) => peer !== membership.self)
    if (others.some(({ state }) => state !== 'failing' && state !== 'full')) return false
    const stay = others.filter(({ peer }) => membership.member(peer)?.state === 'joined')
    const trying = stay.flatMap(({ peer, state }) => (state === 'failing' ? [peer] : []))
    return await allProve(this.#deps, cidOfKey(key), trying, { whole: true, signal })
  }

  async #notePresence(): Promise<void> {
    const nowMs = Math.max(0, Math.round(this.#deps.clock.nowMs()))
    if (Math.abs(nowMs - this.#seenMs) < times.presenceEveryMs) return
    this.#seenMs = nowMs
    await this.#deps.table.write([{ put: seenRow, value: encode(nowMs) }])
  }

  /** What is kept here, and what is held and nobody has asked for since a moment. */
  #doubtful(sinceMs: number): [key: string, askedAtMs: number | undefined][] {
    const { holdings } = this.#deps
    const keys = new Set(holdings.keptKeys())
    for (const { key, askedAtMs } of holdings.all()) if (askedAtMs === undefined || askedAtMs < sinceMs) keys.add(key)
    return [...keys].map((key) => [key, holdings.get(key)?.askedAtMs])
  }

  async #tellUntold(signal: AbortSignal): Promise<void> {
    const { holdings, tell, log } = this.#deps
    this.#untold = 0
    for (const cid of [...holdings.untold(pinKey)]) {
      signal.throwIfAborted()
      try {
        await tell(cid, signal)
      } catch (error) {
        signal.throwIfAborted()
        this.#untold++
        log.debug(`nobody was told that ${cid} is pinned here: ${sentenceOf(error)}`)
      }
    }
  }

  async #check(
    releases: (readonly [key: string, askedAtMs: number | undefined])[],
    signal: AbortSignal,
  ): Promise<void> {
    for (let at = 0; at < releases.length; at += limits.pinsCarried) {
      const part = releases.slice(at, at + limits.pinsCarried)
      const keys = part.map(([key]) => key)
      const told = await askDrivers(this.#deps, keys, { signal })
      const check = ([key, askedAtMs]: (typeof part)[number]) =>
        this.#checkOne(key, { told: told.get(key), askedAtMs }, signal).catch((error: unknown) => {
          this.#unproven.set(key, askedAtMs)
          this.#deps.log.debug(`${key} was not compared with its record: ${sentenceOf(error)}`)
        })
      // Several at a time: each may have to wait for a member that does not answer.
      for (let at = 0; at < part.length; at += limits.pinWritesInFlight) {
        await Promise.all(part.slice(at, at + limits.pinWritesInFlight).map(check))
        signal.throwIfAborted()
      }
    }
  }

  async #checkOne(
    key: string,
    { told, askedAtMs }: { told: Told | undefined; askedAtMs: number | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    const { membership, holdings, records } = this.#deps
    const { self } = membership
    const held = holdings.get(key)
    const kept = holdings.kept(key)
    const says = told && decodePinOf(key, told.pin)
    if (says && held) await holdings.heard(held, says)
    const isNeeded = !held || (says?.wishes.length && says.holders.includes(self))
    if (says && isNeeded && (!kept || isWished(kept, says, self))) return
    // Others may know better than whoever answered. What only stand-ins and few owners say may be old.
    const record = await records.get(key, { strict: true, signal })
    const pin = pinOf(record)
    if (record.stale && pin?.wishes.length !== 0) return void this.#unproven.set(key, askedAtMs)
    if (kept && (await this.#resolve(key, pin))) return
    if (!pin && record.siblings.length === 0) return await this.#restore(key, record, signal)
    // A value of another version may wish for it in a way that this program does not know.
    if (!pin && record.siblings.some(({ value }) => value)) return
    // A wish that was written and that nobody has ended is lost: whoever had it has gone, and took it along.
    if (kept && pin && !isWished(kept, pin, self) && isWished(kept, mergePins(pin, kept), self)) {
      const wished = { ...mergePins(pin, kept), holders: pin.holders }
      await records.put(key, encodePin(wished), { context: record.context, signal })
      return
    }
    const isUnwished = kept && !isWished(kept, pin, self)
    // Who was asked meanwhile to hold it has said yes, and is counted on.
    const isFree = held !== undefined && held.askedAtMs === askedAtMs
    const isUnneeded = isFree && (!pin || mayDrop(self, pin, told?.enough ?? false))
    // Others may be whole a little later: whoever told this peer to let go does not tell it again.
    if (isFree && pin && !isUnneeded && !pin.holders.includes(self)) this.#unproven.set(key, askedAtMs)
    if (!isUnwished && !isUnneeded) return
    // A copy that stays for one reason may lose the other; the last one goes only when others prove that they have theirs.
    const isLast = (isUnwished || !kept) && (isUnneeded || !held)
    if (isLast && pin && !(await this.#isProven(pin, told, signal))) return void this.#unproven.set(key, askedAtMs)
    if (isUnwished && holdings.kept(key) === kept) {
      await holdings.unkeep(key)
      this.#deps.onLetGo()
    }
    if (isUnneeded && held.askedAtMs === askedAtMs) await this.#drop(held)
  }

  /** What became of wishes that were being told when the process ended. True if one was not, and is taken back. */
  async #resolve(key: string, pin: Pin | undefined): Promise<boolean> {
    const { holdings } = this.#deps
    let isTakenBack = false
    for (const telling of holdings.interrupted(key)) {
      const isWritten = [...(pin?.wishes ?? []), ...(pin?.ended ?? [])].some(({ id }) => id === telling.id)
      if (isWritten) await holdings.told(telling)
      else await holdings.unwish(telling)
      isTakenBack ||= !isWritten
    }
    return isTakenBack
  }

  async #drop(held: Held): Promise<void> {
    await this.#deps.holder.drop(held)
    this.#deps.onLetGo()
  }

  // Nobody has the record: whoever had it has gone, and took it along.
  async #restore(key: string, record: { stale?: boolean; acks: number; wanted: number }, signal: AbortSignal) {
    const { holdings, records, log } = this.#deps
    if (record.stale || record.acks < record.wanted) return
    const held = holdings.get(key)
    if (held && this.#wasAway && !holdings.kept(key)) return await this.#drop(held)
    const pin = held?.pin ?? holdings.kept(key)
    if (!pin) return
    // A wish that failed, and that a full disk would not let go of then.
    if (!held && pin.wishes.length === 0) return await holdings.unkeep(key)
    log.warn(`the record of ${pin.cid} was lost; it is written again`)
    await records.put(key, encodePin({ ...pin, holders: [] }), { context: 'none', signal })
  }
}

/** True for what has been tried to fetch, in vain so far. */
function isFailing({ isHeld, why }: Held): boolean {
  return !isHeld && why !== undefined
}

/** True if one of the wishes that this peer made still stands. */
function isWished(kept: Pin, pin: Pin | undefined, self: PeerId): boolean {
  const own = new Set(kept.wishes.flatMap(({ id, by }) => (by === self ? [id] : [])))
  return pin?.wishes.some(({ id }) => own.has(id)) ?? false
}
