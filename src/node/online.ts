// The part of a peer that talks to others: identity, cluster secret, host and organs. It is opened again when the peer
// joins another cluster, since the secret is part of every handshake.
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import type { LinksOf } from '../core/ports.ts'
import { newSecret } from '../net/admission.ts'
import { type Host, openHost } from '../net/host.ts'
import { newIdentity } from '../net/identity.ts'
import type { Store } from '../store/open.ts'
import { assemble, type Organs } from './assemble.ts'
import type { Config } from './config.ts'
import type { Home } from './home.ts'
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
  readonly organs: Organs
  /** The cluster's secret; undefined in an open network. */
  readonly secret: Uint8Array | undefined
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
        network: secret ? { kind: 'private', secret } : { kind: 'open' },
        mdns: config.mdns,
        version,
      },
    ),
  )
  const organs = scope.use(
    await assemble({ ...deps, network: host.network, dht: host.dht, announcements: store.table('announcements') }),
  )
  for (const pin of store.pins.list()) await organs.announcer.announce(pin.cid)
  const closing = scope.move()
  return { host, organs, secret, [Symbol.asyncDispose]: () => closing.close() }
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
