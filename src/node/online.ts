// The part of a peer that talks to others: identity, cluster secret, host and organs. It is opened again when the peer
// joins another cluster, since the secret is part of every handshake.
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import { WorkerLoop } from '../base/worker.ts'
import type { LinksOf } from '../core/ports.ts'
import { newSecret } from '../net/admission.ts'
import { type Host, openHost } from '../net/host.ts'
import { newIdentity } from '../net/identity.ts'
import type { Rotations } from '../net/rotation.ts'
import { decodeSecrets } from '../net/secrets.ts'
import type { Store } from '../store/open.ts'
import { assemble, type Organs } from './assemble.ts'
import type { Config } from './config.ts'
import type { Home } from './home.ts'
import { openClusterRotations } from './rotate.ts'
import { version } from './version.ts'

export interface OnlineDeps {
  home: Home
  store: Store
  linksOf: LinksOf
  clock: Clock
  random: Random
  log: Log
}

export interface Online extends AsyncDisposable {
  readonly host: Host
  /** Undefined in an open network. */
  readonly rotations: Rotations | undefined
  readonly organs: Organs
}

/** Starts host and organs. Makes identity and cluster secret at the first start. */
export async function openOnline(deps: OnlineDeps, config: Config): Promise<Online> {
  const { home, store, clock, random, log } = deps
  await using scope = new Scope()
  const identity = await readOrMake(home, 'identity.key', () => newIdentity())
  const secret =
    config.network === 'private' ? await readOrMake(home, 'cluster.key', () => newSecret(random)) : undefined
  const host = scope.use(
    await openHost(
      { clock, random, log, datastore: store.table('libp2p') },
      {
        identity,
        listen: [...config.listen],
        bootstrap: [...config.bootstrap],
        network: secret ? { kind: 'private', secrets: decodeSecrets(secret) } : { kind: 'open' },
        mdns: config.mdns,
        version,
      },
    ),
  )
  const organs = scope.use(
    await assemble(
      {
        ...deps,
        network: host.network,
        dht: host.dht,
        broadcast: host.broadcast,
        signer: host.signer,
        admission: host.admission,
        tables: {
          announcements: store.table('announcements'),
          ipns: store.table('ipns'),
          members: store.table('members'),
          records: store.table('records'),
        },
      },
      { ...config, isInvited: config.bootstrap.length > 0, private: secret !== undefined },
    ),
  )
  const rotations = secret
    ? scope.use(await openClusterRotations({ home, host, membership: organs.members, clock, random, log }))
    : undefined
  if (rotations) {
    const loop = new WorkerLoop({ worker: rotations, clock, log })
    loop.start()
    scope.defer(() => loop.stop())
  }
  for (const pin of store.pins.list()) await organs.announcer.announce(pin.cid)
  const closing = scope.move()
  return { host, organs, rotations, [Symbol.asyncDispose]: () => closing.close() }
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
