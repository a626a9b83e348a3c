// Peers for tests of the exchange: the real exchange and store over the twins of network, disk and clock, so that hours of
// waiting take a moment and every run is the same.
import assert from 'node:assert/strict'
import { silentLog } from '../../src/base/log.ts'
import type { Block } from '../../src/core/block.ts'
import type { Provider } from '../../src/core/peer.ts'
import type { BlockStore, FetchOptions, FetchReport, FindProviders } from '../../src/core/ports.ts'
import { blocksProtocol } from '../../src/exchange/blocks-protocol.ts'
import { type Exchange, openExchange } from '../../src/exchange/exchange.ts'
import { linksOf } from '../../src/files/links.ts'
import { openMemoryStore } from '../../src/store/memory.ts'
import { MemoryDisk } from '../../src/store/memory-disk.ts'
import type { Store } from '../../src/store/open.ts'
import { VirtualClock } from '../twins/clock.ts'
import { type Line, NetworkTwin, type PeerTwin } from '../twins/network.ts'
import type { Dag } from './dags.ts'

export interface WorldPeer {
  network: PeerTwin
  disk: MemoryDisk
  store: Store
  exchange: Exchange
}

interface PeerOptions extends Partial<Line> {
  blocks?: Block[]
  /** Whom it finds; by default all providers of the world. */
  findProviders?: FindProviders
  disk?: MemoryDisk
  /** Speaks Bitswap and not our own protocol, as other programs do. */
  onlyBitswap?: boolean
  /** Sends other bytes than it was asked for. */
  lies?: boolean
  /** Bytes per second of its background fetches. */
  backgroundRate?: number
}

export class World implements AsyncDisposable {
  readonly clock = new VirtualClock()
  readonly network = new NetworkTwin({ clock: this.clock })
  /** Whom every search finds. */
  readonly providers: WorldPeer[] = []
  readonly #peers: WorldPeer[] = []

  async peer(name: string, options: PeerOptions = {}): Promise<WorldPeer> {
    const {
      blocks = [],
      findProviders = () => this.#found(),
      lies = false,
      onlyBitswap = false,
      disk = new MemoryDisk(),
      backgroundRate,
      ...line
    } = options
    const network = this.network.join(name, line)
    const { clock } = this
    const store = await openMemoryStore({ disk, linksOf, clock })
    await putAll(store, blocks)
    const served = lies ? lying(store) : store
    const deps = { network, store: served, linksOf, findProviders, clock, log: silentLog }
    const exchange = await openExchange(deps, { backgroundRate })
    if (onlyBitswap) network.forget(blocksProtocol)
    const peer = { network, disk, store, exchange }
    this.#peers.push(peer)
    return peer
  }

  /** A peer that has these blocks and is found by all. */
  async provider(name: string, blocks: Block[], options: Omit<PeerOptions, 'blocks'> = {}): Promise<WorldPeer> {
    const peer = await this.peer(name, { ...options, blocks })
    this.providers.push(peer)
    return peer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { exchange } of this.#peers) await this.clock.until(exchange[Symbol.asyncDispose]())
  }

  async *#found(): AsyncGenerator<Provider> {
    for (const { network } of this.providers) yield { ...network.info, via: 'dht' }
  }
}

export async function putAll(store: Store, blocks: Block[]): Promise<void> {
  using lease = store.lease('test')
  const writer = store.writer(lease)
  for (const block of blocks) await writer.put(block)
  await writer.flush()
}

/** The same blocks, with one bit of each wrong when they are sent. */
function lying(store: Store): BlockStore {
  return {
    has: (cid) => store.has(cid),
    sizeOf: (cid) => store.sizeOf(cid),
    get: (cid, options) => store.get(cid, options),
    lease: (reason) => store.lease(reason),
    writer: (lease) => store.writer(lease),
    async unverified(cid, options) {
      const bytes = new Uint8Array(await store.unverified(cid, options))
      bytes[0]! ^= 1
      return bytes
    },
  }
}

export async function fetchAll(
  world: World,
  peer: WorldPeer,
  { root }: Dag,
  options: FetchOptions = {},
): Promise<FetchReport> {
  using lease = peer.store.lease('fetch')
  const session = peer.exchange.session(root, lease, options)
  try {
    await world.clock.until(session.fetchDag(root, { signal: options.signal }))
    return session.report()
  } finally {
    await world.clock.until(session[Symbol.asyncDispose]())
  }
}

/** All of it is on the disk of the peer, right to the last bit. */
export async function assertHas({ disk }: WorldPeer, dag: Dag): Promise<void> {
  const store = await openMemoryStore({ disk, linksOf })
  for (const { cid, bytes } of dag.blocks)
    assert.deepEqual(Buffer.from((await store.get(cid)).bytes), Buffer.from(bytes))
}

export async function failureOf(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  const error = await promise.then(
    () => assert.fail('it should have failed'),
    (reason: Error) => reason,
  )
  return error
}

export const bytesFrom = (report: FetchReport, { network }: WorldPeer) => report.sources[network.self] ?? 0
