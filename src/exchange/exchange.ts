// The exchange of blocks with others: serves both protocols, and fetches over whichever a peer speaks, potluck's own first.
import type { CID } from 'multiformats/cid'
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { Scope } from '../base/scope.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type {
  BlockStore,
  Connected,
  Fetcher,
  FetchOptions,
  FindProviders,
  Lease,
  LinksOf,
  Network,
} from '../core/ports.ts'
import { times } from '../core/times.ts'
import { Bitswap } from './bitswap.ts'
import { bitswapProtocol } from './bitswap-message.ts'
import { askHave } from './blocks-client.ts'
import { blocksProtocol } from './blocks-protocol.ts'
import { serveBlocks } from './blocks-server.ts'
import { ExchangeError } from './errors.ts'
import { Session } from './fetch-session.ts'
import { MovingSupplier } from './moving-supplier.ts'
import { Pacing } from './pacing.ts'
import type { Supplier, SupplierEvents } from './supplier.ts'

export interface ExchangeDeps {
  network: Network
  store: BlockStore
  linksOf: LinksOf
  findProviders: FindProviders
  clock: Clock
  log: Log
}

export interface ExchangeOptions {
  /** Bytes per second for all background fetches together; without one they take what there is. */
  backgroundRate?: number | undefined
}

export interface ExchangeStatus {
  /** Bytes of blocks since the start. */
  bytesSent: number
  bytesReceived: number
}

/** Registers the protocols. */
export async function openExchange(deps: ExchangeDeps, options: ExchangeOptions = {}): Promise<Exchange> {
  const { network, store } = deps
  await using scope = new Scope()
  const status: ExchangeStatus = { bytesSent: 0, bytesReceived: 0 }
  const onSent = (bytes: number) => {
    status.bytesSent += bytes
  }
  const bitswap = scope.use(await Bitswap.open({ ...deps, onSent: (_peer, bytes) => onSent(bytes) }))
  const handling = { streamsMax: limits.blocksStreamsMax }
  scope.defer(await network.handle(blocksProtocol, handling, (channel) => serveBlocks(channel, store, onSent)))
  const pacing = new Pacing(deps, { bytesPerSecond: options.backgroundRate })
  return new Exchange({ ...deps, pacing }, bitswap, status, scope.move())
}

export class Exchange implements Fetcher, AsyncDisposable {
  readonly #deps: ExchangeDeps & { pacing: Pacing }
  readonly #bitswap: Bitswap
  readonly #status: ExchangeStatus
  readonly #scope: Scope

  constructor(deps: ExchangeDeps & { pacing: Pacing }, bitswap: Bitswap, status: ExchangeStatus, scope: Scope) {
    this.#deps = deps
    this.#bitswap = bitswap
    this.#status = status
    this.#scope = scope
  }

  session(root: CID, lease: Lease, options: FetchOptions = {}): Session {
    const { network, store, linksOf, findProviders, pacing, clock, log } = this.#deps
    const deps = {
      self: network.self,
      store,
      writer: store.writer(lease),
      linksOf,
      findProviders,
      connect: (provider: PeerInfo, events: SupplierEvents, more: Abortable) => this.#connect(provider, events, more),
      pacing,
      clock,
      log,
    }
    return new Session(deps, root, options)
  }

  /** Connected peers that say they have a block, as they answer. */
  async *askConnected(cid: CID, { signal }: Abortable = {}): AsyncGenerator<PeerInfo> {
    const { network, clock } = this.#deps
    const asked = network.connected().slice(0, limits.askedPeersMax)
    const answers = new Map<PeerId, Promise<{ peer: Connected; has: boolean }>>()
    for (const peer of asked) {
      const question = withDeadline(clock, times.askMs, `asking ${peer.peer}`, (each) => this.#ask(peer, cid, each), {
        signal,
      })
      answers.set(
        peer.peer,
        question.then(
          (has) => ({ peer, has }),
          () => ({ peer, has: false }),
        ),
      )
    }
    while (answers.size > 0) {
      const { peer, has } = await Promise.race(answers.values())
      answers.delete(peer.peer)
      signal?.throwIfAborted()
      if (has) yield { peer: peer.peer, addresses: peer.addresses }
    }
  }

  status(): ExchangeStatus {
    return { ...this.#status }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope.close()
  }

  async #ask(peer: Connected, cid: CID, signal: AbortSignal): Promise<boolean> {
    const { network } = this.#deps
    // Right after connecting nobody has told yet what it speaks.
    if (peer.protocols.includes(blocksProtocol) || peer.protocols.length === 0)
      return await askHave(await network.open(peer.peer, [blocksProtocol], { signal }), cid, { signal })
    if (peer.protocols.includes(bitswapProtocol)) return await this.#bitswap.askHave(peer.peer, cid, { signal })
    return false
  }

  async #connect(provider: PeerInfo, events: SupplierEvents, { signal }: Abortable): Promise<Supplier> {
    const counted: SupplierEvents = {
      ...events,
      onAnswer: (cid, bytes) => {
        this.#status.bytesReceived += bytes?.byteLength ?? 0
        return events.onAnswer(cid, bytes)
      },
    }
    const { network, clock } = this.#deps
    const open = (protocols: string[], more: Abortable) =>
      withDeadline(
        clock,
        times.dialMs,
        `connecting to ${provider.peer}`,
        (each) => network.open(provider, protocols, { signal: each }),
        more,
      )
    const channel = await open([blocksProtocol, bitswapProtocol], { signal })
    const reopen = (more: Abortable) => open([blocksProtocol], more)
    if (channel.protocol === blocksProtocol) return new MovingSupplier({ network, reopen }, channel, counted)
    // Only to learn what it speaks: Bitswap has a stream of its own for all fetches.
    channel.abort(new ExchangeError('CLOSED', 'not needed'))
    return this.#bitswap.supplier(provider.peer, counted)
  }
}
