// The Dht port over libp2p's Kademlia. A private network has one DHT of its own; an open one has two, the public one, which
// knows only public addresses, and the one of the local network. They are asked together, and an announcement goes to a
// server in the DHT in which it was found.
//
// Announcing never goes through libp2p's provide(): that is one lookup and one stream per key and server. Here many keys go
// to one server over one stream, and its reprovider has nothing of ours to do.

import type { Libp2p, PeerInfo as Libp2pPeerInfo } from '@libp2p/interface'
import type { KadDHT, QueryEvent } from '@libp2p/kad-dht'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import { ByteReader } from '../base/frames.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import { merged } from '../base/merged.ts'
import { sha256 } from '../core/block.ts'
import { dhtKey } from '../core/dht-key.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Dht, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { bareAddress } from './addresses.ts'
import { addProviderMessage, findNodeMessage, providerEntry } from './dht-messages.ts'
import { askForValue, type DhtValuesDeps, keepValue, keptValue, tellValue, type ValueNetwork } from './dht-values.ts'
import { NetError } from './errors.ts'
import type { LookupPath } from './lookup-path.ts'
import { forget, type KadTable } from './routing-table.ts'

/** A lookup that tells its way. */
export interface Lookup extends Abortable {
  path?: LookupPath
}

/** One Kademlia network that this peer is a server of. */
export interface DhtNetwork extends ValueNetwork {
  kad: KadDHT & { readonly routingTable: KadTable }
}

const rawCodec = 0x55
const closestMax = 20

export class Libp2pDht implements Dht {
  readonly #node: Libp2p
  readonly #network: Network
  readonly #networks: DhtNetwork[]
  readonly #clock: Clock
  readonly #log: Log
  readonly #values: DhtValuesDeps
  /** In which networks a server was found: what is announced to it belongs there. */
  readonly #foundIn = new Lru<PeerId, Set<DhtNetwork>>(limits.dhtServersRemembered)

  constructor(deps: DhtValuesDeps & { node: Libp2p; network: Network; networks: DhtNetwork[] }) {
    this.#node = deps.node
    this.#network = deps.network
    this.#networks = deps.networks
    this.#clock = deps.clock
    this.#log = deps.log
    this.#values = deps
  }

  size(): number {
    return this.#networks.reduce((sum, { kad }) => sum + kad.routingTable.size, 0)
  }

