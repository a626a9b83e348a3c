// What happens to a cluster while clients work: crashes, sleep, partitions, disks and clocks gone wrong, and members that
// come and go. Which, to whom and for how long comes from the seed. Trouble ends by itself, or at the latest when all is
// healed; only the forgotten stay away.
import { codeOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Program } from './client.ts'
import type { Cluster, SimulatedPeer } from './cluster.ts'
import { type History, seconds } from './history.ts'
import { pick } from './workload.ts'

/** What trouble asks of a program itself; all else happens to its machine. */
type Leaving = AsyncDisposable & Pick<Program, 'leave' | 'forget'>
type Inflict<P extends Leaving> = (peer: SimulatedPeer<P>) => void

/** By then members that started again know each other. */
const forgetAgainMs = 15_000

export interface FaultsDeps<P extends Leaving> {
  cluster: Cluster<P>
  history: Pick<History, 'event'>
  random: Random
  /** Operations at a peer that is gone end without an answer. */
  workload: { abandon(peer: SimulatedPeer<P>): void }
}

/**
 * `still` leaves the ring alone; `all` has members that join, leave and are forgotten, and disks that are lost, as well;
 * `churn` has members that come and go, again and again, and little else.
 */
export type Trouble = 'still' | 'all' | 'churn'

export interface FaultsOptions<P extends Leaving> {
  trouble: Trouble
  /** What else may happen to somebody, each as often as any other trouble. */
  more?: Inflict<P>[]
}

const peersMost = 9
/** Of three copies two may be lost. */
const lossesMost = 2
const dayMs = 86_400_000

export class Faults<P extends Leaving> {
  readonly #cluster: Cluster<P>
  readonly #history: Pick<History, 'event'>
  readonly #random: Random
  readonly #workload: FaultsDeps<P>['workload']
  readonly #kinds: Inflict<P>[]
  readonly #rejoinShare: number
  /** Peers whose disk was lost, or that were forgotten: what only they had may be gone. */
  readonly wiped = new Set<string>()
  /** Peers that will not be started again. */
  readonly gone = new Set<SimulatedPeer<P>>()
  /** Machines that are lost, and to be forgotten. */
  readonly #lost = new Set<SimulatedPeer<P>>()
  /** Members that are still to be forgotten, and those that have left and are still to come back. */
  #toCome = 0
  /** Peers that hand their data off. One that is interrupted is a member again when it starts. */
  readonly leaving = new Set<SimulatedPeer<P>>()

  constructor({ cluster, history, random, workload }: FaultsDeps<P>, { trouble, more = [] }: FaultsOptions<P>) {
    this.#cluster = cluster
    this.#history = history
    this.#random = random
    this.#workload = workload
    const still: Inflict<P>[] = [
      (peer) => this.#crash(peer, { power: false }),
      (peer) => this.#crash(peer, { power: true }),
      () => this.#blackout(),
      (peer) => this.#stop(peer),
      (peer) => this.#sleep(peer),
      () => this.#partition({ oneWay: false }),
      () => this.#partition({ oneWay: true }),
      (peer) => this.#skew(peer),
      (peer) => this.#slow(peer),
      (peer) => this.#fill(peer),
    ]
    const moving: Inflict<P>[] = [
      () => this.#join(),
      () => this.#join(),
      (peer) => this.#leave(peer),
      (peer) => this.#forget(peer),
      (peer) => this.#wipe(peer),
    ]
    const churn: Inflict<P>[] = [
      () => this.#join(),
      (peer) => this.#leave(peer),
      (peer) => this.#leave(peer),
      (peer) => this.#leave(peer),
      (peer) => this.#crash(peer, { power: false }),
    ]
    this.#kinds = [...{ still, all: [...still, ...moving, ...moving], churn }[trouble], ...more]
    this.#rejoinShare = trouble === 'churn' ? 0.9 : 0.5
  }

