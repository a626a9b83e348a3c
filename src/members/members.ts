// The members of a cluster: who they are, who is alive, and what the ring is made of. Each member signs what it claims of
// itself; claims spread by gossip and on the back of probes, and are compared when members meet and now and then, so that
// all come to the same view. Whom a peer thinks alive is its own opinion and never changes the view.
//
// Only peers that have shown on their connection that they hold the secret are heard. A peer without it (a hub) opens this
// organ too: it is no member, has no members, and everything here stays quiet.

import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import type { Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { Member, MemberState, View } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Admission, AnswerCall, Broadcast, Calls, Membership, Network, Signer, Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { type ClaimEntry, isZone } from './claim.ts'
import { MembersError } from './errors.ts'
import { Greeting } from './greeting.ts'
import { decodeRequest, decodeRumours, protocol, topic } from './messages.ts'
import { Probing } from './probing.ts'
import { Reconciling } from './reconciling.ts'
import { claimedAddresses, type OnNews, Roll } from './roll.ts'

export interface MembersDeps {
  network: Network
  broadcast: Broadcast
  signer: Signer
  admission: Admission
  /** What is known of the members of this cluster; another cluster needs another table. */
  table: Table
  clock: Clock
  random: Random
  log: Log
  openCalls: (options: { protocol: string; answer: AnswerCall }) => Promise<Calls>
}

export interface MembersOptions {
  /** One to 64 bytes of printable text. */
  zone: string
  /** Bytes given to the cluster; 0 holds nothing. */
  capacity: number
}

export interface Members extends Membership, AsyncDisposable {
  /** To be run by whoever opened this; without them nobody is met or probed. */
  readonly workers: readonly Worker[]
  /** `none` for a machine without the secret; whoever was `forgotten` is so for ever. */
  readonly standing: 'member' | 'forgotten' | 'none'
  /** News that this peer still passes on: 0 when its part of the cluster has come to rest. */
  readonly untold: number
  /** One sentence about this peer's place in the cluster. */
  status(): string
  /** Out of the ring from now on, still serving; durable and told when it resolves. Throws NOT_JOINED. */
  beginLeave(): Promise<void>
  /** Gone, until the next start with this identity. Throws NOT_JOINED. */
  finishLeave(): Promise<void>
  isForgotten(peer: PeerId): boolean
  /** Puts a member out of the cluster, for ever; durable and told when it resolves. Throws MEMBER_UNKNOWN, FORGET_SELF, NOT_JOINED. */
  forget(peer: PeerId): Promise<void>
}

/** Joins, or comes back, with a higher incarnation than ever before. Throws ZONE_INVALID, CAPACITY_INVALID, what Table throws. */
export async function openMembers(deps: MembersDeps, { zone, capacity }: MembersOptions): Promise<Members> {
  checkOptions(zone, capacity)
  const addresses = claimedAddresses(deps.network.addresses())
  const members = new ClusterMembers(deps, new Roll(deps, { state: 'joined', zone, capacity, addresses }))
  await members.open()
  return members
}

function checkOptions(zone: string, capacity: number): void {
  if (!isZone(zone))
    throw new MembersError('ZONE_INVALID', `a zone is 1 to ${limits.zoneBytesMax} bytes of printable text, as 'home'`)
  if (!Number.isSafeInteger(capacity) || capacity < 0)
    throw new MembersError('CAPACITY_INVALID', `a capacity is a whole number of bytes, 0 or more, not ${capacity}`)
}

class ClusterMembers implements Members {
  readonly self: PeerId
  readonly workers: readonly Worker[]
  readonly #deps: MembersDeps
  readonly #roll: Roll
  readonly #greeting: Greeting
  readonly #probing: Probing
  readonly #reconciling: Reconciling
  readonly #listeners = new Set<(change: { view: boolean }) => void>()
  readonly #scope = new Scope()
  #calls: Calls | undefined
  #listed: ReadonlyMap<PeerId, Member> | undefined

  constructor(deps: MembersDeps, roll: Roll) {
    this.self = deps.signer.self
    this.#deps = deps
    this.#roll = roll
    const calls = () => this.#calls!
    this.#reconciling = new Reconciling({ ...deps, calls, roll, proven: () => this.#greeting.provenPeers() })
    this.#greeting = new Greeting({
      ...deps,
      calls,
      roll,
      near: () => this.#probing.near,
      onProven: (peer) => this.#probing.heard(peer),
      reconcile: (peer, options) => this.#reconciling.with(peer, options),
    })
    this.#probing = new Probing(
      {
        ...deps,
        calls,
        roll,
        greeting: this.#greeting,
        onLiveness: () => this.#changed({ view: false }),
        onLatency: () => {
          this.#listed = undefined
        },
      },
      { self: this.self },
    )
    this.workers = [this.#greeting, this.#probing, this.#reconciling]
  }

  async open(): Promise<void> {
    const { admission, broadcast, network, openCalls } = this.#deps
    await using scope = new Scope()
    this.#roll.listen((news) => this.#onNews(news))
    scope.defer(() => this.#roll.close())
    if (admission.proof()) {
      this.#roll.load()
      if (this.standing === 'member') await this.#roll.claim({})
      else this.#deps.log.warn(this.status())
    }
    this.#calls = scope.use(
      await openCalls({ protocol, answer: (request, from) => this.#answer(decodeRequest(request), from) }),
    )
    scope.defer(() => this.#probing.close())
    scope.defer(network.onPeer((event) => this.#onPeer(event)))
    // A hub passes gossip on only if it listens; it must not read this.
    if (admission.proof()) scope.defer(broadcast.subscribe(topic, ({ from, bytes }) => this.#onGossip(from, bytes)))
    const opened = scope.move()
    this.#scope.defer(() => opened.close())
    if (this.#roll.own) this.#publishOwn()
  }

  members(): readonly Member[] {
    return [...this.#listing().values()]
  }

  member(peer: PeerId): Member | undefined {
    const entry = this.#roll.book.get(peer)
    return entry?.kind === 'claim' ? this.#memberOf(entry) : undefined
  }

  view(): View {
    return this.#roll.view
  }

  proven(peer: PeerId): boolean {
    return this.#roll.own !== undefined && this.#greeting.proven(peer) && !this.#roll.isForgotten(peer)
  }

  claims(): Uint8Array[] {
    return [...this.#roll.book.values()].map(({ bytes }) => bytes)
  }

  learn(claims: Uint8Array[]): boolean {
    return this.#roll.learn(claims).length > 0
  }

  onChange(listen: (change: { view: boolean }) => void): () => void {
    this.#listeners.add(listen)
    return () => this.#listeners.delete(listen)
  }

  get standing(): 'member' | 'forgotten' | 'none' {
    if (!this.#deps.admission.proof()) return 'none'
    return this.isForgotten(this.self) ? 'forgotten' : 'member'
  }

  get untold(): number {
    return this.#probing.untold
  }

  isForgotten(peer: PeerId): boolean {
    return this.#roll.isForgotten(peer)
  }

  status(): string {
    const { own } = this.#roll
    if (this.standing === 'none') return 'this peer relays for a cluster and is no member of it'
    if (this.standing === 'forgotten') {
      const by = this.#roll.book.get(this.self)?.author
      return `this peer was forgotten by ${by} and is no member any more; 'potluck join LINE' brings this machine back as a new one`
    }
    if (own?.state === 'left') return 'this peer has left its cluster; it joins again when it is started again'
    const others = [...this.#listing().values()].filter(({ peer, state }) => peer !== this.self && state !== 'left')
    const alive = others.filter(({ liveness }) => liveness === 'alive').length
    const doing = own?.state === 'leaving' ? 'leaving its cluster' : 'a member of its cluster'
    return `this peer is ${doing}; ${alive} of ${others.length} other members are alive`
  }

  async beginLeave(): Promise<void> {
    await this.#leave('leaving')
  }

  async finishLeave(): Promise<void> {
    await this.#leave('left')
  }

  async forget(peer: PeerId): Promise<void> {
    if (!this.#roll.own) throw new MembersError('NOT_JOINED', 'only a member can forget another')
    await this.#roll.forget(peer)
    await this.#tellSome()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope.close()
  }

  async #leave(state: MemberState): Promise<void> {
    if (!this.#roll.own) throw new MembersError('NOT_JOINED', 'this peer is no member of a cluster')
    if (this.#roll.own.state !== 'left') await this.#roll.claim({ state })
    await this.#tellSome()
  }

  /** Gossip may be lost, and whoever stops now cannot say it again: some are told so that they have answered. */
  async #tellSome(): Promise<void> {
    // Who has left watches nobody any more, and takes all for alive.
    const isAlive = (peer: PeerId) => (this.#probing.livenessOf(peer) ?? 'alive') === 'alive'
    const peers = this.#greeting.provenPeers().filter(isAlive)
    const some = peers.slice(0, limits.probeHelpers)
    const tell = (signal: AbortSignal) =>
      Promise.allSettled(some.map((peer) => this.#reconciling.with(peer, { signal })))
    await withDeadline(this.#deps.clock, times.farewellMs, 'telling other members', tell).catch(() =>
      this.#deps.log.debug('not all members were told at once'),
    )
  }

  async #answer(request: ReturnType<typeof decodeRequest>, from: PeerId): Promise<Uint8Array> {
    if (request.kind === 'hello') return this.#greeting.answer(request.proof, from)
    if (!this.proven(from)) throw new MembersError('NOT_PROVEN', 'prove first that you hold the secret of this cluster')
    if (request.kind === 'ping') return this.#probing.answerPing(request.rumours, from)
    this.#probing.heard(from)
    if (request.kind === 'ask') return await this.#probing.answerAsk(request)
    if (request.kind === 'compare') return this.#reconciling.answerCompare(request.digest)
    return this.#reconciling.answerExchange(request, from)
  }

  #onGossip(from: PeerId, bytes: Uint8Array): void {
    if (!this.#roll.own || this.#roll.isForgotten(from)) return
    try {
      this.#probing.hear(decodeRumours(bytes))
    } catch (error) {
      this.#deps.log.debug(`gossip of ${from}: ${sentenceOf(error)}`)
    }
  }

  #onPeer({ peer, connected }: { peer: PeerId; connected: boolean }): void {
    if (connected) this.#greeting.connected(peer)
    else {
      this.#greeting.disconnected(peer)
      this.#probing.lost(peer)
    }
  }

  readonly #onNews: OnNews = ({ entries, by, view }) => {
    this.#listed = undefined
    for (const { kind, peer } of entries) {
      if (kind !== 'forgotten') continue
      this.#greeting.doubt(peer)
      if (peer === this.self && this.#calls) this.#deps.log.warn(this.status())
    }
    // What was missing here when books were compared, others know; but not somebody who has just come to us.
    this.#probing.rollChanged(entries, { isTold: ({ peer }) => by === undefined || peer === by })
    // Who makes news, or hears of somebody from himself, tells everybody: others pass it on with their probes.
    const first = entries.filter(({ author, peer }) => author === this.self || peer === by)
    if (this.#calls && first.length > 0) this.#probing.publish(first)
    this.#changed({ view })
  }

  #publishOwn(): void {
    const own = this.#roll.book.get(this.self)
    if (own) this.#probing.publish([own])
  }

  #changed(change: { view: boolean }): void {
    this.#listed = undefined
    for (const listen of [...this.#listeners]) {
      try {
        listen(change)
      } catch (error) {
        this.#deps.log.error(`a listener to members failed: ${sentenceOf(error)}`)
      }
    }
  }

  #listing(): ReadonlyMap<PeerId, Member> {
    this.#listed ??= new Map(this.#roll.claims().map((entry) => [entry.peer, this.#memberOf(entry)]))
    return this.#listed
  }

  #memberOf({ peer, claim }: ClaimEntry): Member {
    if (peer === this.self) return { ...claim, liveness: 'alive' }
    // Whoever left is not watched.
    const liveness = this.#probing.livenessOf(peer) ?? 'dead'
    return { ...claim, liveness, latencyMs: this.#probing.latencyOf(peer) }
  }
}
