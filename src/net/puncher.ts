// Makes relayed connections direct: whenever another peer has called us over a relay, it tries to reach that peer without
// one, by a plain dial or by punching a hole (punch.ts), and answers peers that we have called. When that has worked the
// relayed connection ends as soon as nothing runs over it. What fails is tried again, ever more rarely, while the relayed
// connection stands. It never holds anything up: until then everything goes over the relay.
import { isIP } from 'node:net'
import type { Connection, IdentifyResult, Libp2p, Stream } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { abortable, linkedController } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import type { Scope } from '../base/scope.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { libp2pPeerId, relayOfAddress } from './addresses.ts'
import { StreamChannel } from './channel.ts'
import { type Interfaces, machineInterfaces } from './dial-order.ts'
import { NetError } from './errors.ts'
import { isTaken, type PortTcp } from './port-tcp.ts'
import { answerPunch, type Punched, type PunchSide, type PunchStarter, punchProtocol, startPunch } from './punch.ts'
import { plausibleAddresses, tcpEndpoint } from './punch-addresses.ts'

/** Before the node starts, so that no connection goes unseen. */
export async function startPunching(
  deps: { node: Libp2p; tcp: PortTcp; clock: Clock; log: Log; interfaces?: Interfaces },
  scope: Scope,
): Promise<void> {
  const puncher = new Puncher(deps)
  await puncher.start()
  scope.defer(() => puncher.stop())
}

interface Attempts {
  failures: number
  /** Not before then again, in monotonic time. */
  nextMs: number
}

/** Where a connection of ours is seen, and from which local port it runs. */
interface Seen {
  address: Multiaddr
  localPort: number
}

type Role = 'client' | 'server'

interface Dialing {
  localPort: number
  role: Role
}

// Peers of one machine have better ways to meet, and a stranger must not send us to the programs that run on it.
const outerInterfaces: Interfaces = () =>
  machineInterfaces().filter((own) => !own.startsWith('127.') && !own.startsWith('::1/'))

export class Puncher {
  readonly #node: Libp2p
  readonly #tcp: PortTcp
  readonly #clock: Clock
  readonly #log: Log
  readonly #interfaces: Interfaces
  readonly #stop = new AbortController()
  readonly #seen = new WeakMap<Connection, Multiaddr>()
  readonly #attempts = new Lru<PeerId, Attempts>(limits.punchPeersRemembered)
  readonly #answers = new Lru<PeerId, number[]>(limits.punchPeersRemembered)
  readonly #starting = new Map<PeerId, AbortController>()
  readonly #answering = new Map<PeerId, AbortController>()
  readonly #dials = new Map<string, { role: Role; done: Promise<void> }>()
  readonly #ending = new Set<Connection>()
  #cancelTimer = () => {}

  constructor(deps: { node: Libp2p; tcp: PortTcp; clock: Clock; log: Log; interfaces?: Interfaces }) {
    this.#node = deps.node
    this.#tcp = deps.tcp
    this.#clock = deps.clock
    this.#log = deps.log
    this.#interfaces = deps.interfaces ?? outerInterfaces
  }

