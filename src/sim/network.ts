// The twin of the Network port: what one run of a program sees of the fabric. It dials, opens streams and serves protocols
// as the real one does, errors and deadlines included, without keys: who a peer is comes from the address book of the
// simulation. A host that was stopped never answers its own program again, as a dead process would not.
import { type Abortable, abortable, withDeadline } from '../base/abort.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Channel, Connected, HandlerOptions, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { SimulatedStream } from './channel.ts'
import type { PeerClock } from './clock.ts'
import { SimError } from './errors.ts'
import type { Fabric, Host, Line, Machine, Stream } from './fabric.ts'

type PeerListener = (event: { peer: PeerId; connected: boolean }) => void

interface Handler {
  streamsMax: number
  handle: (channel: Channel) => Promise<void>
}

interface Peered {
  line: Line
  direction: 'in' | 'out'
}

export interface SimulatedNetworkDeps {
  fabric: Fabric
  machine: Machine
  clock: PeerClock
  /** Addresses at which peers were met: kept by the machine, as the real peer store is. */
  book: Map<PeerId, string[]>
}

export class SimulatedNetwork implements Network, Host {
  readonly self: PeerId
  readonly cluster: string
  readonly machine: Machine
  readonly clock: PeerClock
  readonly #fabric: Fabric
  readonly #book: Map<PeerId, string[]>
  readonly #handlers = new Map<string, Handler>()
  /** What others see of them: always the same list. */
  readonly #protocols: string[] = []
  readonly #listeners = new Set<PeerListener>()
  /** Open lines by peer, oldest first. */
  readonly #lines = new Map<PeerId, Peered[]>()
  /** What that looks like; undefined when it has changed. */
  #connected: Connected[] | undefined
  readonly #dials = new Map<string, Promise<Line>>()
  #state: 'on' | 'closed' | 'dead' = 'on'

  constructor(deps: SimulatedNetworkDeps, { self, cluster }: { self: PeerId; cluster: string }) {
    this.#fabric = deps.fabric
    this.#book = deps.book
    this.machine = deps.machine
    this.clock = deps.clock
    this.self = self
    this.cluster = cluster
    this.machine.host = this
  }

  addresses(): string[] {
    return [`${this.machine.address}/p2p/${this.self}`]
  }

