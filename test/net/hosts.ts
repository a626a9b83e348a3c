// Hosts for tests: on loopback, on free ports, with state in memory, in one private network unless told otherwise.
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import type { Table } from '../../src/core/ports.ts'
import { type Host, type HostOptions, openHost } from '../../src/net/host.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { secretsOf } from '../../src/net/secrets.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'

export const secret = new Uint8Array(32).fill(7)

/** The network of the cluster with this secret. */
export function privateNetwork(bytes = secret): HostOptions['network'] {
  return { kind: 'private', secrets: secretsOf({ kind: 'member', bytes }) }
}

export function testHost(options: Partial<HostOptions> & { datastore?: Table } = {}): Promise<Host> {
  const { datastore = new MemoryTable(), ...rest } = options
  return openHost(
    { clock: systemClock, random: systemRandom, log: silentLog, datastore },
    {
      identity: newIdentity(),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: [],
      network: privateNetwork(),
      mdns: false,
      ...rest,
    },
  )
}

export function addressOf(host: Host): string {
  const [address] = host.network.addresses()
  if (!address) throw new Error('this host does not listen')
  return address
}

/** So many hosts, all connected to the first and known to its DHT. */
export async function star(
  use: <T extends AsyncDisposable>(resource: T) => T,
  count: number,
  options: Partial<HostOptions> = {},
): Promise<[Host, ...Host[]]> {
  const hub = use(await testHost(options))
  const others = await Promise.all(
    Array.from({ length: count - 1 }, async () => use(await testHost({ ...options, bootstrap: [addressOf(hub)] }))),
  )
  await until('the hub knows all', () => hub.dht.size() >= count - 1)
  await until('all know the hub', () => others.every((host) => host.dht.size() > 0))
  return [hub, ...others]
}
