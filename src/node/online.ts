// The part of a peer that talks to others: identity, cluster secret, host and organs. It is opened again when the peer
// joins another cluster, since the secret is part of every handshake.
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import type { Worker, WorkerLoop } from '../base/worker.ts'
import type { LinksOf } from '../core/ports.ts'
import { measureDag } from '../files/dag.ts'
import { isAddress } from '../net/addresses.ts'
import { newSecret } from '../net/admission.ts'
import { type Host, type HostOptions, openHost } from '../net/host.ts'
import { newIdentity } from '../net/identity.ts'
import type { Rotations } from '../net/rotation.ts'
import { decodeSecrets } from '../net/secrets.ts'
import { type HubPort, serveHubDoor } from '../routing/hub-door.ts'
import { HubIndex } from '../routing/hub-index.ts'
import { Collecting } from '../store/collecting.ts'
import { diskSpace } from '../store/disk-space.ts'
import type { Store } from '../store/open.ts'
import { Scrub } from '../store/scrub.ts'
import { assemble, type Organs, type Ports } from './assemble.ts'
import { runWorkers } from './cluster.ts'
import type { Config } from './config.ts'
import { noticeCopy } from './copied.ts'
import type { Home } from './home.ts'
import { removable } from './reserve.ts'
import { rootsOf } from './roots.ts'
import { openClusterRotations } from './rotate.ts'
import { version } from './version.ts'

export interface OnlineDeps {
  home: Home
  store: Store
  linksOf: LinksOf
  clock: Clock
  random: Random
  log: Log
  hubPort: HubPort
}

export interface Online extends AsyncDisposable {
  readonly host: Host
  /** Undefined in an open network. */
  readonly rotations: Rotations | undefined
  readonly organs: Organs
  /** The hubs that this peer asks. */
  readonly hubs: HubIndex
  /** What is not needed any more goes in some seconds. */
  collectSoon(): void
  /** Blocks that could not be read again since the start. */
  rotten(): number
  /** All background work. */
  readonly loops: readonly WorkerLoop[]
}

/** Starts host and organs. Makes identity and cluster secret at the first start. */
export async function openOnline(deps: OnlineDeps, config: Config): Promise<Online> {
  const { home, store, clock, random, log } = deps
  await using scope = new Scope()
  const identity = await readOrMake(home, 'identity.key', () => newIdentity())
  const secret =
    config.network === 'private' ? await readOrMake(home, 'cluster.key', () => newSecret(random)) : undefined
  const host = scope.use(
    await openHost({ clock, random, log, datastore: store.table('libp2p') }, hostOptions(config, identity, secret)),
  )
  await noticeCopy({ home, log }, { home: store.table('home'), records: store.table('records') })
  const hubs = openHubs({ host, clock, log }, config)
  if (config.hub) scope.defer(await serveHubDoor(host.network, deps.hubPort))
  const collecting = new Collecting({ store, space: () => diskSpace(home.path), clock, log }, config)
  const organs: Organs = scope.use(
    await assemble(
      {
        ...deps,
        network: host.network,
        dht: host.dht,
        broadcast: host.broadcast,
        signer: host.signer,
        admission: host.admission,
        roots: removable(rootsOf(store.pins), home),
        hubs,
        measure: async (cid, options) => (await measureDag(store, cid, options)).dagBytes,
        onLetGo: () => collecting.soon(),
        tables: tablesOf(store),
      },
      {
        ...config,
        isInvited: config.bootstrap.length > 0,
        private: secret !== undefined,
        graceMs: config['repair.grace'],
        concurrency: config['repair.concurrency'],
        backgroundRate: config['repair.rate'] || undefined,
      },
    ),
  )
  const rotations = secret
    ? scope.use(await openClusterRotations({ home, host, membership: organs.members, clock, random, log }))
    : undefined
  // Work that needs the host or the disk, and so is none of the organs'.
  const scrub = new Scrub({ store, table: store.table('scrub'), clock, log, onRot: () => organs.replicas.mend() })
  const housekeeping: Worker[] = [collecting, scrub, ...(rotations ? [rotations] : [])]
  const loops = [...host.loops, ...organs.loops, ...runWorkers(scope, deps, housekeeping)]
  for (const pin of store.pins.list()) await organs.announcer.announce(pin.cid)
  const closing = scope.move()
  return {
    host,
    organs,
    hubs,
    rotations,
    loops,
    collectSoon: () => collecting.soon(),
    rotten: () => scrub.problems,
    [Symbol.asyncDispose]: () => closing.close(),
  }
}

function tablesOf(store: Store): Ports['tables'] {
  return {
    announcements: store.table('announcements'),
    ipns: store.table('ipns'),
    members: store.table('members'),
    records: store.table('records'),
    replicas: store.table('replicas'),
  }
}

function openHubs({ host, clock, log }: { host: Host; clock: Clock; log: Log }, config: Config): HubIndex {
  const token = () => host.hubTokens()?.[0]
  return new HubIndex(
    { network: host.network, fetch, isAddress, token, clock, log },
    { hubs: config.hubs, kind: config.network },
  )
}

function hostOptions(config: Config, identity: Uint8Array, secret: Uint8Array | undefined): HostOptions {
  return {
    identity,
    listen: [...config.listen],
    bootstrap: [...config.bootstrap],
    network: secret ? { kind: 'private', secrets: decodeSecrets(secret) } : { kind: 'open' },
    mdns: config.mdns,
    upnp: config.upnp,
    announce: config.announce,
    relay: { alwaysRelay: config.hub, relayRate: config['relay.rate'] },
    version,
  }
}

async function readOrMake(
  home: Home,
  name: 'identity.key' | 'cluster.key',
  make: () => Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array> {
  const present = await home.readSecret(name)
  if (present) return present
  const made = await make()
  await home.writeSecret(name, made)
  return made
}
