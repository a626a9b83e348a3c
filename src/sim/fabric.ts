// The wires of a simulation: machines with addresses, the delay and loss between them, who cannot reach whom, and
// connections that behave as TCP does. A connection delivers each stream in order or not at all: loss makes it late, a cut
// link makes it stall, and one that stays cut breaks, at each end in its own time. Streams overtake each other.
//
// A Host is one run of a program on a machine; a machine that restarts has a new one. What a network port makes of a Host
// is in network.ts. All chance comes from the seed.
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { PeerClock, SimulatedTime } from './clock.ts'

/** How a running program takes part: what the fabric calls when something arrives. */
export interface Host {
  readonly self: PeerId
  readonly machine: Machine
  readonly clock: PeerClock
  /** The cluster whose secret it holds: others are refused in the handshake. */
  readonly cluster: string
  opened(line: Line, direction: 'in' | 'out'): void
  closed(line: Line): void
  /** A peer has opened a stream; undefined when nobody serves the protocol here. */
  accepts(protocol: string): boolean
  accepted(stream: Stream): void
}

export interface Machine {
  readonly address: string
  readonly zone: string
  /** The program that runs on it now. */
  host: Host | undefined
  /** Off means that nobody answers, not even to refuse. */
  isOn: boolean
  /** Bytes that it has put on the wire. */
  sentBytes: number
}

export interface FabricOptions {
  /** Share of segments and gossip messages that a link loses. */
  loss?: number
}

/** Round trips of a handshake: TCP, Noise and yamux, identify. */
const handshakeTrips = 2.5
/** What each end sends in one: keys, certificates and the settings of the muxer, then protocols and addresses of identify. */
const handshakeBytes = 1_500
/** What a segment carries besides its payload: TCP/IP, Noise and yamux headers. */
const segmentOverheadBytes = 84
/**
 * What each end of an open line sends for libp2p's pings, which are counted beside the rest: both ends open a stream every
 * 10 s, agree on the protocol, say 32 bytes and close, in four segments each way.
 */
export const pingBytesPerSecond = (2 * (4 * segmentOverheadBytes + 71)) / 10
/** TCP sends again after this long at first. */
const resendMs = 200
/** A line that stays cut is given up after this long at the earliest: the keep-alive ping. */
const giveUpMs = 8_000
const giveUpSpreadMs = 14_000
/** A dial that nobody answers. */
const dialTimeoutMs = 4_000

export class Fabric {
  readonly time: SimulatedTime
  readonly random: Random
  readonly machines = new Map<string, Machine>()
  readonly lines = new Set<Line>()
  readonly #linesByHost = new Map<Host, Set<Line>>()
  loss: number
  readonly #cuts = new Set<string>()
  readonly #delays = new Map<string, number>()

  constructor({ time, random }: { time: SimulatedTime; random: Random }, options: FabricOptions = {}) {
    this.time = time
    this.random = random
    this.loss = options.loss ?? 0
  }

  machine(address: string, zone: string): Machine {
    const machine: Machine = { address, zone, host: undefined, isOn: true, sentBytes: 0 }
    this.machines.set(address, machine)
    return machine
  }

  /** One way of a link is cut until healed: asymmetric partitions cut only some. */
  cut(from: Machine, to: Machine): void {
    this.#cuts.add(`${from.address}>${to.address}`)
    this.changed()
  }

  heal(): void {
    this.#cuts.clear()
    this.changed()
  }

  /** True while what one machine sends gets to the other. */
  reaches(from: Machine, to: Machine): boolean {
    const awake = (machine: Machine) => machine.isOn && !machine.host?.clock.asleep
    return awake(from) && awake(to) && (this.#cuts.size === 0 || !this.#cuts.has(`${from.address}>${to.address}`))
  }

  /** To be called after a machine went off or on, slept or woke. */
  changed(): void {
    for (const line of this.lines) line.reachChanged()
  }

  /** How long one segment takes from one machine to another, resending included. */
  delayMs(from: Machine, to: Machine): number {
    let delayMs = this.#baseMs(from, to) * (1 + this.random.unit() * 0.5)
    for (let wait = resendMs; this.random.unit() < this.loss && wait < 10_000; wait *= 2) delayMs += wait
    return delayMs
  }

  /** Two points of a zone are half a millisecond apart, two zones 4 to 40. */
  #baseMs(from: Machine, to: Machine): number {
    if (from.zone === to.zone) return 0.5
    const pair = from.zone < to.zone ? `${from.zone} ${to.zone}` : `${to.zone} ${from.zone}`
    const known = this.#delays.get(pair)
    if (known !== undefined) return known
    const delayMs = 4 + this.random.unit() * 36
    this.#delays.set(pair, delayMs)
    return delayMs
  }

