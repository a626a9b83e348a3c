// Which block to ask of whom: the books of one fetch. Pure: no input or output, no clock; whoever keeps it says what time it
// is. It promises that every want is in line, parked because every supplier lacks it, or out with one supplier or two; and
// that a supplier has no more bytes on their way than its window.
//
// A window is what a supplier brings in about a second, so a slow one never holds more than a second's worth of its own
// pace. When nothing is in line, an idle supplier takes over a share of what a slower one has been asked for: the slowest
// never decides when a fetch ends. A want is out with two at most, which bounds what comes twice.
import type { CID } from 'multiformats/cid'
import { codecs } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { Line } from './line.ts'

interface Want {
  readonly name: string
  readonly cid: CID
  /** What its parent says about its size, or about the size of the DAG below it. */
  readonly claimedBytes: number | undefined
  urgent: boolean
  state: 'in line' | 'parked' | 'out'
  readonly askedOf: PeerId[]
  lackedBy: Set<PeerId> | undefined
}

/** What a supplier has been asked and has not answered, what is no longer wanted included: it will come all the same. */
interface Pipeline {
  /** Expected bytes by the names of blocks, in the order asked. */
  readonly asked: Map<string, number>
  askedBytes: number
  windowBytes: number
  /** Bytes a millisecond, once known. */
  rate: number | undefined
  turnBytes: number
  turnStartMs: number
  /** When it last brought anything, or was asked after a pause. */
  lastProgressMs: number
}

export interface WantOptions {
  urgent?: boolean
  claimedBytes?: number | undefined
}

const firstWindowBytes = 2 * 1024 * 1024
const leastWindowBytes = 64 * 1024
const firstGuessBytes = 256 * 1024
const windowMs = 1_000
const askersMax = 2
/** A supplier that needs no longer than this for the rest is left alone: fetching twice costs more than waiting. */
const stealAfterMs = 300
/** A supplier that has brought nothing for so long counts as standing still when it is decided what to steal. */
const slowMs = 1_000

export class Schedule {
  readonly #wants = new Map<string, Want>()
  readonly #line = new Line()
  /** Goes before the others, first come first served as well. */
  readonly #urgentLine = new Line()
  readonly #parked = new Set<string>()
  readonly #pipelines = new Map<PeerId, Pipeline>()
  #rawGuessBytes = firstGuessBytes
  #nodeGuessBytes = firstGuessBytes

  /** Blocks that are wanted. */
  get size(): number {
    return this.#wants.size
  }

  isWanted(cid: CID): boolean {
    return this.#wants.has(nameOf(cid))
  }

  /** Wants a block. What is wanted already may become urgent. */
  add(cid: CID, { urgent = false, claimedBytes }: WantOptions = {}): void {
    const name = nameOf(cid)
    const known = this.#wants.get(name)
    if (!known) {
      const want: Want = { name, cid, claimedBytes, urgent, state: 'in line', askedOf: [], lackedBy: undefined }
      this.#wants.set(name, want)
      this.#enqueue(want)
    } else if (urgent && !known.urgent) {
      known.urgent = true
      if (known.state === 'in line') this.#enqueue(known)
    }
  }

  /** The block is not wanted any more, or is here. */
  forget(cid: CID): void {
    const name = nameOf(cid)
    this.#wants.delete(name)
    this.#parked.delete(name)
  }

