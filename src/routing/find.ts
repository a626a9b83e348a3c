// Finding who provides a CID, in the three classic ways: structured (the members that hold it by the cluster's records, and
// the DHT), unstructured (asking connected peers) and hybrid (the index of a hub), after this peer's own store. They are asked at
// the same time, hubs a moment later, or as soon as the others have ended with nothing: those ask peers that take part anyway,
// while a hub is told over HTTP what is looked for, and a short fetch has ended by then. Answers are given as they come, each provider once by each way. A way that fails
// or stays silent costs nothing but its own answers, and the search ends after times.lookUpMs whatever they do.
import type { CID } from 'multiformats/cid'
import { type Abortable, linkedController } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { FoundVia, PeerId, PeerInfo, Provider } from '../core/peer.ts'
import type { BlockStore, Dht, FindProviders, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { HubIndex } from './hub-index.ts'

export interface SearchDeps {
  self: PeerId
  network: Pick<Network, 'addresses'>
  store: Pick<BlockStore, 'has'>
  dht: Pick<Dht, 'findProviders'>
  /** Members that hold it, or are about to. */
  holders: (cid: CID, options?: Abortable) => AsyncIterable<PeerInfo>
  /** Connected peers that say they have a block. */
  askConnected: (cid: CID, options?: Abortable) => AsyncIterable<PeerInfo>
  /** The hubs that may be asked over HTTP; none where this is left out. */
  hubs?: Pick<HubIndex, 'isWorthAsking' | 'providers'> | undefined
  clock: Clock
  log: Log
}

/** A search never throws for lack of providers; it rejects with the caller's reason when `signal` aborts. */
export function providerSearch(deps: SearchDeps): FindProviders {
  return async function* findProviders(cid, { signal } = {}) {
    signal?.throwIfAborted()
    let wanted: number = limits.providersMax
    if (deps.store.has(cid)) {
      wanted--
      yield { peer: deps.self, addresses: deps.network.addresses().map(withoutPeer), via: 'own' }
    }
    const { controller, detach } = linkedController(signal)
    const cancel = deps.clock.timer(times.lookUpMs, () => controller.abort(new Error('the search took long enough')))
    try {
      for await (const provider of search(deps, cid, controller.signal)) {
        yield provider
        if (--wanted === 0) return
      }
      signal?.throwIfAborted()
    } finally {
      cancel()
      detach()
      controller.abort(new Error('the search has ended'))
    }
  }
}

/** What all ways find, as they find it. Ends when all have ended or the signal aborts, whether or not they heed it. */
async function* search(deps: SearchDeps, cid: CID, signal: AbortSignal): AsyncGenerator<Provider> {
  const found: Provider[] = []
  const isNew = newOnly(deps.self)
  let searching = 0
  let isFound = false
  let news = Promise.withResolvers<void>()
  const ask = async (via: FoundVia, source: () => AsyncIterable<PeerInfo>) => {
    searching++
    try {
      for await (const { peer, addresses } of source()) {
        if (signal.aborted || found.length === limits.providersMax) break
        const provider: Provider = { peer, addresses: addresses.slice(0, limits.addressesPerPeerMax), via }
        if (!isNew(provider)) continue
        found.push(provider)
        isFound = true
        news.resolve()
      }
    } catch (error) {
      if (!signal.aborted) deps.log.debug(`looking for ${cid} by way of ${via}: ${sentenceOf(error)}`)
    }
    searching--
    news.resolve()
  }
  signal.addEventListener('abort', () => news.resolve(), { once: true })
  const first = [
    ask('ring', () => deps.holders(cid, { signal })),
    ask('peers', () => deps.askConnected(cid, { signal })),
    ask('dht', () => deps.dht.findProviders(cid, { signal })),
  ]
  if (deps.hubs?.isWorthAsking)
    void ask('hub', () =>
      askHubs(
        deps,
        cid,
        Promise.all(first).then(() => isFound),
        signal,
      ),
    )
  while (!signal.aborted) {
    for (let next = found.shift(); next; next = found.shift()) yield next
    if (searching === 0) return
    await news.promise
    news = Promise.withResolvers()
  }
}

/** Hubs, once the other ways have had their head start, or have ended: `others` says whether with anything. */
async function* askHubs(deps: SearchDeps, cid: CID, others: Promise<boolean>, signal: AbortSignal) {
  const { controller, detach } = linkedController(signal)
  const headStart = sleep(deps.clock, times.hubHeadStartMs, controller.signal).catch(() => {})
  await Promise.race([headStart, others.then((isFound) => (isFound ? headStart : undefined))])
  detach()
  controller.abort()
  if (!signal.aborted && deps.hubs) yield* deps.hubs.providers(cid, { signal })
}

/** True for each provider once by each way, and once more if only then an address of it is known. */
function newOnly(self: PeerId): (provider: Provider) => boolean {
  const dialable = new Map<string, boolean>()
  return ({ peer, addresses, via }) => {
    if (peer === self) return false
    const key = `${via} ${peer}`
    const known = dialable.get(key)
    if (known || (known === false && addresses.length === 0)) return false
    dialable.set(key, addresses.length > 0)
    return true
  }
}

function withoutPeer(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}
