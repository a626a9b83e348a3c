// What this peer can tell others about who provides what, who is where, and what names of keys point at: the index behind
// the Delegated Routing V1 HTTP API. Each question is an operation that ends with the peer, and in bounded time.
import type { CID } from 'multiformats/cid'
import { type Abortable, linkedController, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import type { IpnsRecord } from '../core/ipns-record.ts'
import type { PeerId, PeerInfo, Provider } from '../core/peer.ts'
import { times } from '../core/times.ts'
import type { HubPort } from '../routing/hub-door.ts'
import type { Online } from './online.ts'
import type { Operations } from './operations.ts'

export interface RoutedPeer extends PeerInfo {
  /** libp2p protocols that it is known to speak. */
  protocols: string[]
}

export interface RoutingIndex {
  /** Ends by itself after `times.routingMs`. `hubs`: ask them too; never for somebody who asks us as a hub. */
  providers(cid: CID, options?: Abortable & { hubs?: boolean }): AsyncIterable<Provider>
  peer(peer: PeerId, options?: Abortable): Promise<RoutedPeer | undefined>
  /** The newest good record of a name; undefined if nobody has one. */
  ipns(name: PeerId, options?: Abortable): Promise<IpnsRecord | undefined>
  /** Publishes a record that another peer has signed. Throws IPNS_INVALID, IPNS_EXPIRED. */
  publishIpns(name: PeerId, record: Uint8Array, options?: Abortable): Promise<void>
  /** Of a private network: any of these opens the index to others. Undefined: nothing is needed. */
  tokens(): readonly string[] | undefined
  /** The index is served over HTTP there, which connected peers are told. */
  servedAt(port: number): void
}

/** `needOnline` throws NO_PEER while the peer is offline. */
export function routingIndex(
  { operations, clock, hubPort }: { operations: Operations; clock: Clock; hubPort: HubPort },
  needOnline: () => Online,
): RoutingIndex {
  const bounded = <T>(options: Abortable, what: string, work: (signal: AbortSignal) => Promise<T>) =>
    operations.run(options, (signal) => withDeadline(clock, times.routingMs, what, work, { signal }))
  return {
    providers: (cid, { hubs = false, ...options } = {}) =>
      operations.stream(options, async function* (signal) {
        const { findProviders, findHere } = needOnline().organs
        yield* inTime(clock, signal, (each) => (hubs ? findProviders : findHere)(cid, { signal: each }))
      }),
    peer: (peer, options = {}) =>
      bounded(options, `looking for ${peer}`, (signal) => peerOf(needOnline(), peer, signal)),
    ipns: (name, options = {}) =>
      bounded(options, 'looking for the name', async (signal) => {
        try {
          return await needOnline().organs.ipns.resolve(name, { signal })
        } catch (error) {
          if (codeOf(error) === 'IPNS_NOT_FOUND' || codeOf(error) === 'IPNS_EXPIRED') return undefined
          throw error
        }
      }),
    publishIpns: (name, record, options = {}) =>
      bounded(options, 'publishing the name', (signal) => needOnline().organs.ipns.pass(name, record, { signal })),
    tokens: () => needOnline().host.hubTokens(),
    servedAt: (port) => {
      hubPort.port = port
    },
  }
}

/** What comes in time: an answer over HTTP is better short than late. */
async function* inTime<T>(
  clock: Clock,
  signal: AbortSignal,
  source: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const { controller, detach } = linkedController(signal)
  const cancel = clock.timer(times.routingMs, () => controller.abort(new Error('it took long enough')))
  try {
    yield* source(controller.signal)
  } catch (error) {
    signal.throwIfAborted()
    if (!controller.signal.aborted) throw error
  } finally {
    cancel()
    detach()
    controller.abort(new Error('the search has ended'))
  }
}

/** Members say themselves where they are; of others it counts where they were last reached. */
async function peerOf({ host, organs }: Online, peer: PeerId, signal: AbortSignal): Promise<RoutedPeer | undefined> {
  if (peer === host.network.self) return { peer, addresses: host.network.addresses().map(bare), protocols: [] }
  const known = await host.findPeer(peer, { signal })
  const claimed = organs.members.member(peer)?.addresses ?? []
  if (!known && claimed.length === 0) return undefined
  const addresses = [...new Set([...claimed, ...(known?.addresses ?? [])])]
  return { peer, addresses, protocols: known?.protocols ?? [] }
}

function bare(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}