  /** True when every member's program is up and nobody leaves, is to be forgotten or to come back: the ring stays as it is. */
  get isIdle(): boolean {
    if (this.leaving.size > 0 || this.#toCome > 0) return false
    return this.#members().every(({ run }) => run?.program !== undefined)
  }

  /** Does one thing to somebody. */
  strike(): void {
    const running = this.#cluster.running().filter(({ run }) => !run!.clock.asleep)
    if (running.length > 0) pick(this.#random, this.#kinds)(pick(this.#random, running))
  }

  /** Ends all trouble, and starts everybody who is still a member. */
  heal(): void {
    this.#history.event('all is healed')
    this.#cluster.healAll()
    for (const peer of this.#cluster.peers) this.start(peer)
    // Whoever was told to forget a machine may have lost its disk before it told anybody else: `members` still shows it, and
    // people forget it once more.
    for (const lost of this.#lost) this.#haveForgotten(lost, forgetAgainMs)
  }

  #crash(peer: SimulatedPeer<P>, { power }: { power: boolean }): void {
    const awayMs = this.#between(500, 30_000)
    this.#history.event(`${peer.name} ${power ? 'loses power' : 'crashes'} for ${seconds(awayMs)} s`)
    this.#cluster.crash(peer, { power })
    this.#workload.abandon(peer)
    this.#later(awayMs, () => this.start(peer))
  }

  /** The power goes out in one zone, or everywhere. */
  #blackout(): void {
    const zones = new Set(this.#cluster.peers.map(({ machine }) => machine.zone))
    const dark = this.#random.unit() < 0.5 ? undefined : pick(this.#random, [...zones])
    this.#history.event(`the power goes out ${dark === undefined ? 'everywhere' : `in ${dark}`}`)
    for (const peer of this.#cluster.peers) {
      if (!peer.run || (dark !== undefined && peer.machine.zone !== dark)) continue
      this.#cluster.crash(peer, { power: true })
      this.#workload.abandon(peer)
      this.#later(this.#between(500, 15_000), () => this.start(peer))
    }
  }

  #stop(peer: SimulatedPeer<P>): void {
    const awayMs = this.#between(500, 20_000)
    this.#history.event(`${peer.name} stops for ${seconds(awayMs)} s`)
    const stopped = this.#cluster.stop(peer)
    void stopped.then(() => {
      this.#workload.abandon(peer)
      this.#later(awayMs, () => this.start(peer))
    })
  }

  #sleep(peer: SimulatedPeer<P>): void {
    const awayMs = this.#between(2_000, 60_000)
    this.#history.event(`${peer.name} sleeps for ${seconds(awayMs)} s`)
    this.#cluster.sleep(peer)
    this.#later(awayMs, () => this.#cluster.wake(peer))
  }

  #partition({ oneWay }: { oneWay: boolean }): void {
    const side = this.#cluster.peers.filter(() => this.#random.unit() < 0.4)
    if (side.length === 0) return
    const forMs = this.#between(1_000, 40_000)
    const names = side.map(({ name }) => name).join(' ')
    this.#history.event(`${names} ${oneWay ? 'hear nobody else' : 'are cut off'} for ${seconds(forMs)} s`)
    this.#cluster.partition(side, { oneWay })
    this.#later(forMs, () => {
      this.#history.event('the links are healed')
      this.#cluster.fabric.heal()
    })
  }

  #skew(peer: SimulatedPeer<P>): void {
    const byMs = (this.#random.unit() - 0.5) * 2 * (this.#random.unit() < 0.5 ? dayMs : 60_000)
    this.#history.event(`the clock of ${peer.name} is set ${seconds(byMs)} s off`)
    this.#cluster.skew(peer, byMs)
  }

  #slow(peer: SimulatedPeer<P>): void {
    const forMs = this.#between(1_000, 20_000)
    const { faults } = peer.disk
    faults.slowness = this.#between(20, 1_000)
    this.#history.event(
      `the disk of ${peer.name} is ${Math.round(faults.slowness)} times slower for ${seconds(forMs)} s`,
    )
    this.#later(forMs, () => {
      faults.slowness = 1
    })
  }

  #fill(peer: SimulatedPeer<P>): void {
    const forMs = this.#between(1_000, 20_000)
    this.#history.event(`the disk of ${peer.name} is full for ${seconds(forMs)} s`)
    peer.disk.faults.isFull = true
    this.#later(forMs, () => {
      peer.disk.faults.isFull = false
    })
  }

  #join(): void {
    if (this.#cluster.peers.length >= peersMost) return
    const peer = this.#cluster.add()
    this.#history.event(`${peer.name} joins`)
    this.start(peer)
  }

  #leave(peer: SimulatedPeer<P>): void {
    const program = peer.run?.program
    if (!program || this.leaving.has(peer) || this.#members().length - this.leaving.size <= 3) return
    this.#history.event(`${peer.name} leaves`)
    this.leaving.add(peer)
    const done = async () => {
      await program.leave()
      this.#history.event(`${peer.name} has left`)
      this.leaving.delete(peer)
      this.gone.add(peer)
      this.#toCome++
      await this.#cluster.stop(peer)
      this.#workload.abandon(peer)
      if (this.#random.unit() < this.#rejoinShare) this.#later(this.#between(500, 10_000), () => this.#rejoin(peer))
      else {
        this.#toCome--
        // A new disk does not know how often its member has claimed what: what it says is old news to the others if it leaves
        // before it has heard from them. They see it as dead, and people forget it.
        if (this.wiped.has(peer.name)) this.#lost.add(peer)
        if (this.#lost.has(peer)) this.#haveForgotten(peer, forgetAgainMs)
      }
    }
    void done().catch((error: unknown) => {
      this.#history.event(`${peer.name} could not leave: ${error}`)
      this.leaving.delete(peer)
    })
  }

  #rejoin(peer: SimulatedPeer<P>): void {
    this.#toCome--
    if (!this.gone.delete(peer)) return
    this.#history.event(`${peer.name} comes back to the cluster`)
    this.start(peer)
  }

  /** A machine is lost, and another member is told so. */
  #forget(peer: SimulatedPeer<P>): void {
    if (this.wiped.size >= lossesMost || this.leaving.has(peer)) return
    if (this.#members().length - this.leaving.size <= 3) return
    this.#history.event(`${peer.name} is lost`)
    this.#cluster.crash(peer, { power: true })
    this.#workload.abandon(peer)
    this.gone.add(peer)
    this.wiped.add(peer.name)
    this.#lost.add(peer)
    this.#haveForgotten(peer, this.#between(2_000, 15_000))
  }

  #haveForgotten(lost: SimulatedPeer<P>, delayMs: number): void {
    this.#toCome++
    this.#later(delayMs, () => this.#tellToForget(lost))
  }

  #tellToForget(lost: SimulatedPeer<P>): void {
    const [teller] = this.#cluster.running().filter((peer) => !this.gone.has(peer) && !peer.run!.clock.asleep)
    if (!teller) return void this.#later(1_000, () => this.#tellToForget(lost))
    this.#history.event(`${teller.name} forgets ${lost.name}`)
    const told = teller.run!.program!.forget(lost.peer)
    const settled = () => void this.#toCome--
    void told.then(settled, (error) => {
      if (codeOf(error) === 'MEMBER_UNKNOWN') settled()
      else this.#later(1_000, () => this.#tellToForget(lost))
    })
  }

  #wipe(peer: SimulatedPeer<P>): void {
    if (this.wiped.size >= lossesMost) return
    const awayMs = this.#between(500, 10_000)
    this.#history.event(`${peer.name} loses its disk, and is back after ${seconds(awayMs)} s`)
    this.#cluster.wipe(peer)
    this.#workload.abandon(peer)
    this.wiped.add(peer.name)
    this.#later(awayMs, () => this.start(peer))
  }

  /** Starts a machine that is off, if it is still a member's. */
  start(peer: SimulatedPeer<P>): void {
    if (peer.run || this.gone.has(peer)) return
    this.leaving.delete(peer)
    this.#history.event(`${peer.name} starts`)
    void this.#cluster.start(peer).catch((error: unknown) => {
      this.#history.event(`${peer.name} could not start: ${error}`)
      this.#cluster.crash(peer, { power: false })
      this.#later(1_000, () => this.start(peer))
    })
  }

  #members(): SimulatedPeer<P>[] {
    return this.#cluster.peers.filter((peer) => !this.gone.has(peer))
  }

  #later(delayMs: number, act: () => void): void {
    this.#cluster.time.schedule(delayMs, act)
  }

  /** More often near the lower end. */
  #between(leastMs: number, mostMs: number): number {
    return leastMs + this.#random.unit() ** 2 * (mostMs - leastMs)
  }
}