  /**
   * Dials an address. Calls back with the line, or with why there is none, in simulated time; with neither if the dialing
   * machine is gone by then.
   */
  dial(
    from: Host,
    address: string,
    peer: PeerId | undefined,
    done: (line: Line | undefined, why: string) => void,
  ): void {
    const target = this.machines.get(address)
    const later = (delayMs: number, act: () => void) => from.clock.timer(delayMs, act)
    if (!target || !this.reaches(from.machine, target) || !this.reaches(target, from.machine)) {
      later(dialTimeoutMs, () => done(undefined, `${address} does not answer`))
      return
    }
    const tripMs = this.delayMs(from.machine, target) + this.delayMs(target, from.machine)
    const connect = () => {
      const to = target.host
      if (!this.reaches(from.machine, target) || !this.reaches(target, from.machine))
        return void later(dialTimeoutMs, () => done(undefined, `${address} does not answer`))
      if (!to) return done(undefined, `${address} refuses connections`)
      if (peer !== undefined && to.self !== peer) return done(undefined, `another peer answers at ${address}`)
      if (to.cluster !== from.cluster) return done(undefined, `${address} is of another cluster`)
      if (this.#isFull(to) || this.#isFull(from)) return done(undefined, `${address} has too many connections`)
      if (from.machine.host !== from || to === from) return done(undefined, 'it is this peer itself')
      done(this.#line(from, to), '')
    }
    later(tripMs * (target.host ? handshakeTrips : 1), connect)
  }

  linesOf(host: Host): Iterable<Line> {
    return this.#linesByHost.get(host) ?? []
  }

  #isFull(host: Host): boolean {
    return (this.#linesByHost.get(host)?.size ?? 0) >= limits.connectionsMax
  }

  /** The line is gone at one of its ends. */
  forget(line: Line, host: Host): void {
    this.#linesByHost.get(host)?.delete(line)
    if (!line.isOpenAt(line.other(host))) this.lines.delete(line)
  }

  #line(from: Host, to: Host): Line {
    for (const line of this.linesOf(from)) if (line.isWhole && line.other(from) === to) return line
    const line = new Line(this, from, to)
    this.lines.add(line)
    for (const host of [from, to]) host.machine.sentBytes += handshakeBytes
    for (const host of [from, to]) this.#linesByHost.set(host, (this.#linesByHost.get(host) ?? new Set()).add(line))
    to.opened(line, 'in')
    from.opened(line, 'out')
    return line
  }

  /** Ends every line of a host. A killed program's machine tells the others; a machine without power says nothing. */
  leave(host: Host, { isTold }: { isTold: boolean }): void {
    for (const line of [...this.linesOf(host)]) line.endAt(host, { isTold })
    this.#linesByHost.delete(host)
  }
}

/** Bytes or signs on their way in one direction of one stream: delivered in order. */
interface Lane {
  readonly to: Host
  readonly queue: (() => void)[]
  lastAtMs: number
}

/** A connection between two hosts. */
export class Line {
  readonly #fabric: Fabric
  readonly #hosts: [Host, Host]
  readonly #open: Set<Host>
  readonly streams = new Set<Stream>()
  /** Round trip, as it was measured when the line was new. */
  readonly latencyMs: number
  #parked: Lane[] = []
  #givingUp: (() => void)[] | undefined

  constructor(fabric: Fabric, from: Host, to: Host) {
    this.#fabric = fabric
    this.#hosts = [from, to]
    this.#open = new Set([from, to])
    this.latencyMs = 2 * fabric.delayMs(from.machine, to.machine)
  }

  /** False once one end has given it up. */
  get isWhole(): boolean {
    return this.#open.size === 2
  }

