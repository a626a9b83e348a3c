// Bitswap 1.2 with everybody who speaks it: reads their messages, whether each comes on a stream of its own or many on one,
// and keeps one BitswapPeer for each of them.
import type { CID } from 'multiformats/cid'
import { type Abortable, abortable } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'
import { ByteReader } from '../base/frames.ts'
import type { Log } from '../base/log.ts'
import { Scope } from '../base/scope.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Channel } from '../core/ports.ts'
import { bitswapProtocol, decodeMessage } from './bitswap-message.ts'
import { type BitswapDeps, BitswapPeer, BitswapSupplier } from './bitswap-peer.ts'
import { ExchangeError } from './errors.ts'
import type { SupplierEvents } from './supplier.ts'

/** How often wants that could not be met are looked at again. */
const meetWantsEveryMs = 1_000

export class Bitswap implements AsyncDisposable {
  readonly #deps: BitswapDeps & { log: Log }
  readonly #peers = new Map<PeerId, BitswapPeer>()
  readonly #scope = new Scope()
  #cancelTimer: (() => void) | undefined

  private constructor(deps: BitswapDeps & { log: Log }) {
    this.#deps = deps
  }

  static async open(deps: BitswapDeps & { log: Log }): Promise<Bitswap> {
    const bitswap = new Bitswap(deps)
    const { network } = deps
    const options = { streamsMax: limits.bitswapStreamsMax }
    bitswap.#scope.defer(await network.handle(bitswapProtocol, options, (channel) => bitswap.#serve(channel)))
    bitswap.#scope.defer(
      network.onPeer(({ peer, connected }) => {
        if (!connected)
          bitswap.#drop(peer, new ExchangeError('PEER_BROKEN', 'the peer disconnected', { retryable: true }))
      }),
    )
    return bitswap
  }

  supplier(peer: PeerId, events: SupplierEvents): BitswapSupplier {
    return new BitswapSupplier(this.#peer(peer), events)
  }

  /** Asks whether a peer has a block. */
  async askHave(peer: PeerId, cid: CID, { signal }: Abortable): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    const events = {
      onAnswer: (_: CID, bytes?: Uint8Array) => resolve(bytes !== undefined),
      onHave: () => resolve(true),
      onGone: reject,
    }
    const supplier = new BitswapSupplier(this.#peer(peer), events)
    supplier.ask([cid], 'have')
    try {
      return await abortable(promise, signal)
    } finally {
      supplier.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelTimer?.()
    await this.#scope.close()
    for (const peer of [...this.#peers.keys()]) this.#drop(peer, new ExchangeError('CLOSED', 'the exchange closes'))
  }

  async #serve(channel: Channel): Promise<void> {
    const reader = new ByteReader(async (options) => {
      const pieces = await channel.read(options)
      const bytes = pieces?.reduce((sum, { byteLength }) => sum + byteLength, 0)
      if (bytes) this.#peers.get(channel.peer)?.receiving(bytes)
      return pieces
    })
    try {
      for (let frame = await reader.frame(limits.bitswapMessageBytesMax); frame; ) {
        this.#peer(channel.peer).receive(decodeMessage(frame))
        this.#watchWants()
        frame = await reader.frame(limits.bitswapMessageBytesMax)
      }
      await channel.close()
    } catch (error) {
      this.#deps.log.debug(`Bitswap with ${channel.peer}: ${sentenceOf(error)}`)
      throw error
    }
  }

  #peer(peer: PeerId): BitswapPeer {
    const known = this.#peers.get(peer) ?? new BitswapPeer(this.#deps, peer)
    this.#peers.set(peer, known)
    return known
  }

  #drop(peer: PeerId, reason: Error): void {
    this.#peers.get(peer)?.drop(reason)
    this.#peers.delete(peer)
  }

  #watchWants(): void {
    if (this.#cancelTimer || ![...this.#peers.values()].some((peer) => peer.hasUnmetWants)) return
    this.#cancelTimer = this.#deps.clock.timer(meetWantsEveryMs, () => {
      this.#cancelTimer = undefined
      for (const peer of this.#peers.values()) peer.meetWants()
      this.#watchWants()
    })
  }
}
