// Where the organs of an online peer meet. `assemble` takes ports and returns what a peer does with others; it opens no
// file and no socket, so that production and simulation are wired alike.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import { WorkerLoop } from '../base/worker.ts'
import type { BlockStore, Dht, FindProviders, LinksOf, Network, Table } from '../core/ports.ts'
import { type Exchange, openExchange } from '../exchange/exchange.ts'
import { type Announcer, openAnnouncer } from '../routing/announcer.ts'
import { providerSearch } from '../routing/find.ts'

export interface Ports {
  network: Network
  dht: Dht
  store: BlockStore
  /** What has been announced and when. */
  announcements: Table
  linksOf: LinksOf
  clock: Clock
  random: Random
  log: Log
}

export interface Organs extends AsyncDisposable {
  readonly exchange: Exchange
  readonly announcer: Announcer
  readonly findProviders: FindProviders
  readonly loops: WorkerLoop[]
}

/** Wires an online peer and starts its background work. */
export async function assemble(ports: Ports): Promise<Organs> {
  const { network, dht, store, announcements, linksOf, clock, random, log } = ports
  await using scope = new Scope()
  // The exchange looks for providers, and looking for providers asks the exchange's connected peers.
  const askConnected = (cid: CID, options?: Abortable) => exchange.askConnected(cid, options)
  const findProviders = providerSearch({ self: network.self, network, store, dht, askConnected, clock, log })
  const exchange = scope.use(await openExchange({ network, store, linksOf, findProviders, clock, log }))
  const announcer = await openAnnouncer({ dht, table: announcements, clock, random, log, self: network.self })
  const loops = [new WorkerLoop({ worker: announcer.worker, clock, log })]
  for (const loop of loops) {
    loop.start()
    scope.defer(() => loop.stop())
  }
  const closing = scope.move()
  return { exchange, announcer, findProviders, loops, [Symbol.asyncDispose]: () => closing.close() }
}