  join(peer: PeerId, nowMs: number): void {
    this.#pipelines.set(peer, {
      asked: new Map(),
      askedBytes: 0,
      windowBytes: firstWindowBytes,
      rate: undefined,
      turnBytes: 0,
      turnStartMs: nowMs,
      lastProgressMs: nowMs,
    })
    this.#unpark()
  }

  /** The supplier has gone: what was out with it alone goes back to the front of the line. */
  leave(peer: PeerId): void {
    const pipeline = this.#pipelines.get(peer)
    this.#pipelines.delete(peer)
    for (const name of pipeline?.asked.keys() ?? []) {
      const want = this.#wants.get(name)
      if (want) this.#takeBack(want, peer)
    }
  }

  /** What to ask a supplier now; it counts as asked from then on. Empty until a good part of its window is free. */
  next(peer: PeerId, nowMs: number): CID[] {
    const pipeline = this.#pipelines.get(peer)
    if (!pipeline) return []
    const mostBytes = Math.min(pipeline.windowBytes, limits.fetchBytesMax / this.#pipelines.size)
    const isIdle = pipeline.asked.size === 0
    // Questions are asked by the handful, not one for each answer.
    if (!isIdle && (pipeline.askedBytes > (mostBytes * 3) / 4 || pipeline.asked.size > (limits.fetchWindowBlocks * 3) / 4))
      return []
    if (isIdle) pipeline.turnStartMs = pipeline.lastProgressMs = nowMs
    if (isIdle) pipeline.turnBytes = 0
    const cids: CID[] = []
    const give = (want: Want): boolean => {
      const sizeBytes = this.#expectedBytes(want)
      const isFull = pipeline.askedBytes + sizeBytes > mostBytes || pipeline.asked.size >= limits.fetchWindowBlocks
      if (isFull && pipeline.asked.size > 0) return false
      pipeline.asked.set(want.name, sizeBytes)
      pipeline.askedBytes += sizeBytes
      want.askedOf.push(peer)
      want.state = 'out'
      cids.push(want.cid)
      return true
    }
    if (this.#serve(this.#urgentLine, peer, give)) this.#serve(this.#line, peer, give)
    if (isIdle && cids.length === 0) this.#steal(peer, pipeline, nowMs, give)
    return cids
  }

  /** Something came from a supplier. */
  progressed(peer: PeerId, nowMs: number): void {
    const pipeline = this.#pipelines.get(peer)
    if (pipeline) pipeline.lastProgressMs = nowMs
  }

  /** A supplier brought a good block, or one that is no longer wanted. */
  brought(peer: PeerId, cid: CID, sizeBytes: number, nowMs: number): void {
    this.#answered(peer, nameOf(cid), sizeBytes, nowMs)
    if (cid.code === codecs.raw) this.#rawGuessBytes += (sizeBytes - this.#rawGuessBytes) / 8
    else this.#nodeGuessBytes += (sizeBytes - this.#nodeGuessBytes) / 8
    this.forget(cid)
  }

  /** A supplier does not have it. */
  missing(peer: PeerId, cid: CID, nowMs: number): void {
    const name = nameOf(cid)
    this.#answered(peer, name, 0, nowMs)
    const want = this.#wants.get(name)
    if (!want) return
    want.lackedBy ??= new Set()
    want.lackedBy.add(peer)
    this.#takeBack(want, peer)
  }

  /** How long a supplier has owed something without bringing anything; 0 if it owes nothing. */
  silentMs(peer: PeerId, nowMs: number): number {
    const pipeline = this.#pipelines.get(peer)
    return pipeline && pipeline.asked.size > 0 ? nowMs - pipeline.lastProgressMs : 0
  }

  /** A want that nobody brings: all suppliers lack it, or there is none. Undefined if there is no such want. */
  unmet(): CID | undefined {
    const names = this.#pipelines.size === 0 ? this.#wants.keys() : this.#parked.values()
    const { value } = names.next()
    return value === undefined ? undefined : this.#wants.get(value)?.cid
  }

  /** The want that has been in the books for longest. */
  oldest(): CID | undefined {
    return this.#wants.values().next().value?.cid
  }

  /** Forgets who lacks what, so that everybody may be asked again. */
  askAgain(): void {
    for (const want of this.#wants.values()) want.lackedBy = undefined
    this.#unpark()
  }

  /** Gives from a line in order; false once `give` has had enough. What this supplier lacks keeps its place. */
  #serve(line: Line, peer: PeerId, give: (want: Want) => boolean): boolean {
    return line.take((name) => {
      const want = this.#wants.get(name)
      // Forgotten, out already, or gone over to the urgent ones.
      if (want?.state !== 'in line' || (want.urgent && line === this.#line)) return 'drop'
      if (!want.lackedBy?.has(peer)) return give(want) ? 'drop' : 'stop'
      if ([...this.#pipelines.keys()].some((other) => !want.lackedBy?.has(other))) return 'keep'
      want.state = 'parked'
      this.#parked.add(name)
      return 'drop'
    })
  }

  // From whoever would need longest for the rest. Of what a reader waits for the first comes first; of the rest that which
  // the other would bring last.
  #steal(peer: PeerId, own: Pipeline, nowMs: number, give: (want: Want) => boolean): void {
    let victim: Pipeline | undefined
    let longestMs = stealAfterMs
    for (const [other, pipeline] of this.#pipelines) {
      const remainingMs = other === peer ? 0 : timeLeftMs(pipeline, nowMs)
      if (remainingMs > longestMs) [victim, longestMs] = [pipeline, remainingMs]
    }
    if (!victim) return
    const names = [...victim.asked.keys()]
    const free = names
      .map((name) => this.#wants.get(name))
      .filter((want) => want !== undefined)
      .filter(({ askedOf, lackedBy }) => askedOf.length < askersMax && !askedOf.includes(peer) && !lackedBy?.has(peer))
    const inOrder = [...free.filter(({ urgent }) => urgent), ...free.filter(({ urgent }) => !urgent).reverse()]
    const victimRate = Number.isFinite(longestMs) ? victim.askedBytes / longestMs : 0
    const share = own.rate === undefined ? 1 / 2 : own.rate / (own.rate + victimRate)
    const count = Math.max(1, Math.floor(inOrder.length * share))
    for (const want of inOrder.slice(0, count)) if (!give(want)) break
  }

  #expectedBytes({ cid, claimedBytes }: Want): number {
    if (cid.code !== codecs.raw) return Math.min(claimedBytes ?? Number.POSITIVE_INFINITY, this.#nodeGuessBytes)
    return Math.min(claimedBytes ?? this.#rawGuessBytes, limits.blockBytesMax)
  }

  #answered(peer: PeerId, name: string, sizeBytes: number, nowMs: number): void {
    const pipeline = this.#pipelines.get(peer)
    const expectedBytes = pipeline?.asked.get(name)
    if (!pipeline || expectedBytes === undefined) return
    pipeline.asked.delete(name)
    pipeline.askedBytes -= expectedBytes
    pipeline.lastProgressMs = nowMs
    pipeline.turnBytes += sizeBytes
    const turnMs = nowMs - pipeline.turnStartMs
    if (sizeBytes === 0 || (pipeline.turnBytes < pipeline.windowBytes / 2 && turnMs < windowMs)) return
    const rate = pipeline.turnBytes / Math.max(1, turnMs)
    pipeline.rate = pipeline.rate === undefined ? rate : (pipeline.rate + rate) / 2
    const wantedBytes = Math.min(pipeline.rate * windowMs, 2 * pipeline.windowBytes, limits.fetchWindowBytes)
    pipeline.windowBytes = Math.max(wantedBytes, leastWindowBytes)
    pipeline.turnBytes = 0
    pipeline.turnStartMs = nowMs
  }

  #takeBack(want: Want, peer: PeerId): void {
    const at = want.askedOf.indexOf(peer)
    if (at >= 0) want.askedOf.splice(at, 1)
    if (want.askedOf.length > 0 || want.state !== 'out') return
    // It has waited for long enough, and comes before what was never asked for.
    want.urgent = true
    this.#enqueue(want)
  }

  #enqueue(want: Want): void {
    want.state = 'in line'
    const line = want.urgent ? this.#urgentLine : this.#line
    line.push(want.name)
  }

  #unpark(): void {
    const names = [...this.#parked]
    this.#parked.clear()
    for (const name of names) {
      const want = this.#wants.get(name)
      if (want) this.#enqueue(want)
    }
  }
}

/** How long until a supplier has brought everything, at its present pace. */
function timeLeftMs({ asked, askedBytes, rate, lastProgressMs }: Pipeline, nowMs: number): number {
  if (asked.size === 0) return 0
  const silentMs = nowMs - lastProgressMs
  if (silentMs > slowMs || (rate === undefined && silentMs > stealAfterMs)) return Number.POSITIVE_INFINITY
  return rate === undefined ? 0 : askedBytes / rate
}

/** The same for all CIDs of one block. */
export function nameOf(cid: CID): string {
  const { bytes } = cid.multihash
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).latin1Slice()
}
