// The twin of the DHT: any number of simulated servers that know one another perfectly. A lookup gives the true nearest
// ones, a server keeps the records it is told, and servers can be made to refuse, to hang or to vanish. What was asked is
// counted, so that a test can say what announcing costs.

import { base58btc } from 'multiformats/bases/base58'
import type { CID } from 'multiformats/cid'
import type { Clock } from '../../src/base/clock.ts'
import type { Random } from '../../src/base/random.ts'
import { sha256 } from '../../src/core/block.ts'
import { dhtKey } from '../../src/core/dht-key.ts'
import type { PeerId, PeerInfo } from '../../src/core/peer.ts'
import type { Dht } from '../../src/core/ports.ts'

const replicas = 20
const recordLifeMs = 48 * 3_600_000

interface SimulatedServer {
  peer: PeerId
  position: Uint8Array
  refuses: boolean
  hangs: boolean
  /** Key in hex -> provider -> wall time of the latest announcement. */
  records: Map<string, Map<PeerId, number>>
  /** Key in hex -> what it was told last, whether that is newer or not. */
  values: Map<string, { value: Uint8Array; toldMs: number }>
}

/** A PeerId like a real one: the identity multihash of an Ed25519 public key, in base58. */
export function newPeerId(random: Random): PeerId {
  return base58btc.baseEncode(Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...random.bytes(32))) as PeerId
}

export class SimulatedDht {
  readonly servers = new Map<PeerId, SimulatedServer>()
  readonly #clock: Clock
  lookups = 0
  /** Calls of addProviders: one stream to one server each. */
  streams = 0
  /** Records that servers were told of. */
  records = 0
  /** While set, every lookup rejects with it. */
  failLookups: Error | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  addServers(count: number, random: Random): SimulatedServer[] {
    return Array.from({ length: count }, () => this.addServer(newPeerId(random)))
  }

  addServer(peer: PeerId): SimulatedServer {
    const position = sha256(base58btc.baseDecode(peer))
    const server = { peer, position, refuses: false, hangs: false, records: new Map(), values: new Map() }
    this.servers.set(peer, server)
    return server
  }

  /** The true k nearest servers to a key, from their distances alone. */
  nearest(key: Uint8Array): SimulatedServer[] {
    const target = sha256(key)
    const distances = new Map<SimulatedServer, Uint8Array>()
    for (const server of this.servers.values())
      distances.set(
        server,
        target.map((byte, at) => byte ^ server.position[at]!),
      )
    const sorted = [...distances].sort(([, a], [, b]) => Buffer.compare(a, b))
    return sorted.slice(0, replicas).map(([server]) => server)
  }

  /** When a server last heard that a peer provides a key. */
  toldMs(server: PeerId, key: Uint8Array, provider: PeerId): number | undefined {
    return this.servers.get(server)?.records.get(hex(key))?.get(provider)
  }

  /** The network as one peer sees it. */
  portOf(self: PeerId): Dht {
    const { servers } = this
    return {
      size: () => servers.size - (servers.has(self) ? 1 : 0),
      closest: async (key) => {
        this.lookups++
        if (this.failLookups) throw this.failLookups
        if (servers.size === 0) throw new Error('no server of the DHT is known')
        return this.nearest(key).map(({ peer }) => infoOf(peer))
      },
      addProviders: async ({ peer }, multihashes) => {
        this.streams++
        const server = servers.get(peer)
        if (!server || server.refuses) throw new Error(`${peer} cannot be reached`)
        if (server.hangs) await new Promise<never>(() => {})
        for (const multihash of multihashes) this.#record(server, dhtKey(multihash), self)
      },
      findProviders: (cid) => this.#findProviders(cid),
      putValue: async (key, value) => {
        const servers = this.nearest(key).filter(({ refuses }) => !refuses)
        for (const server of servers) server.values.set(hex(key), { value, toldMs: this.#clock.nowMs() })
        return servers.length
      },
      getValues: async (key) => this.#values(key),
    }
  }

  #values(key: Uint8Array): Uint8Array[] {
    const kept = this.nearest(key).flatMap(({ values, refuses }) => (refuses ? [] : (values.get(hex(key)) ?? [])))
    return kept.filter(({ toldMs }) => this.#clock.nowMs() - toldMs <= recordLifeMs).map(({ value }) => value)
  }

  #record(server: SimulatedServer, key: Uint8Array, provider: PeerId): void {
    this.records++
    const providers = server.records.get(hex(key)) ?? new Map<PeerId, number>()
    server.records.set(hex(key), providers.set(provider, this.#clock.nowMs()))
  }

  async *#findProviders(cid: CID): AsyncIterable<PeerInfo> {
    const key = dhtKey(cid.multihash.bytes)
    const seen = new Set<PeerId>()
    for (const server of this.nearest(key)) {
      for (const [provider, toldMs] of server.records.get(hex(key)) ?? []) {
        if (seen.has(provider) || this.#clock.nowMs() - toldMs > recordLifeMs) continue
        seen.add(provider)
        yield infoOf(provider)
      }
    }
  }
}

function infoOf(peer: PeerId): PeerInfo {
  return { peer, addresses: ['/ip4/127.0.0.1/tcp/4101'] }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
