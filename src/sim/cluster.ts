// A cluster in one process: machines with disks, the programs that run on them, and everything that may happen to them. Who
// stands where, how far clocks are off and how long anything takes comes from one seed. The programs get ports and nothing
// else; what they are made of is the business of whoever starts them.
import { base58btc } from 'multiformats/bases/base58'
import type { Log } from '../base/log.ts'
import { type Random, seededRandom } from '../base/random.ts'
import type { PeerId } from '../core/peer.ts'
import type { Admission, Broadcast, LinksOf, Network, Signer, Table } from '../core/ports.ts'
import { openMemoryStore } from '../store/memory.ts'
import type { Store } from '../store/open.ts'
import { Gossip } from './broadcast.ts'
import { PeerClock, SimulatedTime } from './clock.ts'
import { type MountedDisk, SimulatedDisk } from './disk.ts'
import { Fabric, type Machine } from './fabric.ts'
import { SimulatedNetwork } from './network.ts'
import { simulatedAdmission, simulatedSigner } from './proofs.ts'

/** What a program is given to run on. */
export interface MachinePorts {
  /** What people call the peer in a history. */
  name: string
  network: Network
  broadcast: Broadcast
  signer: Signer
  admission: Admission
  clock: PeerClock
  random: Random
  log: Log
  table(name: string): Table
  /** Opens the store of the machine. */
  openStore(linksOf: LinksOf): Promise<Store>
  zone: string
  capacity: number
  /** What people call the others. */
  nameOf(peer: PeerId): string
  /** Addresses of peers that it was invited by, with `/p2p/` tails. */
  invitedBy: string[]
}

export type StartProgram<P extends AsyncDisposable> = (ports: MachinePorts) => Promise<P>

interface Run<P> {
  clock: PeerClock
  network: SimulatedNetwork
  disk: MountedDisk
  /** Undefined until it has started. */
  program: P | undefined
}

export interface SimulatedPeer<P> {
  readonly name: string
  readonly peer: PeerId
  readonly machine: Machine
  readonly disk: SimulatedDisk
  readonly capacity: number
  readonly book: Map<PeerId, string[]>
  invitedBy: string[]
  skewMs: number
  /** How often it has been started. */
  starts: number
  run: Run<P> | undefined
}

export interface ClusterDeps<P extends AsyncDisposable> {
  start: StartProgram<P>
  log: (peer: string) => Log
}

export interface ClusterOptions {
  seed: number
  zones: number
  /** Share of segments and messages that are lost. */
  loss?: number
  /** True if disks acknowledge before they sync. */
  disksLie?: boolean | undefined
  /** Bytes that the next machine gives to the cluster; 100 GB each if nobody says. */
  capacityOf?: () => number
}

const secret = 'one for all'
/** A disk with a cache of half a second that calls it the disk. */
const lies = { acknowledgesEarly: true, slowness: 250 }
const startLimitMs = 120_000

export class Cluster<P extends AsyncDisposable> {
  readonly time = new SimulatedTime()
  readonly random: Random
  readonly fabric: Fabric
  readonly peers: SimulatedPeer<P>[] = []
  readonly #gossip: Gossip
  readonly #deps: ClusterDeps<P>
  readonly #zones: number
  readonly #disksLie: boolean
  readonly #capacityOf: () => number

  constructor(
    deps: ClusterDeps<P>,
    { seed, zones, loss = 0, disksLie = false, capacityOf = () => 100e9 }: ClusterOptions,
  ) {
    this.#capacityOf = capacityOf
    this.#deps = deps
    this.#zones = zones
    this.#disksLie = disksLie
    this.random = seededRandom(seed)
    this.fabric = new Fabric({ time: this.time, random: fork(this.random) }, { loss })
    this.#gossip = new Gossip(this.fabric)
  }

