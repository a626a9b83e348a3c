// Rotation of the cluster's secret in a peer with a home: what is taken over is written to `cluster.key` before it is put in
// force, so that a crash leaves the old secret or the new one, never neither.
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Membership } from '../core/ports.ts'
import type { Host } from '../net/host.ts'
import { openRotations, type Rotations } from '../net/rotation.ts'
import { encodeSecrets } from '../net/secrets.ts'
import type { Home } from './home.ts'

export interface ClusterDeps {
  home: Home
  host: Host
  membership: Membership
  clock: Clock
  random: Random
  log: Log
}

/** Takes secrets of other members, and hands on. Its worker needs a loop. */
export function openClusterRotations({ home, host, ...deps }: ClusterDeps): Promise<Rotations> {
  return openRotations({
    ...deps,
    network: host.network,
    signer: host.signer,
    secrets: () => host.secrets(),
    async adopt(secrets, only) {
      await home.writeSecret('cluster.key', encodeSecrets(secrets))
      host.changeSecrets(secrets, only)
    },
  })
}
