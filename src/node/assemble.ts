// Where the organs of an online peer meet. `assemble` takes ports and returns what a peer does with others; it opens no
// file and no socket, so that production and simulation are wired alike.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { Scope } from '../base/scope.ts'
import type { WorkerLoop } from '../base/worker.ts'
import { membersOnly } from '../core/members-only.ts'
import type { BlockStore, Dht, FindProviders, LinksOf, Losses, Table } from '../core/ports.ts'
import { type Exchange, openExchange } from '../exchange/exchange.ts'
import type { Members } from '../members/members.ts'
import { Names } from '../records/names.ts'
import type { Records } from '../records/words.ts'
import { openReplicas } from '../replicas/replicas.ts'
import type { Replicas, ReplicasDeps, Roots } from '../replicas/words.ts'
import { type Announcer, openAnnouncer } from '../routing/announcer.ts'
import { providerSearch } from '../routing/find.ts'
import type { HubIndex } from '../routing/hub-index.ts'
import { Ipns } from '../routing/ipns.ts'
import { type ClusterOptions, type ClusterPorts, openCluster, runWorkers } from './cluster.ts'
import { announced } from './roots.ts'

export interface Ports extends ClusterPorts {
  dht: Dht
  store: BlockStore & Losses
  /** What the store keeps. */
  roots: Roots
  tables: ClusterPorts['tables'] & {
    /** What has been announced and when. */
    announcements: Table
    /** What this peer publishes under its own name. */
    ipns: Table
    /** What this peer holds for the cluster, and promises to hold. */
    replicas: Table
  }
  linksOf: LinksOf
  /** Hubs to ask over HTTP; none in a simulation. */
  hubs?: HubIndex
  /** Bytes of all blocks of a DAG, each once. Throws if one is not here. */
  measure(cid: CID, options?: Abortable): Promise<number>
  /** Something is not needed any more, and may be collected. */
  onLetGo(): void
  /** Replaces what replicas are given; only a test of the tests does. */
  spoil?: (real: ReplicasDeps) => ReplicasDeps
}

export interface Settings extends ClusterOptions {
  /** Serve blocks and ask for them among members only. */
  private: boolean
  /** A holder that is away for longer is replaced. */
  graceMs: number
  /** Contents being fetched at a time, to hold them. */
  concurrency: number
  /** Bytes per second for that; undefined: as many as nobody else wants. */
  backgroundRate?: number | undefined
}

export interface Organs extends AsyncDisposable {
  readonly exchange: Exchange
  readonly announcer: Announcer
  readonly findProviders: FindProviders
  /** The same without asking hubs: what a hub answers with, or two that know each other would ask in circles. */
  readonly findHere: FindProviders
  readonly members: Members
  readonly records: Records
  readonly replicas: Replicas
  /** What the store keeps, announced. */
  readonly roots: Roots
  readonly names: Names
  readonly ipns: Ipns
  readonly loops: readonly WorkerLoop[]
}

/** Wires an online peer and starts its background work. */
export async function assemble(ports: Ports, settings: Settings): Promise<Organs> {
  const { network, dht, store, tables, linksOf, clock, random, log } = ports
  await using scope = new Scope()
  const cluster = scope.use(await openCluster(ports, settings))
  const { members, records } = cluster
  const trusted = settings.private ? membersOnly(network, { ...ports, membership: members }) : network
  // The exchange looks for providers, and looking for providers asks the exchange's connected peers, and the replicas, which
  // fetch through the exchange.
  // Members answer members alone: a hub would wait for them in vain.
  const mayAsk = () => !settings.private || members.standing === 'member'
  const askConnected = (cid: CID, options?: Abortable) => (mayAsk() ? exchange.askConnected(cid, options) : nobody())
  const holders = (cid: CID, options?: Abortable) => replicas.holders(cid, options)
  const ways = { self: network.self, network, store, dht, holders, askConnected, clock, log }
  const findHere = providerSearch(ways)
  const findProviders = providerSearch({ ...ways, hubs: ports.hubs })
  const exchange = scope.use(
    await openExchange({ network: trusted, store, linksOf, findProviders, clock, log }, settings),
  )
  const announcer = await openAnnouncer({
    dht,
    table: tables.announcements,
    clock,
    random,
    log,
    self: network.self,
  })
  const ipns = new Ipns({ dht, table: tables.ipns, signer: ports.signer, clock, log })
  const roots = announced(ports.roots, announcer)
  const kept = { ...ports, membership: members, records, roots, fetcher: exchange, table: tables.replicas }
  const deps = { ...kept, openCalls: cluster.openCalls }
  const replicas = scope.use(
    await openReplicas(ports.spoil?.(deps) ?? deps, { ...settings, recordCopies: settings.copies }),
  )
  const loops = [...runWorkers(scope, ports, [announcer.worker, ipns, ...replicas.workers]), ...cluster.loops]
  const names = new Names({ records })
  const closing = scope.move()
  return {
    exchange,
    announcer,
    findProviders,
    findHere,
    members,
    records,
    replicas,
    roots,
    names,
    ipns,
    loops,
    [Symbol.asyncDispose]: () => closing.close(),
  }
}

async function* nobody(): AsyncGenerator<never> {}