  /** A new machine with an empty disk, which is not started yet. */
  add({ capacity = this.#capacityOf(), zone }: { capacity?: number; zone?: string } = {}): SimulatedPeer<P> {
    const index = this.peers.length
    const place = zone ?? `zone-${index % this.#zones}`
    const peer = base58btc.baseEncode(publicKeyOf(this.random)) as PeerId
    const added: SimulatedPeer<P> = {
      name: `p${index + 1}`,
      peer,
      machine: this.fabric.machine(`/ip4/10.0.${index >>> 8}.${index & 255}/tcp/4101`, place),
      disk: new SimulatedDisk(fork(this.random)),
      capacity,
      book: new Map(),
      invitedBy: this.running().map((other) => `${other.machine.address}/p2p/${other.peer}`),
      skewMs: 0,
      starts: 0,
      run: undefined,
    }
    if (this.#disksLie) Object.assign(added.disk.faults, lies)
    this.peers.push(added)
    return added
  }

  /** Peers whose program runs, asleep or not. */
  running(): SimulatedPeer<P>[] {
    return this.peers.filter(({ run }) => run?.program !== undefined)
  }

  nameOf(peer: PeerId): string {
    return this.peers.find((other) => other.peer === peer)?.name ?? peer
  }

  byName(name: string): SimulatedPeer<P> | undefined {
    return this.peers.find((peer) => peer.name === name)
  }

  /** Starts the program with what its disk kept. Resolves when it is up; never, if it crashes before. */
  async start(peer: SimulatedPeer<P>): Promise<P> {
    if (peer.run) throw new Error(`${peer.name} runs already`)
    peer.starts++
    peer.machine.isOn = true
    const clock = new PeerClock(this.time, { skewMs: peer.skewMs })
    const { machine, book } = peer
    const network = new SimulatedNetwork(
      { fabric: this.fabric, machine, clock, book },
      { self: peer.peer, cluster: secret },
    )
    const disk = peer.disk.mount(clock)
    const run: Run<P> = { clock, network, disk, program: undefined }
    peer.run = run
    this.fabric.changed()
    const program = await this.#deps.start({
      name: peer.name,
      network,
      broadcast: this.#gossip.portOf(network),
      signer: simulatedSigner(peer.peer),
      admission: simulatedAdmission(peer.peer, secret),
      clock,
      random: fork(this.random),
      log: this.#deps.log(peer.name),
      table: (name) => disk.table(name),
      openStore: (linksOf) =>
        openMemoryStore({ disk: peer.disk.blocks.memory, linksOf, clock, commit: () => disk.commit() }),
      zone: machine.zone,
      capacity: peer.capacity,
      nameOf: (other) => this.nameOf(other),
      invitedBy: peer.invitedBy,
    })
    if (peer.run !== run) return await new Promise(() => {})
    run.program = program
    return program
  }

  /** Runs until all of these programs are up. */
  async startAll(peers: SimulatedPeer<P>[]): Promise<void> {
    await this.time.until(Promise.all(peers.map((peer) => this.start(peer))), startLimitMs)
  }

  /** A clean stop. */
  async stop(peer: SimulatedPeer<P>): Promise<void> {
    const { run } = peer
    if (!run) return
    await run.program?.[Symbol.asyncDispose]()
    if (peer.run !== run) return
    run.network.close()
    this.#end(peer, run)
  }

  /** The program dies in the middle of whatever it does. `power` takes the machine with it. */
  crash(peer: SimulatedPeer<P>, { power }: { power: boolean }): void {
    const { run } = peer
    if (!run) return
    run.network.kill({ isTold: !power })
    peer.machine.isOn = !power
    this.#end(peer, run)
    this.fabric.changed()
  }

  /** A crash after which the disk is empty. Who the peer is was kept elsewhere. */
  wipe(peer: SimulatedPeer<P>): void {
    this.crash(peer, { power: true })
    peer.disk.wipe()
  }

  #end(peer: SimulatedPeer<P>, run: Run<P>): void {
    peer.run = undefined
    run.clock.stop()
    peer.disk.crash()
    this.#gossip.leave(run.network)
  }

  sleep(peer: SimulatedPeer<P>): void {
    peer.run?.clock.sleep()
    this.fabric.changed()
  }

  wake(peer: SimulatedPeer<P>): void {
    peer.run?.clock.wake()
    this.fabric.changed()
  }

  /** Sets a wall clock off, for as long as the machine lives. */
  skew(peer: SimulatedPeer<P>, byMs: number): void {
    peer.skewMs += byMs
    peer.run?.clock.jump(byMs)
  }

  /** Nobody of one side hears the other; with `oneWay` the others still hear them. */
  partition(side: SimulatedPeer<P>[], { oneWay = false }: { oneWay?: boolean } = {}): void {
    for (const inside of side) {
      for (const outside of this.peers) {
        if (side.includes(outside)) continue
        this.fabric.cut(outside.machine, inside.machine)
        if (!oneWay) this.fabric.cut(inside.machine, outside.machine)
      }
    }
  }

  /** Ends every partition, every sleep and every trouble of disks; the dead stay dead. */
  healAll(): void {
    this.fabric.heal()
    for (const peer of this.peers) {
      peer.disk.faults.slowness = this.#disksLie ? lies.slowness : 1
      peer.disk.faults.isFull = false
      this.wake(peer)
    }
  }
}

/** A generator of its own, from a draw of another: what one consumer draws does not shift what others get. */
export function fork(random: Random): Random {
  return seededRandom(Math.floor(random.unit() * 2 ** 32))
}

/** A PeerId's bytes as they really are: the identity multihash of an Ed25519 public key. */
function publicKeyOf(random: Random): Uint8Array {
  return Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...random.bytes(32))
}
