// The witness looks at the whole cluster as nobody in it can: at every disk, whether its machine runs or not, at what each
// peer knows, and at who can reach whom. It writes down what changes from one look to the next, and changes nothing.

import type { BlockDisk } from '../block-disk.ts'
import type { Cluster, SimulatedPeer } from '../cluster.ts'
import type { Loss, PinHistory } from './history.ts'
import type { Dag, KnownPin, PinInspected, PinProgram } from './program.ts'

type Peer = SimulatedPeer<PinProgram>

export interface WitnessDeps {
  cluster: Cluster<PinProgram>
  history: PinHistory
  /** Machines that are lost for good, or whose disks were. */
  isLost: (peer: Peer) => boolean
  /** Machines that are not members any more. */
  isGone: (peer: Peer) => boolean
  /** Machines that are about to leave. */
  isLeaving: (peer: Peer) => boolean
}

export interface WitnessOptions {
  graceMs: number
}

/** A peer that is cut off knows it after this long; */
const noticeMs = 20_000
/** one that has just started or woken gives the others more time. */
const wakeNoticeMs = 60_000

interface Side {
  sinceMs: number
  noticeMs: number
  /** By content, everybody named on this side. */
  named: Map<string, Set<string>>
}

export class Witness {
  readonly #deps: WitnessDeps
  readonly #graceMs: number
  readonly #dags = new Map<string, Dag>()
  readonly #byRoot = new Map<string, string>()
  /** By content, who has all of it. */
  readonly #full = new Map<string, Map<Peer, BlockDisk>>()
  /** By content, who has all of it and keeps its root. */
  readonly #keepers = new Map<string, Set<Peer>>()
  /** Since when nobody of the larger part of the members has heard of a peer. */
  readonly #unreachedSince = new Map<Peer, number>()
  #sides = new Map<string, Side>()
  /** Programs that ran at the last look. */
  #up = new Set<PinProgram>()
  #inspected = new Map<Peer, PinInspected>()

  constructor(deps: WitnessDeps, { graceMs }: WitnessOptions) {
    this.#deps = deps
    this.#graceMs = graceMs
  }

  watch(dag: Dag): void {
    this.#dags.set(dag.name, dag)
    this.#byRoot.set(dag.root.toString(), dag.name)
    this.#full.set(dag.name, new Map())
    this.#keepers.set(dag.name, new Set())
  }

  /** Machines that have all of it on their disks now, but for those that are lost. */
  holdersOf(dag: Dag): string[] {
    this.#lookAt(dag, undefined)
    return [...this.#full.get(dag.name)!.keys()].map(({ name }) => name)
  }

  /** True if all members are up, those that have the record of a pin know the same wishes, and none is on its way to them. */
  agreesOn(dag: Dag): boolean {
    const members = this.#members()
    if (members.some(({ run }) => !run?.program || run.clock.asleep)) return false
    const root = dag.root.toString()
    const inspected = members.map(({ run }) => run!.program!.inspect())
    const wishes = inspected.flatMap(({ known }) => known.get(root)?.wishes.toSorted().join(' ') ?? [])
    if (new Set(wishes).size > 1) return false
    const known = new Set(inspected.flatMap(({ known }) => known.get(root)?.wishes ?? []))
    return inspected.every(({ onTheirWay }) => onTheirWay.get(root)?.every((id) => known.has(id)) ?? true)
  }

  /** To be called right after bytes of a disk were spoiled, and once for every step of time. */
  look(spoiled?: Peer): void {
    const { cluster } = this.#deps
    for (const dag of this.#dags.values()) this.#lookAt(dag, spoiled)
    this.#inspected = new Map(cluster.running().map((peer) => [peer, peer.run!.program!.inspect()]))
    for (const [{ name }, inspected] of this.#inspected) this.#readOf(name, inspected)
    this.#lookAtSides()
  }

  /** What all members that run know of the pins, by the name of the content, taken together. */
  known(): Map<string, KnownPin> {
    const all = new Map<string, KnownPin>()
    for (const peer of this.#members()) {
      for (const [root, known] of peer.run?.program?.inspect().known ?? []) {
        const name = this.#byRoot.get(root)
        if (name === undefined) continue
        const other = all.get(name)
        // Replicas that differ are the business of the records' simulation: the one with fewer wishes has heard of an end.
        if (!other || known.wishes.length < other.wishes.length) all.set(name, known)
      }
    }
    return all
  }

  #members(): Peer[] {
    return this.#deps.cluster.peers.filter((peer) => !this.#deps.isGone(peer))
  }

  #lookAt(dag: Dag, spoiled: Peer | undefined): void {
    const { cluster, history, isGone } = this.#deps
    const full = this.#full.get(dag.name)!
    for (const peer of cluster.peers) {
      const { blocks } = peer.disk
      const has = !isGone(peer) && dag.blocks.every(({ cid }) => blocks.holds(cid))
      const before = full.get(peer)
      if (has && !before) {
        full.set(peer, blocks)
        history.changed(dag.name, peer.name, 'gained')
      } else if (!has && before) {
        full.delete(peer)
        history.changed(dag.name, peer.name, this.#lossOf(peer, before, spoiled))
      }
      this.#lookAtRoot(dag, peer, has)
    }
  }

  #lookAtRoot({ name, root }: Dag, peer: Peer, has: boolean): void {
    const keepers = this.#keepers.get(name)!
    const keeps = has && peer.disk.blocks.isPinned(root)
    if (keeps === keepers.has(peer)) return
    if (keeps) keepers.add(peer)
    else keepers.delete(peer)
    // Whoever has lost it has been noted for that.
    if (!has) return
    const isGivenUp = this.#deps.isLeaving(peer) && !this.#isRoomFor(name)
    this.#deps.history.changed(name, peer.name, keeps ? 'kept' : isGivenUp ? 'given up' : 'released')
  }

  /** True if a machine that runs, stays and does not keep it has room for it. */
  #isRoomFor(name: string): boolean {
    const { history, isGone, isLeaving } = this.#deps
    return [...this.#inspected].some(([peer, { heldBytes, reservedBytes, capacity }]) => {
      if (isGone(peer) || isLeaving(peer) || this.#keepers.get(name)!.has(peer)) return false
      return capacity - heldBytes - reservedBytes >= history.sizes.get(name)!
    })
  }

