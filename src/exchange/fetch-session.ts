// A running fetch. It walks the DAG, takes what is here from the store, and asks suppliers for the rest: several at once, each
// with a window of bytes that may be on their way, so that a fast one brings more and a slow one holds up nobody. Whatever
// arrives is verified before it is stored or shown; who sends something else is asked no more. Searching for more
// providers begins with the first block that is wanted and goes on while there is something that nobody brings.
import type { CID } from 'multiformats/cid'
import { type Abortable, abortable, linkedController } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Block, codecs, requireKnownHash } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type {
  BlockStore,
  BlockWriter,
  FetchOptions,
  FetchReport,
  FetchSession,
  FindProviders,
  LinksOf,
} from '../core/ports.ts'
import { times } from '../core/times.ts'
import { formatTime } from '../core/units.ts'
import { claimedDagBytes } from './claimed-sizes.ts'
import { ExchangeError } from './errors.ts'
import { Frontier } from './frontier.ts'
import { hopeless } from './hopeless.ts'
import type { Pace, Pacing } from './pacing.ts'
import { Silence } from './silence.ts'
import type { Supplier, SupplierEvents } from './supplier.ts'
import { SupplierLine } from './supplier-line.ts'
import { nameOf, Wants } from './wants.ts'

export interface SessionDeps {
  self: PeerId
  store: BlockStore
  writer: BlockWriter
  linksOf: LinksOf
  findProviders: FindProviders
  /** Dials a provider and gives a supplier in whichever protocol it speaks. */
  connect: (provider: PeerInfo, events: SupplierEvents, options: Abortable) => Promise<Supplier>
  pacing: Pacing
  clock: Clock
  log: Log
}

const checkEveryMs = 1_000
/** Waiting for longer than this is shown. */
const quietMs = 2_000
const searchAgainFirstMs = 500
const searchAgainMostMs = 5_000
/** Blocks that an idle supplier takes over from a busy one at a time: more would mostly be fetched twice. */
const stealBlocks = 2

export class Session implements FetchSession {
  readonly #deps: SessionDeps
  readonly #root: CID
  readonly #options: FetchOptions
  readonly #wants = new Wants()
  readonly #lines = new Map<PeerId, SupplierLine>()
  /** Being dialed. */
  readonly #dialing = new Set<PeerId>()
  /** Why a provider is of no use to this fetch. */
  readonly #refused = new Map<PeerId, string>()
  /** The supplier that went last, and why. */
  #lost: string | undefined
  readonly #arrivals = new Map<string, ((block: Block) => void)[]>()
  readonly #stop: AbortController
  readonly #detach: () => void
  #failed = Promise.withResolvers<never>()
  #searching: Promise<void> | undefined
  #cancelCheck: (() => void) | undefined
  #dispatching = false
  readonly #silence: Silence
  readonly #pace: Pace
  #doneBytes = 0
  /** Of the DAG being fetched, as its root claims; undefined while it is not known. */
  #totalBytes: number | undefined
  readonly #report: FetchReport = { blocks: 0, bytes: 0, sources: {} }

  constructor(deps: SessionDeps, root: CID, options: FetchOptions) {
    this.#deps = deps
    this.#root = root
    this.#options = options
    const { controller, detach } = linkedController(options.signal)
    this.#stop = controller
    this.#detach = detach
    this.#silence = new Silence(deps)
    this.#pace = deps.pacing.pace({ background: options.background ?? false, wake: () => this.#feedAll() })
    this.#failed.promise.catch(() => {})
  }

