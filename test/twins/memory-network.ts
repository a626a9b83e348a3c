// The twin of the network: peers in this process, with streams whose bytes arrive a turn later. A test can make the writer
// wait, cut streams, cut the wire in odd places, and look at how many writes were made.
import type { Abortable } from '../../src/base/abort.ts'
import { abortable } from '../../src/base/abort.ts'
import { CoreError } from '../../src/core/block.ts'
import type { PeerId, PeerInfo } from '../../src/core/peer.ts'
import type { Channel, Connected, HandlerOptions, Network } from '../../src/core/ports.ts'

export class MemoryChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: string
  other!: MemoryChannel
  writes = 0
  /** While set, writes wait for it. */
  hold: PromiseLike<void> | undefined
  #unread: Uint8Array[] = []
  #ended = false
  #broken: Error | undefined
  #wake = () => {}

  constructor(peer: PeerId, protocol: string) {
    this.peer = peer
    this.protocol = protocol
  }

  async write(pieces: Uint8Array[], { signal }: Abortable = {}): Promise<void> {
    this.writes++
    await abortable(Promise.resolve(this.hold), signal)
    if (this.#broken) throw this.#broken
    // Bytes are taken when they are written, as a socket does.
    this.other.#arrive(pieces.map((piece) => new Uint8Array(piece)))
  }

  async read({ signal }: Abortable = {}): Promise<Uint8Array[] | undefined> {
    while (this.#unread.length === 0) {
      if (this.#broken) throw this.#broken
      if (this.#ended) return undefined
      await abortable(new Promise<void>((resolve) => (this.#wake = resolve)), signal)
    }
    return this.#unread.splice(0)
  }

  async close(): Promise<void> {
    this.other.#ended = true
    this.other.#wake()
  }

  abort(reason: Error): void {
    this.#break(reason)
    this.other.#break(new CoreError('STREAM_BROKEN', 'the other side dropped it', { retryable: true }))
  }

  #arrive(pieces: Uint8Array[]): void {
    this.#unread.push(...pieces)
    this.#wake()
  }

  #break(reason: Error): void {
    this.#broken ??= reason
    this.#unread = []
    this.#wake()
  }
}

export function channelPair(a: PeerId, b: PeerId, protocol: string): [MemoryChannel, MemoryChannel] {
  const [atA, atB] = [new MemoryChannel(b, protocol), new MemoryChannel(a, protocol)]
  atA.other = atB
  atB.other = atA
  return [atA, atB]
}

type Handler = (channel: Channel) => Promise<void>

export class MemoryNetwork implements Network {
  readonly self: PeerId
  readonly #peers: Map<PeerId, MemoryNetwork>
  readonly handlers = new Map<string, Handler>()
  /** Streams that this peer has opened. */
  readonly opened: MemoryChannel[] = []
  /** While set, opening a stream waits for it. */
  holdOpen: PromiseLike<void> | undefined

  /** Peers of one map see each other. */
  constructor(peers: Map<PeerId, MemoryNetwork>, self: string) {
    this.#peers = peers
    this.self = self as PeerId
    peers.set(this.self, this)
  }

  addresses(): string[] {
    return [`/memory/${this.self}`]
  }

  connected(): Connected[] {
    return []
  }

  async connect(target: string | PeerInfo): Promise<PeerId> {
    return typeof target === 'string' ? (target as PeerId) : target.peer
  }

  async open(peer: PeerId | PeerInfo, protocols: string[], { signal }: Abortable = {}): Promise<Channel> {
    await abortable(Promise.resolve(this.holdOpen), signal)
    const id = typeof peer === 'string' ? peer : peer.peer
    const [protocol = ''] = protocols
    const handler = this.#peers.get(id)?.handlers.get(protocol)
    if (!handler) throw new CoreError('STREAM_BROKEN', `${id} cannot be reached`, { retryable: true })
    const [ours, theirs] = channelPair(this.self, id, protocol)
    this.opened.push(ours)
    handler(theirs).catch((error) => theirs.abort(error))
    return ours
  }

  async handle(protocol: string, _options: HandlerOptions, handler: Handler): Promise<() => Promise<void>> {
    this.handlers.set(protocol, handler)
    return async () => {
      this.handlers.delete(protocol)
    }
  }

  onDirect(): () => void {
    return () => {}
  }

  onPeer(): () => void {
    return () => {}
  }
}