  connected(): Connected[] {
    this.#connected ??= [...this.#lines].map(([peer, [first]]) => {
      const other = first!.line.other(this)
      return {
        peer,
        addresses: [other.machine.address],
        direction: first!.direction,
        relayed: false,
        latencyMs: first!.line.latencyMs,
        protocols: other instanceof SimulatedNetwork ? other.#protocols : [],
      }
    })
    return this.#connected
  }

  async connect(target: string | PeerInfo, options: Abortable = {}): Promise<PeerId> {
    if (typeof target !== 'string') return (await this.#lineTo(target, options)).other(this).self
    const [address = '', peer] = target.split('/p2p/')
    const known = peer === undefined ? undefined : (peer as PeerId)
    return (await this.#dial(address, known, options)).other(this).self
  }

  async open(peer: PeerId | PeerInfo, protocols: string[], options: Abortable = {}): Promise<Channel> {
    const info = typeof peer === 'string' ? { peer, addresses: [] } : peer
    const line = await this.#lineTo(info, options)
    try {
      return await this.#openOn(line, protocols, options)
    } catch (error) {
      if (options.signal?.aborted || line.isOpenAt(this)) throw error
      return await this.#openOn(await this.#lineTo(info, options), protocols, options)
    }
  }

  async handle(
    protocol: string,
    { streamsMax }: HandlerOptions,
    handle: (channel: Channel) => Promise<void>,
  ): Promise<() => Promise<void>> {
    this.#handlers.set(protocol, { streamsMax, handle })
    this.#protocols.push(protocol)
    return async () => {
      this.#handlers.delete(protocol)
      this.#protocols.splice(this.#protocols.indexOf(protocol), 1)
    }
  }

  /** Every line here is a direct one. */
  onDirect(): () => void {
    return () => {}
  }

  onPeer(listen: PeerListener): () => void {
    this.#listeners.add(listen)
    return () => this.#listeners.delete(listen)
  }

  /** A clean stop: lines close, and whoever still uses the port is told so. */
  close(): void {
    if (this.#state !== 'on') return
    this.#state = 'closed'
    this.#goneWith({ isTold: true })
  }

  /** The program dies. With `isTold` its machine lives on and resets the lines; without, it has lost its power. */
  kill({ isTold }: { isTold: boolean }): void {
    if (this.#state === 'dead') return
    this.#state = 'dead'
    this.#listeners.clear()
    this.#goneWith({ isTold })
  }

  #goneWith({ isTold }: { isTold: boolean }): void {
    if (this.machine.host === this) this.machine.host = undefined
    this.#fabric.leave(this, { isTold })
    for (const peered of [...this.#lines.values()].flat()) {
      for (const stream of peered.line.streams) stream.lineClosed(this)
      this.closed(peered.line)
    }
  }

  // --- What the fabric calls.

  opened(line: Line, direction: 'in' | 'out'): void {
    const other = line.other(this)
    const lines = this.#lines.get(other.self) ?? []
    this.#connected = undefined
    lines.push({ line, direction })
    this.#lines.set(other.self, lines)
    this.#book.set(other.self, [other.machine.address])
    if (lines.length === 1) this.#tell({ peer: other.self, connected: true })
  }

  closed(line: Line): void {
    const peer = line.other(this).self
    this.#connected = undefined
    const left = (this.#lines.get(peer) ?? []).filter((peered) => peered.line !== line)
    if (left.length > 0) this.#lines.set(peer, left)
    else if (this.#lines.delete(peer)) this.#tell({ peer, connected: false })
  }

  accepts(protocol: string): boolean {
    return this.#handlers.has(protocol)
  }

  accepted(stream: Stream): void {
    const { protocol, line } = stream
    const handler = this.#handlers.get(protocol)
    const open = [...line.streams].filter((other) => other.protocol === protocol).length
    const channel = (stream as SimulatedStream).endOf(this)
    if (!handler || open > 2 * handler.streamsMax) {
      channel.abort(new Error('too many streams'))
      return
    }
    handler.handle(channel).catch((error: unknown) => {
      channel.abort(error instanceof Error ? error : new Error(String(error)))
    })
  }

  #tell(event: { peer: PeerId; connected: boolean }): void {
    for (const listen of [...this.#listeners]) listen(event)
  }

  // --- Dialing and opening.

  async #lineTo({ peer, addresses }: PeerInfo, options: Abortable): Promise<Line> {
    options.signal?.throwIfAborted()
    await this.#whileOn()
    if (peer === this.self) throw new SimError('DIAL_FAILED', `${peer} is this peer itself`)
    const open = this.#lines.get(peer)?.[0]
    if (open) return open.line
    const tried = [...new Set([...addresses.map(bare), ...(this.#book.get(peer) ?? [])])]
    let failure: unknown = new SimError('DIAL_FAILED', `no address of ${peer} is known`, { retryable: true })
    for (const address of tried) {
      try {
        return await this.#dial(address, peer, options)
      } catch (error) {
        options.signal?.throwIfAborted()
        failure = error
      }
    }
    throw failure
  }

  /** Dials of one address are joined. */
  async #dial(address: string, peer: PeerId | undefined, { signal }: Abortable): Promise<Line> {
    await this.#whileOn()
    const key = `${address} ${peer ?? ''}`
    let dial = this.#dials.get(key)
    if (!dial) {
      dial = new Promise<Line>((resolve, reject) =>
        this.#fabric.dial(this, address, peer, (line, why) => {
          if (line) resolve(line)
          else reject(new SimError('DIAL_FAILED', `cannot connect to ${peer ?? address}: ${why}`, { retryable: true }))
        }),
      )
      const forget = () => this.#dials.delete(key)
      dial.then(forget, forget)
      this.#dials.set(key, dial)
    }
    return await abortable(dial, signal)
  }

  async #openOn(line: Line, protocols: string[], options: Abortable): Promise<Channel> {
    const peer = line.other(this).self
    const what = `opening a stream to ${peer}`
    try {
      const stream = await withDeadline(
        this.clock,
        times.dialMs,
        what,
        () => SimulatedStream.open(line, this, protocols),
        options,
      )
      if (stream) return stream.endOf(this)
    } catch (error) {
      options.signal?.throwIfAborted()
      throw new SimError('DIAL_FAILED', `cannot open a stream to ${peer}`, { retryable: true, cause: error })
    }
    throw new SimError('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${protocols.join(' or ')}`)
  }

  #whileOn(): Promise<void> {
    if (this.#state === 'on') return Promise.resolve()
    if (this.#state === 'dead') return new Promise(() => {})
    return Promise.reject(new SimError('DIAL_FAILED', 'this peer has stopped'))
  }
}

/** A multiaddr without its `/p2p/…` tail. */
function bare(address: string): string {
  return address.split('/p2p/')[0]!
}