  #lossOf(peer: Peer, before: BlockDisk, spoiled: Peer | undefined): Loss {
    if (peer.disk.blocks !== before) return 'wiped'
    if (this.#deps.isGone(peer)) return this.#deps.isLost(peer) ? 'lost' : 'left'
    return peer === spoiled ? 'rotted' : 'dropped'
  }

  #readOf(peer: string, { known, heldBytes, reservedBytes, capacity }: PinInspected): void {
    const { history } = this.#deps
    const bytes = heldBytes + reservedBytes
    if (bytes > capacity) history.overfull.push({ atMs: history.nowMs, peer, bytes, capacity })
    for (const [root, { holders }] of known) {
      const dag = this.#byRoot.get(root)
      if (dag === undefined) continue
      const named = history.named.get(dag) ?? new Set()
      history.named.set(dag, named)
      for (const holder of holders) named.add(holder)
    }
  }

  #lookAtSides(): void {
    const { history } = this.#deps
    const members = this.#members()
    const awake = members.filter(({ run }) => run?.program && !run.clock.asleep)
    const sides = sidesOf(this.#deps.cluster, awake)
    const large = sides.find((side) => side.length * 2 > members.length) ?? []
    for (const peer of members) this.#countAbsence(peer, large.includes(peer))
    const before = this.#sides
    this.#sides = new Map()
    for (const side of sides) {
      const joined = Math.min(...side.map((peer) => this.#inspected.get(peer)!.members))
      if (side.length * 2 > joined) continue
      const name = side.map((peer) => peer.name).join(' ')
      const isFresh = side.some(({ run }) => !this.#up.has(run!.program!))
      const named = this.#namedBy(side)
      const known = isFresh ? undefined : before.get(name)
      const since = known ?? { sinceMs: history.nowMs, noticeMs: isFresh ? wakeNoticeMs : noticeMs }
      if (known && history.nowMs - known.sinceMs > known.noticeMs) this.#compare(name, known.named, named)
      this.#sides.set(name, { ...since, named })
    }
    this.#up = new Set(awake.map(({ run }) => run!.program!))
  }

  #namedBy(side: Peer[]): Map<string, Set<string>> {
    const named = new Map<string, Set<string>>()
    for (const peer of side) {
      for (const [root, { holders }] of this.#inspected.get(peer)!.known) {
        const dag = this.#byRoot.get(root) ?? root
        named.set(dag, new Set([...(named.get(dag) ?? []), ...holders]))
      }
    }
    return named
  }

  #compare(side: string, before: Map<string, Set<string>>, after: Map<string, Set<string>>): void {
    const { history } = this.#deps
    for (const [dag, named] of after) {
      const holders = [...named].filter((peer) => !before.get(dag)?.has(peer))
      if (holders.length > 0) history.namings.push({ atMs: history.nowMs, side, dag, holders })
    }
  }

  #countAbsence(peer: Peer, isThere: boolean): void {
    const { history } = this.#deps
    if (isThere) return void this.#unreachedSince.delete(peer)
    const sinceMs = this.#unreachedSince.get(peer) ?? history.nowMs
    this.#unreachedSince.set(peer, sinceMs)
    // Once for each time that it is away; a little early, since others count from when they last heard of it.
    if (history.nowMs - sinceMs < this.#graceMs - 5_000) return
    this.#unreachedSince.set(peer, Number.POSITIVE_INFINITY)
    history.absences.push({ atMs: history.nowMs, peer: peer.name })
  }
}

/** Peers that reach one another, in either direction and over any number of others. */
function sidesOf({ fabric }: Cluster<PinProgram>, peers: Peer[]): Peer[][] {
  const left = new Set(peers)
  const sides: Peer[][] = []
  for (const first of peers) {
    if (!left.delete(first)) continue
    const side = [first]
    for (const { machine } of side) {
      for (const other of left) {
        if (!fabric.reaches(machine, other.machine) && !fabric.reaches(other.machine, machine)) continue
        left.delete(other)
        side.push(other)
      }
    }
    sides.push(side)
  }
  return sides
}
