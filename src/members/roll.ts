// The roll of members as this peer keeps it: the book, durable, and the claim that it makes of itself. Own claims are
// durable before anybody hears of them, so that an incarnation is never used for two things; what others say is written
// behind, since it can be heard again. The roll sends nothing: it tells what is news to whoever listens.
import { type Clock, sleep } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { Claim, View } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Signer, Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { type ClaimEntry, decodeEntry, type Entry, idOf, isGenuine, signClaim, signNotice } from './claim.ts'
import { MembersError } from './errors.ts'
import { type Book, changesView, claimsOf, digestOf, isNews, merge, viewOf } from './merge.ts'

export interface RollDeps {
  signer: Signer
  table: Table
  clock: Clock
  log: Log
}

/** What a member may change of its claim. */
export type Standing = Pick<Claim, 'state' | 'zone' | 'capacity' | 'addresses'>

/** `by` is the peer that told us; undefined for what this peer made or kept itself. */
export type OnNews = (news: { entries: Entry[]; by: PeerId | undefined; view: boolean }) => void

const prefix = 'entry/'

export class Roll {
  readonly #deps: RollDeps
  readonly #stop = new AbortController()
  #standing: Standing
  #book: Book = new Map()
  #claims: readonly ClaimEntry[] | undefined
  #ids: Set<string> | undefined
  #view: View | undefined
  #digest: Uint8Array | undefined
  #onNews: OnNews = () => {}
  readonly #unsaved = new Map<PeerId, Entry>()
  #saving: Promise<void> | undefined
  #claiming: Promise<void> = Promise.resolve()
  #isFull = false
  #refutedMs = Number.NEGATIVE_INFINITY

  constructor(deps: RollDeps, standing: Standing) {
    this.#deps = deps
    this.#standing = standing
  }