  report(): FetchReport {
    return { ...this.#report, sources: { ...this.#report.sources } }
  }

  async get(cid: CID, { signal }: Abortable = {}): Promise<Block> {
    requireKnownHash(cid)
    signal?.throwIfAborted()
    return (await this.#local(cid, signal)) ?? (await this.#fetch(cid, signal))
  }

  async fetchDag(root: CID, { signal, rereads = false }: Abortable & { rereads?: boolean } = {}): Promise<void> {
    const { writer } = this.#deps
    const frontier = new Frontier(root, this.#deps)
    let open = 0
    let moved = Promise.withResolvers<void>()
    const expand = (block: Block) => {
      if (block.cid.equals(root)) this.#totalBytes = claimedDagBytes(block)
      frontier.expand(block)
    }
    const arrived = (cid: CID) => (block: Block) => {
      open--
      if (cid.code !== codecs.raw) expand(block)
      if (open === 0 || cid.code !== codecs.raw || open < limits.fetchFrontierMax / 2) moved.resolve()
    }
    for (;;) {
      while (open < limits.fetchFrontierMax) {
        signal?.throwIfAborted()
        const cid = frontier.next()
        if (!cid) break
        requireKnownHash(cid)
        if (writer.touch(cid)) {
          const isListed = cid.code === codecs.raw && !rereads
          const block = isListed ? undefined : await this.#local(cid, signal)
          if (block && cid.code !== codecs.raw) expand(block)
          if (block || isListed) {
            this.#doneBytes += this.#deps.store.sizeOf(cid) ?? 0
            continue
          }
        }
        open++
        this.#want(cid, arrived(cid))
      }
      if (open === 0) break
      await abortable(Promise.race([moved.promise, this.#failed.promise]), signal)
      moved = Promise.withResolvers<void>()
    }
    await writer.flush({ signal })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new ExchangeError('CLOSED', 'the fetch is over'))
    await this.#searching
    // What came is kept, so that the next fetch of the same need not bring it again.
    await this.#deps.writer.flush().catch(() => {})
    await this.#deps.writer[Symbol.asyncDispose]()
  }

  async #local(cid: CID, signal: AbortSignal | undefined): Promise<Block | undefined> {
    const { store, writer } = this.#deps
    if (!writer.touch(cid)) return undefined
    try {
      return await store.get(cid, { signal })
    } catch (error) {
      signal?.throwIfAborted()
      // On its way to the disk: there once it has been flushed. Rotted or gone: to be fetched.
      if (codeOf(error) !== 'NOT_FOUND') return undefined
      await writer.flush({ signal })
      return await store.get(cid, { signal }).catch(() => undefined)
    }
  }

  async #fetch(cid: CID, signal: AbortSignal | undefined): Promise<Block> {
    const { promise, resolve } = Promise.withResolvers<Block>()
    this.#want(cid, resolve, { urgent: true })
    return await abortable(Promise.race([promise, this.#failed.promise]), signal)
  }

  #want(cid: CID, onArrival: (block: Block) => void, { urgent = false } = {}): void {
    const name = nameOf(cid)
    const listeners = this.#arrivals.get(name)
    if (listeners) listeners.push(onArrival)
    else this.#arrivals.set(name, [onArrival])
    this.#wants.add(cid, { urgent })
    if (!this.#searching) {
      this.#silence.end()
      this.#searching = this.#search()
      this.#watch()
    }
    this.#dispatch()
  }

  // Wants come in bursts; they are handed out once per turn, in one request for each supplier.
  #dispatch(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    queueMicrotask(() => {
      this.#dispatching = false
      this.#feedAll()
    })
  }

  #feedAll(): void {
    for (const line of this.#lines.values()) this.#feed(line)
  }

  #feed(line: SupplierLine): void {
    const { peer } = line.supplier
    const out = this.#wants.outWith(peer)
    const room = line.room(out, this.#lines.size)
    if (room === 0 || this.#wants.size === 0 || this.#stop.signal.aborted) return
    const most = this.#pace.most(room, line.guessBytes)
    if (most === 0) return
    let cids = this.#wants.assign(peer, most)
    if (cids.length === 0 && out === 0) cids = this.#wants.steal(peer, Math.min(stealBlocks, most), this.#moreAskers())
    if (cids.length === 0) return
    if (out === 0) line.lastAnswerMs = this.#deps.clock.monotonicMs()
    this.#pace.spend(line.ask(cids))
  }

  // Those that were asked first may all stall or crawl; the longer nothing comes, the more of the others may try.
  #moreAskers(): number {
    return Math.floor(this.#silence.withoutBlockMs / times.takeOverMs)
  }

  #progressed(line: SupplierLine, bytes: number): void {
    if (this.#wants.outWith(line.supplier.peer) > 0) this.#pace.came(bytes)
    const isGood = this.#silence.hear(bytes)
    if (!line.progressed(bytes) || !isGood) return
    this.#silence.endForNow()
    line.lastAnswerMs = this.#deps.clock.monotonicMs()
  }

  async #answer(line: SupplierLine, cid: CID, bytes: Uint8Array | undefined): Promise<void> {
    const { peer } = line.supplier
    if (this.#stop.signal.aborted || this.#lines.get(peer) !== line) return
    this.#pace.spend((bytes?.byteLength ?? 0) - line.answered())
    line.lastAnswerMs = this.#deps.clock.monotonicMs()
    if (!bytes) {
      this.#wants.missing(peer, cid)
      this.#dispatch()
      return
    }
    let block: Block
    try {
      block = Block.verify(cid, bytes)
    } catch (error) {
      this.#drop(line, sentenceOf(error))
      return
    }
    line.received(bytes.byteLength)
    if (this.#wants.received(cid)) await this.#take(block, peer)
    this.#feed(line)
  }

  async #take(block: Block, from: PeerId): Promise<void> {
    const name = nameOf(block.cid)
    const sizeBytes = block.bytes.byteLength
    this.#silence.end()
    this.#report.blocks++
    this.#report.bytes += sizeBytes
    this.#report.sources[from] = (this.#report.sources[from] ?? 0) + sizeBytes
    this.#doneBytes += sizeBytes
    try {
      await this.#deps.writer.put(block, { signal: this.#stop.signal })
      const listeners = this.#arrivals.get(name) ?? []
      this.#arrivals.delete(name)
      for (const listener of listeners) listener(block)
    } catch (error) {
      this.#fail(error)
    }
    const note = `from ${this.#lines.size} ${this.#lines.size === 1 ? 'peer' : 'peers'}`
    // Blocks that are in the DAG several times come once, and whoever made it may have lied.
    const total = this.#totalBytes === undefined ? undefined : Math.max(this.#totalBytes, this.#doneBytes)
    this.#options.onProgress?.({ phase: 'fetching', done: this.#doneBytes, total, unit: 'bytes', note })
  }

  async #search(): Promise<void> {
    const { signal } = this.#stop
    const { findProviders } = this.#deps
    for (const hint of this.#options.hints ?? []) this.#meet(hint)
    for (let againMs = searchAgainFirstMs; !signal.aborted; againMs = Math.min(againMs * 2, searchAgainMostMs)) {
      this.#options.onProgress?.({ phase: 'looking up', done: this.#lines.size, unit: 'peers' })
      try {
        for await (const provider of findProviders(this.#root, { signal })) this.#meet(provider)
      } catch (error) {
        if (signal.aborted) return
        this.#deps.log.debug(`looking up ${this.#root}: ${sentenceOf(error)}`)
      }
      do await sleep(this.#deps.clock, againMs, signal).catch(() => {})
      while (!signal.aborted && !this.#needsMore())
      // Who lacked a block may have got it meanwhile, and who could not be reached may be back.
      this.#wants.askAgain()
      this.#refused.clear()
      this.#dispatch()
    }
  }

  #needsMore(): boolean {
    if (this.#wants.size === 0) return false
    if (this.#lines.size === 0) return this.#dialing.size === 0
    // Those that are here may all be about to stall, and somebody better may have come.
    if (this.#silence.withoutBlockMs > searchAgainMostMs) return true
    return this.#wants.lackedBy([...this.#lines.keys()]) !== undefined
  }

  #meet(provider: PeerInfo): void {
    const { peer } = provider
    const { self, log } = this.#deps
    const busy = this.#lines.size + this.#dialing.size >= limits.fetchPeersMax
    if (peer === self || busy || this.#lines.has(peer) || this.#dialing.has(peer) || this.#refused.has(peer)) return
    this.#dialing.add(peer)
    this.#options.onProgress?.({ phase: 'dialing', done: this.#lines.size, unit: 'peers', note: peer })
    this.#connect(provider)
      .catch((error) => {
        if (this.#stop.signal.aborted) return
        log.debug(`${peer} cannot supply: ${sentenceOf(error)}`)
        this.#refused.set(peer, sentenceOf(error))
      })
      .finally(() => this.#dialing.delete(peer))
  }

  async #connect(provider: PeerInfo): Promise<void> {
    const { signal } = this.#stop
    let line: SupplierLine | undefined
    const events: SupplierEvents = {
      onAnswer: (cid, bytes) => (line ? this.#answer(line, cid, bytes) : undefined),
      onBytes: (bytes) => line && this.#progressed(line, bytes),
      onGone: (reason) => line && this.#drop(line, sentenceOf(reason)),
    }
    const supplier = await this.#deps.connect(provider, events, { signal })
    if (signal.aborted) return supplier.close()
    line = new SupplierLine(supplier, this.#deps.clock.monotonicMs())
    this.#lines.set(provider.peer, line)
    this.#feed(line)
  }

  #drop(line: SupplierLine, reason: string): void {
    const { peer } = line.supplier
    if (this.#lines.get(peer) !== line) return
    this.#deps.log.debug(`${peer} no longer supplies: ${reason}`)
    this.#lines.delete(peer)
    this.#refused.set(peer, reason)
    this.#lost = `${peer}: ${reason}`
    this.#wants.drop(peer)
    this.#close(line)
    this.#dispatch()
  }

  // Once a second: who has been silent for too long, and is there any hope left.
  #watch(): void {
    this.#cancelCheck = this.#deps.clock.timer(checkEveryMs, () => {
      const nowMs = this.#deps.clock.monotonicMs()
      for (const line of this.#lines.values()) {
        const silentMs = nowMs - line.lastAnswerMs
        if (this.#wants.outWith(line.supplier.peer) > 0 && silentMs > times.stallMs)
          this.#drop(line, `it sent nothing for ${formatTime(silentMs)}`)
      }
      if (this.#wants.size === 0 || this.#isHeld()) this.#silence.end()
      const silentMs = this.#silence.withoutProgressMs
      if (silentMs > times.lookUpMs) this.#fail(this.#hopeless())
      else if (silentMs > quietMs) this.#tellWaiting(silentMs)
      this.#dispatch()
      // However slow the line, a crash costs a second's worth. What went wrong is told by the next put.
      void this.#deps.writer.flush().catch(() => {})
      if (!this.#stop.signal.aborted) this.#watch()
    })
  }

  /** True while nothing comes because we ask for nothing. */
  #isHeld(): boolean {
    return this.#pace.isHeld && [...this.#lines.keys()].every((peer) => this.#wants.outWith(peer) === 0)
  }

  #tellWaiting(silentMs: number): void {
    const left = `giving up in ${formatTime(times.lookUpMs - silentMs)}`
    const lost = this.#lost ? `lost ${this.#lost}; looking for others` : 'nobody found yet'
    const note = this.#lines.size > 0 ? `${this.#lines.size} found, nothing comes, ${left}` : `${lost}, ${left}`
    this.#options.onProgress?.({ phase: 'looking up', done: 0, unit: 'peers', note })
  }

  #hopeless(): ExchangeError {
    const lines = [...this.#lines.keys()]
    const lacked = this.#wants.lackedBy(lines) ?? this.#root
    const silent = lines.filter((peer) => !this.#wants.get(lacked)?.missingAt.has(peer))
    const failed = [...this.#refused].map(([peer, reason]) => `${peer}: ${reason}`)
    const lacking = lines.length - silent.length
    return hopeless({ cid: lacked, lacking, silent, failed, lost: this.#lost, report: this.#report })
  }

  #fail(reason: unknown): void {
    this.#failed.reject(reason)
    this.#pace.close()
    if (this.#stop.signal.aborted && this.#lines.size === 0) return
    this.#detach()
    this.#cancelCheck?.()
    this.#stop.abort(reason)
    for (const line of this.#lines.values()) this.#close(line)
    this.#lines.clear()
  }

  #close(line: SupplierLine): void {
    this.#pace.spend(-line.askedBytes)
    line.supplier.close()
  }
}