  async closest(key: Uint8Array, options: Lookup = {}): Promise<PeerInfo[]> {
    const found = new Map<PeerId, PeerInfo & { distance: Uint8Array }>()
    const target = sha256(key)
    const lookups = this.#networks.map(async (network) => {
      for await (const event of network.kad.getClosestPeers(key, signalOf(options))) {
        this.#note(network, event, options.path)
        if (event.name !== 'FINAL_PEER') continue
        const info = infoOf(event.peer)
        this.#remember(info.peer, network)
        found.set(info.peer, { ...info, distance: xor(target, sha256(event.peer.id.toMultihash().bytes)) })
      }
    })
    const failed = (await Promise.allSettled(lookups)).find((result) => result.status === 'rejected')
    options.signal?.throwIfAborted()
    if (found.size === 0)
      throw new NetError(
        'NO_DHT_SERVERS',
        'no other peer of the DHT is reachable yet: connect to one, or wait until one connects',
        { retryable: true, cause: failed?.reason },
      )
    const sorted = [...found.values()].sort((a, b) => Buffer.compare(a.distance, b.distance))
    return sorted.slice(0, closestMax).map(({ peer, addresses }) => ({ peer, addresses }))
  }

  /**
   * Resolves when the server has worked off all of them: each batch ends with a question, and its answer both says so and
   * keeps us from sending faster than the server writes. Rejects like `Network.open`, or with STREAM_BROKEN.
   */
  async addProviders(server: PeerInfo, multihashes: Uint8Array[], options: Abortable = {}): Promise<void> {
    if (multihashes.length === 0) return
    const addresses = this.#node.getMultiaddrs().map((address) => multiaddr(bareAddress(address)).bytes)
    if (addresses.length === 0)
      throw new NetError('NO_DHT_SERVERS', 'this peer has no address to announce: let it listen on one')
    const entry = providerEntry(this.#node.peerId.toMultihash().bytes, addresses)
    const attempts = this.#networksOf(server).map(({ protocol }) =>
      this.#announce(server, protocol, entry, multihashes, options),
    )
    const results = await Promise.allSettled(attempts)
    options.signal?.throwIfAborted()
    // A server is in both networks of an open one if it speaks both: one that took them is enough.
    const failures = results.filter((result) => result.status === 'rejected')
    if (failures.length === results.length) throw failures[0]?.reason
  }

  async *findProviders(cid: CID, options: Lookup = {}): AsyncIterable<PeerInfo> {
    const key = CID.createV1(rawCodec, Digest.decode(dhtKey(cid.multihash.bytes)))
    const controller = new AbortController()
    const stop = () => controller.abort(options.signal?.reason)
    options.signal?.addEventListener('abort', stop, { once: true })
    if (options.signal?.aborted) stop()
    const seen = new Set<PeerId>([this.#network.self])
    try {
      const searches = this.#networks.map((network) =>
        this.#providersIn(network, key, { signal: controller.signal, path: options.path }),
      )
      for await (const info of merged(searches)) {
        if (seen.has(info.peer)) continue
        seen.add(info.peer)
        yield info
        if (seen.size > limits.providersMax) return
      }
      options.signal?.throwIfAborted()
    } finally {
      options.signal?.removeEventListener('abort', stop)
      controller.abort(new Error('the search has ended'))
    }
  }

  async putValue(key: Uint8Array, value: Uint8Array, options: Abortable = {}): Promise<number> {
    for (const { prefix } of this.#networks) await keepValue(this.#values, prefix, { key, value })
    const servers = await this.#serversNear(key, options)
    const told = servers.map((server) =>
      tellValue(this.#values, server, this.#networksOf(server), { key, value }, options),
    )
    return (await Promise.all(told)).filter(Boolean).length
  }

  async getValues(key: Uint8Array, options: Abortable = {}): Promise<Uint8Array[]> {
    const { datastore } = this.#values
    const own = await Promise.all(this.#networks.map(({ prefix }) => keptValue(datastore, prefix, key)))
    const servers = await this.#serversNear(key, options)
    const asked = servers.map((server) => askForValue(this.#values, server, this.#networksOf(server), key, options))
    return [...own.filter((value) => value !== undefined), ...(await Promise.all(asked)).flat()]
  }

  async #serversNear(key: Uint8Array, options: Abortable): Promise<PeerInfo[]> {
    try {
      return this.size() === 0 ? [] : await this.closest(key, options)
    } catch (error) {
      if (codeOf(error) === 'NO_DHT_SERVERS') return []
      throw error
    }
  }

  #note({ kad }: DhtNetwork, event: QueryEvent, path: LookupPath | undefined): void {
    path?.note(event)
    // Who does not answer, and is not even connected, is gone: others would be sent there, and the next lookup as well.
    const isGone = event.name === 'QUERY_ERROR' && this.#node.getConnections(event.from).length === 0
    if (isGone) void forget(kad.routingTable, event.from)
  }

  async *#providersIn(
    network: DhtNetwork,
    key: CID,
    { signal, path }: { signal: AbortSignal; path: LookupPath | undefined },
  ): AsyncGenerator<PeerInfo> {
    try {
      for await (const event of network.kad.findProviders(key, { signal })) {
        this.#note(network, event, path)
        if (event.name === 'PROVIDER') yield* event.providers.map(infoOf)
      }
    } catch (error) {
      // A search that fails has found what it has found; one that was stopped is the caller's business.
      if (!signal.aborted) this.#log.debug(`a search in the DHT failed: ${sentenceOf(error)}`)
    }
  }

  async #announce(
    server: PeerInfo,
    protocol: string,
    entry: Uint8Array,
    multihashes: Uint8Array[],
    options: Abortable,
  ): Promise<void> {
    const channel = await this.#network.open(server, [protocol], options)
    try {
      const answers = new ByteReader((readOptions) => channel.read(readOptions))
      for (let at = 0; at < multihashes.length; at += limits.dhtBatchKeys) {
        const batch = multihashes.slice(at, at + limits.dhtBatchKeys)
        const messages = batch.map((multihash) => addProviderMessage(dhtKey(multihash), entry))
        await withDeadline(
          this.#clock,
          times.stallMs,
          `announcing to ${server.peer}`,
          async (signal) => {
            await channel.write([...messages, findNodeMessage(dhtKey(batch[0]!))], { signal })
            if (!(await answers.frame(limits.dhtMessageBytesMax, { signal })))
              throw new NetError('STREAM_BROKEN', `${server.peer} does not take announcements`, { retryable: true })
          },
          options,
        )
      }
      await withDeadline(this.#clock, times.stallMs, 'closing a stream', (signal) => channel.close({ signal }), options)
    } catch (error) {
      channel.abort(error as Error)
      throw error
    }
  }

  #networksOf({ peer }: PeerInfo): DhtNetwork[] {
    return [...(this.#foundIn.get(peer) ?? this.#networks)]
  }

  #remember(peer: PeerId, network: DhtNetwork): void {
    const networks = this.#foundIn.get(peer) ?? new Set()
    this.#foundIn.set(peer, networks.add(network))
  }
}

function signalOf({ signal }: Abortable): { signal?: AbortSignal } {
  return signal ? { signal } : {}
}

function infoOf({ id, multiaddrs }: Libp2pPeerInfo): PeerInfo {
  return {
    peer: id.toString() as PeerId,
    addresses: [...new Set(multiaddrs.slice(0, limits.addressesPerPeerMax).map(bareAddress))],
  }
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ b[index]!)
}