  /** Reads what was kept. Entries that are damaged are dropped: others have them. */
  load(): void {
    const { table, log } = this.#deps
    const entries: Entry[] = []
    for (const [key, bytes] of table.range({ from: prefix, to: `${prefix}~` })) {
      try {
        entries.push(this.#genuine(decodeEntry(bytes)))
      } catch (error) {
        log.warn(`what was kept of member ${key.slice(prefix.length)} is damaged: ${sentenceOf(error)}`)
      }
    }
    this.#ids = undefined
    this.#hold(merge(this.#book, entries).book, { view: true })
  }

  listen(onNews: OnNews): void {
    this.#onNews = onNews
  }

  get book(): Book {
    return this.#book
  }

  /** The same object until it changes. */
  get view(): View {
    this.#view ??= viewOf(this.#book)
    return this.#view
  }

  /** Of all entries. */
  get ids(): ReadonlySet<string> {
    this.#ids ??= new Set([...this.#book.values()].map(({ id }) => id))
    return this.#ids
  }

  get digest(): Uint8Array {
    this.#digest ??= digestOf(this.#book)
    return this.#digest
  }

  /** What this peer claims of itself; undefined before its first claim, and when it was forgotten. */
  get own(): Claim | undefined {
    return this.claimOf(this.#deps.signer.self)
  }

  claimOf(peer: PeerId): Claim | undefined {
    const entry = this.#book.get(peer)
    return entry?.kind === 'claim' ? entry.claim : undefined
  }

  isForgotten(peer: PeerId): boolean {
    return this.#book.get(peer)?.kind === 'forgotten'
  }

  /** Sorted by PeerId; the same object until the book changes. */
  claims(): readonly ClaimEntry[] {
    this.#claims ??= claimsOf(this.#book)
    return this.#claims
  }

  /** Takes genuine entries that are news, and tells which. What is garbled or forged is dropped. */
  learn(encoded: Iterable<Uint8Array>, by?: PeerId): Entry[] {
    const entries: Entry[] = []
    for (const bytes of encoded) {
      // Most of what is heard is known word for word.
      if (this.ids.has(idOf(bytes))) continue
      try {
        const entry = decodeEntry(bytes)
        // A signature costs a hundred times what the comparison does.
        if (!isNews(this.#book, entry)) {
          if (!this.#book.has(entry.peer)) this.#noRoom(entry)
          continue
        }
        this.#genuine(entry)
        if (entry.kind === 'claim' && entry.peer === this.#deps.signer.self) this.#meetPast(entry.claim.incarnation)
        else entries.push(entry)
      } catch (error) {
        this.#deps.log.debug(sentenceOf(error))
      }
    }
    if (entries.length === 0) return entries
    const news = this.#take(entries, by)
    for (const entry of news) this.#unsaved.set(entry.peer, entry)
    if (news.length > 0) void this.save()
    return news
  }

  /** Makes a new claim with what has changed; resolves when it is durable and told. Throws NOT_JOINED if forgotten. */
  claim(change: Partial<Standing>): Promise<void> {
    const turn = this.#claiming.then(() => this.#claimNow(change, 0))
    this.#claiming = turn.catch(() => {})
    return turn
  }

  /** Claims a higher incarnation than this one, which was doubted, or is ours from before our disk was lost. */
  refute(incarnation: number): void {
    this.#claiming = this.#claiming.then(() => this.#refuteNow(incarnation)).catch((error) => this.#failed(error))
  }

  /** Signs that a member is forgotten, for ever; resolves when that is durable. Throws MEMBER_UNKNOWN, FORGET_SELF. */
  async forget(peer: PeerId): Promise<void> {
    const { signer, table } = this.#deps
    if (peer === signer.self)
      throw new MembersError('FORGET_SELF', 'a member cannot forget itself: leave the cluster, or forget it elsewhere')
    if (this.isForgotten(peer)) return
    if (!this.#book.has(peer))
      throw new MembersError('MEMBER_UNKNOWN', `${peer} is no member of this cluster; 'members' lists them`)
    const notice = signNotice(signer, peer)
    await table.write([{ put: prefix + peer, value: notice.bytes }])
    this.#take([notice], undefined)
  }

  /** Writes what is not durable yet; what fails is tried again with the next news. */
  save(): Promise<void> {
    this.#saving ??= this.#saveAll().finally(() => {
      this.#saving = undefined
    })
    return this.#saving
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('this peer stops'))
    await this.#claiming
    await this.save()
  }

  async #saveAll(): Promise<void> {
    // News that come in meanwhile are written together.
    await Promise.resolve()
    while (this.#unsaved.size > 0) {
      const batch = [...this.#unsaved.values()]
      this.#unsaved.clear()
      try {
        await this.#deps.table.write(batch.map(({ peer, bytes }) => ({ put: prefix + peer, value: bytes })))
      } catch (error) {
        for (const entry of batch) if (!this.#unsaved.has(entry.peer)) this.#unsaved.set(entry.peer, entry)
        this.#failed(error)
        return
      }
    }
  }

  async #refuteNow(incarnation: number): Promise<void> {
    const { clock } = this.#deps
    const { own } = this
    if (!own || own.incarnation > incarnation) return
    const waitMs = this.#refutedMs + times.refuteEveryMs - clock.monotonicMs()
    if (waitMs > 0) await sleep(clock, waitMs, this.#stop.signal)
    await this.#claimNow({}, incarnation)
    this.#refutedMs = clock.monotonicMs()
  }

  async #claimNow(change: Partial<Standing>, above: number): Promise<void> {
    const { signer, table } = this.#deps
    const { self } = signer
    if (this.isForgotten(self)) throw new MembersError('NOT_JOINED', 'this peer was forgotten by its cluster')
    const standing = { ...this.#standing, ...change }
    const incarnation = Math.max(this.own?.incarnation ?? 0, above) + 1
    const entry = signClaim(signer, { peer: self, incarnation, ...standing })
    await table.write([{ put: prefix + self, value: entry.bytes }])
    this.#standing = standing
    this.#take([entry], undefined)
  }

  #take(entries: Entry[], by: PeerId | undefined): Entry[] {
    const { book, news } = merge(this.#book, entries)
    if (news.length === 0) return news
    const view = news.some((entry) => changesView(this.#book.get(entry.peer), entry))
    for (const { id, peer } of news) {
      this.#ids?.delete(this.#book.get(peer)?.id ?? '')
      this.#ids?.add(id)
    }
    this.#hold(book, { view })
    this.#onNews({ entries: news, by, view })
    return news
  }

  #hold(book: Book, { view }: { view: boolean }): void {
    this.#book = book
    this.#claims = undefined
    this.#digest = undefined
    if (view) this.#view = undefined
  }

  #genuine(entry: Entry): Entry {
    if (isGenuine(this.#deps.signer, entry)) return entry
    throw new MembersError('CLAIM_INVALID', `what somebody said of ${entry.peer} was not signed by ${entry.author}`)
  }

  /** Others have a claim of ours that we have not: our disk was lost, or restored, or is in use twice. */
  #meetPast(incarnation: number): void {
    this.#deps.log.info(`this peer has been a member before, as incarnation ${incarnation}: it goes on above that`)
    this.refute(incarnation)
  }

  #noRoom({ peer }: Entry): void {
    const { log } = this.#deps
    // Said once: it is heard again and again.
    if (!this.#isFull) log.warn(`this cluster has as many members as it can: ${peer} is not taken in; forget lost ones`)
    this.#isFull = true
  }

  #failed(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#deps.log.warn(`the list of members was not written: ${sentenceOf(error)}`)
  }
}

/** Addresses as they are claimed: without the `/p2p/…` tail, the same for the same set, those of this machine alone last. */
export function claimedAddresses(addresses: string[]): string[] {
  const bare = addresses.map((address) => address.replace(/\/p2p\/[^/]+$/, ''))
  const fit = [...new Set(bare)].filter((address) => address.length <= limits.addressCharactersMax).sort()
  const isLoopback = (address: string) => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address)
  return [...fit.filter((one) => !isLoopback(one)), ...fit.filter(isLoopback)].slice(0, limits.claimAddressesMax)
}