  isOpenAt(host: Host): boolean {
    return this.#open.has(host)
  }

  other(host: Host): Host {
    return this.#hosts[0] === host ? this.#hosts[1] : this.#hosts[0]
  }

  /** A number in [0, 1) from the seed. */
  chance(): number {
    return this.#fabric.random.unit()
  }

  lane(to: Host): Lane {
    return { to, queue: [], lastAtMs: 0 }
  }

  /** Sends along a lane: `deliver` is called at the other end, after everything that was sent there before. */
  send(lane: Lane, sizeBytes: number, deliver: () => void): void {
    const from = this.other(lane.to)
    from.machine.sentBytes += sizeBytes + segmentOverheadBytes
    lane.queue.push(deliver)
    this.#travel(lane, 0)
  }

  /** Sends outside of any lane: it may overtake. */
  signal(to: Host, deliver: () => void): void {
    this.send(this.lane(to), 0, deliver)
  }

  #travel(lane: Lane, extraMs: number): void {
    const from = this.other(lane.to)
    if (!this.isWhole) this.#reset(lane.to)
    else if (!this.#fabric.reaches(from.machine, lane.to.machine)) {
      this.#parked.push(lane)
    } else this.#depart(lane, extraMs)
  }

  #depart(lane: Lane, extraMs: number): void {
    const { time } = this.#fabric
    const from = this.other(lane.to)
    const delayMs = extraMs + this.#fabric.delayMs(from.machine, lane.to.machine)
    lane.lastAtMs = Math.max(lane.lastAtMs, time.nowMs + delayMs)
    time.schedule(lane.lastAtMs - time.nowMs, () => this.#arrive(lane))
  }

  #arrive(lane: Lane): void {
    // A cut does not stop what had passed it; a machine that fell asleep takes nothing in.
    if (lane.to.clock.asleep) this.#parked.push(lane)
    else if (this.#open.has(lane.to)) lane.queue.shift()?.()
  }

  // Sending to an end that no longer knows the line: its machine says so, if it is on.
  #reset(gone: Host): void {
    const from = this.other(gone)
    const isTold = this.#fabric.reaches(from.machine, gone.machine) && this.#fabric.reaches(gone.machine, from.machine)
    if (isTold && this.#open.has(from)) from.clock.timer(this.latencyMs, () => this.#close(from))
  }

  reachChanged(): void {
    const [a, b] = this.#hosts
    const isCut = !this.#fabric.reaches(a.machine, b.machine) || !this.#fabric.reaches(b.machine, a.machine)
    if (isCut) this.#startGivingUp()
    else {
      for (const cancel of this.#givingUp ?? []) cancel()
      this.#givingUp = undefined
    }
    const parked = this.#parked
    this.#parked = []
    for (const lane of parked) this.#travel(lane, this.#fabric.random.unit() * resendMs * 5)
    // A machine that was away is told by the others that they have given up.
    if (!isCut && !this.isWhole) for (const host of this.#open) this.#reset(this.other(host))
  }

  #startGivingUp(): void {
    this.#givingUp ??= this.#hosts.map((host) => {
      const delayMs = giveUpMs + this.#fabric.random.unit() * giveUpSpreadMs
      return host.clock.timer(delayMs, () => this.#close(host))
    })
  }

  /** One end is gone at once. The other hears of it, or finds out in its own time. */
  endAt(host: Host, { isTold }: { isTold: boolean }): void {
    const other = this.other(host)
    this.#open.delete(host)
    this.#fabric.forget(this, host)
    if (!this.#open.has(other)) return
    const isHeard = isTold && this.#fabric.reaches(host.machine, other.machine)
    const delayMs = isHeard
      ? this.#fabric.delayMs(host.machine, other.machine)
      : giveUpMs + this.#fabric.random.unit() * giveUpSpreadMs
    other.clock.timer(delayMs, () => this.#close(other))
  }

  #close(host: Host): void {
    if (!this.#open.delete(host)) return
    this.#fabric.forget(this, host)
    for (const stream of this.streams) stream.lineClosed(host)
    host.closed(this)
  }
}

/** What both ends of a stream share with the fabric; the ends are channels of network.ts. */
export interface Stream {
  readonly protocol: string
  readonly line: Line
  lineClosed(host: Host): void
}