  async start(): Promise<void> {
    await this.#node.handle(punchProtocol, (stream, connection) => void this.#answer(stream, connection), {
      // The next try may come before the stream of the last is quite gone.
      maxInboundStreams: limits.punchTries,
      maxOutboundStreams: limits.punchTries,
      runOnLimitedConnection: true,
    })
    this.#node.addEventListener('peer:identify', this.#onIdentify)
    this.#node.addEventListener('connection:open', this.#onOpen)
  }

  /** Ends what is under way. */
  stop(): void {
    this.#node.removeEventListener('peer:identify', this.#onIdentify)
    this.#node.removeEventListener('connection:open', this.#onOpen)
    this.#cancelTimer()
    this.#stop.abort(new NetError('DIAL_FAILED', 'this peer stops'))
  }

  #onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    if (detail.observedAddr) this.#seen.set(detail.connection, detail.observedAddr)
    this.#look()
  }

  #onOpen = ({ detail }: CustomEvent<Connection>): void => {
    if (!this.#isDirect(peerOf(detail))) return
    for (const connection of this.#node.getConnections(detail.remotePeer))
      if (!connection.direct && !this.#ending.has(connection)) void this.#end(connection)
  }

  /** Starts what is due, as far as there is room, and sets the timer for what will be. */
  #look(): void {
    if (this.#stop.signal.aborted) return
    const nowMs = this.#clock.monotonicMs()
    let nextMs = Number.POSITIVE_INFINITY
    for (const connection of this.#node.getConnections()) {
      const peer = peerOf(connection)
      if (connection.direct || connection.direction !== 'inbound' || connection.status !== 'open') continue
      if (this.#starting.has(peer) || this.#isDirect(peer)) continue
      const dueMs = this.#attempts.get(peer)?.nextMs ?? nowMs
      if (dueMs > nowMs) nextMs = Math.min(nextMs, dueMs)
      else if (this.#starting.size < limits.punchesInFlight) void this.#begin(peer, connection)
    }
    this.#cancelTimer()
    if (nextMs < Number.POSITIVE_INFINITY) this.#cancelTimer = this.#clock.timer(nextMs - nowMs, () => this.#look())
  }

  async #begin(peer: PeerId, connection: Connection): Promise<void> {
    const { controller, detach } = linkedController(this.#stop.signal)
    this.#starting.set(peer, controller)
    const onClose = () => controller.abort(new NetError('DIAL_FAILED', 'the relayed connection has closed'))
    connection.addEventListener('close', onClose)
    try {
      const side = this.#starter(peer, connection)
      this.#log.info(
        `${peer} is connected directly now ${wordsOf(await startPunch({ clock: this.#clock, side }, controller))}`,
      )
      this.#attempts.delete(peer)
    } catch (error) {
      if (!this.#isDirect(peer)) this.#failed(peer, error)
    } finally {
      connection.removeEventListener('close', onClose)
      detach()
      this.#starting.delete(peer)
      this.#look()
    }
  }

  #failed(peer: PeerId, error: unknown): void {
    const failures = (this.#attempts.get(peer)?.failures ?? 0) + 1
    const waitMs = Math.min(times.punchAgainFirstMs * 2 ** (failures - 1), times.punchAgainMostMs)
    this.#attempts.set(peer, { failures, nextMs: this.#clock.monotonicMs() + waitMs })
    this.#log.debug(`${peer} stays behind a relay: ${sentenceOf(error)}`)
  }

  // Who starts is the side that was called; from others, and too often, it is an attack or an accident. Who asks again has
  // given up the try before, which is then worth nothing here either.
  async #answer(stream: Stream, connection: Connection): Promise<void> {
    const peer = peerOf(connection)
    const wrong = connection.direct || connection.direction !== 'outbound' || this.#leads(peer)
    const full = this.#answering.size >= limits.punchesAnsweredMax && !this.#answering.has(peer)
    if (wrong || full || !this.#mayAsk(peer)) {
      stream.abort(new NetError('DIAL_FAILED', 'not now'))
      return
    }
    this.#answering.get(peer)?.abort(new NetError('DIAL_FAILED', 'the other side tries anew'))
    this.#starting.get(peer)?.abort(new NetError('DIAL_FAILED', 'the other side leads'))
    const { controller, detach } = linkedController(this.#stop.signal)
    this.#answering.set(peer, controller)
    const channel = new StreamChannel(stream, peer)
    try {
      await answerPunch({ clock: this.#clock, side: this.#side(peer, connection) }, channel, controller)
    } catch (error) {
      channel.abort(error as Error)
      if (!this.#isDirect(peer)) this.#log.debug(`${peer} asked for a hole, and none was made: ${sentenceOf(error)}`)
    } finally {
      detach()
      if (this.#answering.get(peer) === controller) this.#answering.delete(peer)
    }
  }

  // Two that have called each other at once would both start, and both be servers: the one with the lesser id leads.
  #leads(peer: PeerId): boolean {
    return this.#starting.has(peer) && this.#node.peerId.toString() < peer
  }

  #mayAsk(peer: PeerId): boolean {
    const nowMs = this.#clock.monotonicMs()
    const recent = (this.#answers.get(peer) ?? []).filter((atMs) => atMs > nowMs - times.punchAnswersWithinMs)
    if (recent.length < limits.punchAnswersMax) recent.push(nowMs)
    else return false
    this.#answers.set(peer, recent)
    return true
  }

  #starter(peer: PeerId, connection: Connection): PunchStarter {
    return {
      ...this.#side(peer, connection),
      dialPlainly: (signal) => this.#dialPlainly(peer, signal),
      open: async ({ signal }) => {
        const options = { runOnLimitedConnection: true, ...(signal ? { signal } : {}) }
        return new StreamChannel(await connection.newStream([punchProtocol], options), peer)
      },
    }
  }

  #side(peer: PeerId, connection: Connection): PunchSide {
    return {
      seenAt: () => [plain(this.#seenBy(connection).address)],
      plausible: (addresses) => plausibleAddresses(addresses, this.#interfaces()),
      dial: (addresses, role, signal) => {
        const { localPort } = this.#seenBy(connection)
        return this.#dial(peer, addresses, { localPort, role, signal })
      },
    }
  }

  /** Where the relay of this connection sees us: a NAT that maps ports by destination gives another port anyway. */
  #seenBy(relayed: Connection): Seen {
    const relay = relayOfAddress(relayed.remoteAddr)
    for (const connection of relay ? this.#node.getConnections(libp2pPeerId(relay)) : []) {
      const address = this.#seen.get(connection)
      const localPort = this.#tcp.portOf(connection)
      if (connection.direct && address && localPort !== undefined && tcpEndpoint(address)) return { address, localPort }
    }
    throw new NetError('DIAL_FAILED', 'the relay has not told where it sees this peer')
  }

  async #dialPlainly(peer: PeerId, signal: AbortSignal): Promise<boolean> {
    const known = await this.#node.peerStore.get(libp2pPeerId(peer)).catch(() => undefined)
    const told = known?.addresses.map(({ multiaddr }) => multiaddr) ?? []
    const addresses = plausibleAddresses(told, this.#interfaces()).map((to) => plain(to, peer))
    if (addresses.length === 0) return false
    try {
      const connection = await this.#node.dial(addresses, { signal, force: true })
      return connection.direct
    } catch (error) {
      this.#stop.signal.throwIfAborted()
      this.#log.debug(`${peer} does not answer at ${addresses.join(', ')}: ${sentenceOf(error)}`)
      return false
    }
  }

  // All at once, and none is given up when another connects: the two sides might disagree about which that is. The other
  // side may as well come to us.
  async #dial(peer: PeerId, addresses: Multiaddr[], how: Dialing & { signal: AbortSignal }): Promise<void> {
    const ways = addresses.map((to) => this.#dialOn(peer, plain(to, peer), how))
    try {
      await abortable(Promise.any([...ways, this.#untilDirect(peer, how.signal)]), how.signal)
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error
    }
  }

  // A dial goes on from one try to the next: a NAT remembers where a connection began, and takes a new beginning at the
  // same ports for a forgery if the other side was first. Only its role may change, until it has connected.
  #dialOn(peer: PeerId, to: Multiaddr, how: Dialing): Promise<void> {
    const key = `${how.localPort} ${to}`
    const running = this.#dials.get(key)
    if (running) {
      running.role = how.role
      return running.done
    }
    const { controller, detach } = linkedController(this.#stop.signal)
    const tooLong = new NetError('DIAL_FAILED', 'no answer in time')
    const cancel = this.#clock.timer(times.punchHoldMs, () => controller.abort(tooLong))
    const dial = { role: how.role, done: Promise.resolve() }
    const roleNow = () => dial.role
    dial.done = this.#dialOne(peer, to, { ...how, roleNow, signal: controller.signal }).finally(() => {
      cancel()
      detach()
      this.#dials.delete(key)
    })
    this.#dials.set(key, dial)
    return dial.done
  }

  // Refused: its NAT lets everybody in, and the other side is not dialing at this moment. When both are like that and near,
  // the moments never meet, and one of them has to stand still and wait.
  async #dialOne(
    peer: PeerId,
    to: Multiaddr,
    { localPort, roleNow, signal }: { localPort: number; roleNow: () => Role; signal: AbortSignal },
  ): Promise<void> {
    for (let refusals = 0; roleNow() === 'client' || refusals < limits.punchRefusalsMax; ) {
      try {
        await this.#tcp.dialFrom(localPort, to, { roleNow, signal })
        return
      } catch (error) {
        signal.throwIfAborted()
        // A port in use is one at which we wait for somebody else.
        if (codeOf(error) === 'ECONNREFUSED') refusals++
        else if (!isTaken(error)) throw error
      }
      await sleep(this.#clock, times.punchRefusedMs * 2 ** Math.min(refusals, limits.punchRefusalsMax), signal)
    }
    const { controller, detach } = linkedController(signal)
    try {
      await Promise.race([
        this.#tcp.acceptAt(localPort, to, controller.signal),
        this.#untilDirect(peer, controller.signal),
      ])
    } finally {
      detach()
      controller.abort(new NetError('DIAL_FAILED', 'another way was faster'))
    }
  }

  async #untilDirect(peer: PeerId, signal: AbortSignal): Promise<void> {
    const done = Promise.withResolvers<void>()
    const onOpen = () => {
      if (this.#isDirect(peer)) done.resolve()
    }
    this.#node.addEventListener('connection:open', onOpen)
    try {
      onOpen()
      await abortable(done.promise, signal)
    } finally {
      this.#node.removeEventListener('connection:open', onOpen)
    }
  }

  // What is under way may end; then whatever is left is what never ends, and begins anew over the direct connection.
  async #end(connection: Connection): Promise<void> {
    this.#ending.add(connection)
    try {
      await sleep(this.#clock, times.relayedGraceMs, this.#stop.signal)
      if (this.#isDirect(peerOf(connection))) await connection.close()
    } catch (error) {
      connection.abort(error as Error)
    } finally {
      this.#ending.delete(connection)
    }
  }

  #isDirect(peer: PeerId): boolean {
    return this.#node.getConnections(libp2pPeerId(peer)).some(({ direct, status }) => direct && status === 'open')
  }
}

function peerOf({ remotePeer }: Connection): PeerId {
  return remotePeer.toString() as PeerId
}

/** An address of TCP alone; with a peer as its tail the handshake insists on that one. */
function plain(address: Multiaddr, peer?: PeerId): Multiaddr {
  const { host, port } = tcpEndpoint(address)!
  return multiaddr(`/${isIP(host) === 6 ? 'ip6' : 'ip4'}/${host}/tcp/${port}${peer ? `/p2p/${peer}` : ''}`)
}

function wordsOf(punched: Punched): string {
  if (punched.way === 'plain') return 'at an address of its own'
  return `through a hole in its NAT (try ${punched.tries})`
}
