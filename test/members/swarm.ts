// Many detectors in a network of their own: messages are encoded as on the wire, take a while, overtake each other and get
// lost; processes stop, pause and crash. No promises and no clocks, so that minutes of a cluster pass in a moment.
import { type Random, seededRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import type { Liveness } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { decodeEntry, signClaim } from '../../src/members/claim.ts'
import { Detector } from '../../src/members/detector.ts'
import type { DetectorAction, DetectorEvent } from '../../src/members/detector-events.ts'
import {
  decodeReached,
  decodeRequest,
  decodeRumours,
  encodeReached,
  encodeRequest,
  encodeRumours,
  opinionOf,
} from '../../src/members/messages.ts'
import { type Rumour, Rumours, rumourOf } from '../../src/members/rumours.ts'
import { newPeerId } from '../twins/dht.ts'
import { twinSigner } from './signer.ts'

interface Due {
  atMs: number
  order: number
  /** At whose process it happens: a paused one does it later, a dead one never. */
  node: SwarmNode
  run: () => void
}

export interface SwarmOptions {
  members: number
  seed: number
  /** Share of messages that are lost. */
  loss?: number
}

/** A change of mind, for what a test wants to know of a whole run. */
export interface Change {
  atMs: number
  at: SwarmNode
  peer: PeerId
  liveness: Liveness
}

export class Swarm {
  readonly nodes: SwarmNode[]
  readonly changes: Change[] = []
  readonly random: Random
  nowMs = 0
  loss: number
  #order = 0
  readonly #heap: Due[] = []

  constructor({ members, seed, loss = 0 }: SwarmOptions) {
    this.random = seededRandom(seed)
    this.loss = loss
    const peers = Array.from({ length: members }, () => newPeerId(this.random))
    this.nodes = peers.map((peer, index) => new SwarmNode(this, peer, seededRandom(seed * 1_000 + index)))
    for (const node of this.nodes) node.start()
  }

  /** `alive` as seen by everyone else that runs. */
  seenAs(peer: SwarmNode, liveness: Liveness): boolean {
    return this.nodes.every((node) => node === peer || !node.runs || node.detector.livenessOf(peer.peer) === liveness)
  }

  runFor(ms: number): void {
    const untilMs = this.nowMs + ms
    for (let due = this.#heap[0]; due && due.atMs <= untilMs; due = this.#heap[0]) {
      this.#pop()
      this.nowMs = Math.max(this.nowMs, due.atMs)
      if (!due.node.runs) continue
      if (due.node.pausedUntilMs > this.nowMs) this.at(due.node.pausedUntilMs, due.node, due.run)
      else due.run()
    }
    this.nowMs = untilMs
  }

  /** Runs until something holds; gives how long that took, or infinity. */
  runUntil(holds: () => boolean, withinMs: number): number {
    const startMs = this.nowMs
    while (!holds()) {
      if (this.nowMs - startMs >= withinMs) return Number.POSITIVE_INFINITY
      this.runFor(10)
    }
    return this.nowMs - startMs
  }

  at(atMs: number, node: SwarmNode, run: () => void): void {
    const due = { atMs, order: this.#order++, node, run }
    const heap = this.#heap
    let at = heap.push(due) - 1
    for (let up = (at - 1) >> 1; at > 0 && isBefore(due, heap[up]!); up = (at - 1) >> 1) {
      heap[at] = heap[up]!
      heap[up] = due
      at = up
    }
  }

  send(from: SwarmNode, to: PeerId, bytes: Uint8Array, receive: (node: SwarmNode, bytes: Uint8Array) => void): void {
    from.sentBytes += bytes.byteLength
    from.greatestBytes = Math.max(from.greatestBytes, bytes.byteLength)
    const node = this.nodes.find(({ peer }) => peer === to)!
    if (this.random.unit() < this.loss) return
    this.at(this.nowMs + 1 + 20 * this.random.unit(), node, () => receive(node, bytes))
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    heap[0] = last
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      const child = left + 1 < heap.length && isBefore(heap[left + 1]!, heap[left]!) ? left + 1 : left
      if (child >= heap.length || !isBefore(heap[child]!, last)) return
      heap[at] = heap[child]!
      heap[child] = last
      at = child
    }
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

export class SwarmNode {
  readonly peer: PeerId
  readonly detector: Detector
  readonly rumours = new Rumours()
  readonly #swarm: Swarm
  runs = true
  pausedUntilMs = 0
  wallOffsetMs = 0
  incarnation = 1
  sentBytes = 0
  greatestBytes = 0
  redials = 0
  refutations = 0
  readonly #known = new Map<PeerId, number>()
  readonly #asked = new Map<number, () => void>()
  #tickMs = Number.POSITIVE_INFINITY
  #nextAsk = 1

  constructor(swarm: Swarm, peer: PeerId, random: Random) {
    this.#swarm = swarm
    this.peer = peer
    this.detector = new Detector({ random }, { self: peer, nowMs: swarm.nowMs })
  }

  start(): void {
    for (const { peer } of this.#swarm.nodes) if (peer !== this.peer) this.#known.set(peer, 1)
    this.#roster()
  }

  crash(): void {
    this.runs = false
  }

  pauseFor(ms: number): void {
    this.pausedUntilMs = this.#swarm.nowMs + ms
  }

  feed(event: DetectorEvent): void {
    for (const action of this.detector.on(event, this.#swarm.nowMs)) this.#do(action)
    if (this.detector.dueMs === this.#tickMs) return
    const dueMs = this.detector.dueMs
    this.#tickMs = dueMs
    this.#swarm.at(Math.max(dueMs, this.#swarm.nowMs), this, () => {
      if (this.#tickMs !== dueMs) return
      this.#tickMs = Number.POSITIVE_INFINITY
      this.feed({ kind: 'tick', wallMs: this.#swarm.nowMs + this.wallOffsetMs })
    })
  }

  #roster(): void {
    this.feed({ kind: 'roster', peers: this.#known, incarnation: this.incarnation })
  }

  #do(action: DetectorAction): void {
    const swarm = this.#swarm
    if (action.kind === 'ping') {
      this.#ping(action.peer, () => this.feed({ kind: 'answered', probe: action.probe }))
    } else if (action.kind === 'ask') {
      for (const helper of action.helpers) this.#ask(helper, action)
    } else if (action.kind === 'liveness') {
      swarm.changes.push({ atMs: swarm.nowMs, at: this, peer: action.peer, liveness: action.liveness })
    } else if (action.kind === 'spread') {
      this.rumours.addOpinion(action.opinion)
      if (action.urgent) this.#publish([rumourOf(action.opinion)])
    } else if (action.kind === 'refute') {
      if (action.incarnation < this.incarnation) return
      this.refutations++
      this.incarnation = action.incarnation + 1
      const entry = this.claim()
      this.rumours.addEntry(entry)
      this.#publish([entry.bytes])
      this.#roster()
    } else {
      this.redials++
      swarm.at(swarm.nowMs + 500, this, () => this.feed({ kind: 'redialed' }))
    }
  }

  knows(peer: PeerId): number | undefined {
    return this.#known.get(peer)
  }

  claim() {
    const addresses = ['/ip4/192.168.178.21/tcp/4101', '/ip6/2001:db8:85a3::8a2e:370:7334/tcp/4101']
    const claim = {
      peer: this.peer,
      incarnation: this.incarnation,
      state: 'joined',
      zone: 'home',
      capacity: 1e11,
    } as const
    return signClaim(twinSigner(this.peer), { ...claim, addresses })
  }

  #newsFor(peer: PeerId): Rumour[] {
    const doubt = this.detector.doubtAbout(peer)
    const news = this.rumours.pick(this.detector.living)
    return doubt ? [rumourOf(doubt), ...news] : news
  }

  #hear(rumours: Rumour[]): void {
    for (const rumour of rumours) {
      const opinion = opinionOf(rumour)
      if (opinion) this.feed({ kind: 'opinion', opinion })
      else {
        const entry = decodeEntry(rumour as Uint8Array)
        if (entry.kind !== 'claim' || entry.claim.incarnation <= (this.#known.get(entry.peer) ?? 1e9)) continue
        this.#known.set(entry.peer, entry.claim.incarnation)
        this.rumours.addEntry(entry)
        this.#roster()
      }
    }
  }

  #ping(to: PeerId, onAnswer: () => void): void {
    const request = encodeRequest({ kind: 'ping', rumours: this.#newsFor(to) })
    this.#swarm.send(this, to, request, (target, bytes) => {
      const decoded = decodeRequest(bytes)
      const told = target.#newsFor(this.peer)
      target.feed({ kind: 'heard', peer: this.peer })
      if (decoded.kind === 'ping') target.#hear(decoded.rumours)
      this.#swarm.send(target, this.peer, encodeRumours(told), (_, answer) => {
        this.feed({ kind: 'heard', peer: to })
        this.#hear(decodeRumours(answer))
        onAnswer()
      })
    })
  }

  #ask(helper: PeerId, { probe, peer, withinMs }: DetectorAction & { kind: 'ask' }): void {
    const swarm = this.#swarm
    const conclude = (reached: boolean | undefined) => this.feed({ kind: 'helped', probe, reached })
    const ask = this.#nextAsk++
    this.#asked.set(ask, () => conclude(undefined))
    swarm.at(swarm.nowMs + withinMs, this, () => this.#answered(ask)?.())
    swarm.send(this, helper, encodeRequest({ kind: 'ask', peer, withinMs: Math.round(withinMs) }), (node) => {
      let done = false
      const answer = (reached: boolean) => {
        if (done) return
        done = true
        swarm.send(node, this.peer, encodeReached(reached), (_, bytes) => {
          if (this.#answered(ask)) conclude(decodeReached(bytes))
        })
      }
      node.#ping(peer, () => answer(true))
      swarm.at(swarm.nowMs + withinMs * 0.8, node, () => answer(false))
    })
  }

  #answered(ask: number): (() => void) | undefined {
    const open = this.#asked.get(ask)
    this.#asked.delete(ask)
    return open
  }

  #publish(rumours: Rumour[]): void {
    const bytes = encodeRumours(rumours)
    for (const { peer } of this.#swarm.nodes)
      if (peer !== this.peer) this.#swarm.send(this, peer, bytes, (node) => node.#hear(decodeRumours(bytes)))
  }

  /** The most that a message may carry, with what a doubt about its receiver adds. */
  static readonly messageBytesMax = limits.rumourBytesMax + 200
}
