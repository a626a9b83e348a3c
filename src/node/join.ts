// Joining a cluster: the secret and the addresses of an invite line become part of the home. The secret that was there
// is kept beside it, since it is the only way back into the old cluster.
import { decodeInvite } from '../net/admission.ts'
import { decodeSecrets, encodeSecrets, secretsOf } from '../net/secrets.ts'
import { mergeConfig, readSettings, writeSettings } from './config.ts'
import type { Home } from './home.ts'

/**
 * `renews` is called before another secret takes the place of the one here: true if the addresses are of the same cluster, in
 * which the secret was replaced; it throws to prevent the join. Returns every bootstrap address now set, and whether the peer
 * was in this cluster already. Throws INVITE_INVALID, HOME_INVALID.
 */
export async function joinCluster(
  home: Home,
  line: string,
  renews: (addresses: readonly string[]) => boolean,
): Promise<{ bootstrap: string[]; same: boolean }> {
  const { key, generation, addresses } = decodeInvite(line.trim())
  const settings = await readSettings(home)
  const old = await home.readSecret('cluster.key')
  const isHeld = old !== undefined && holds(old, key.bytes)
  const same = isHeld || renews(addresses)
  if (!isHeld) {
    await home.setAside('cluster.key')
    await home.writeSecret('cluster.key', encodeSecrets(secretsOf(key, generation)))
  }
  // Peers of another cluster would refuse this one from now on.
  const known = same ? mergeConfig({}, settings).bootstrap : []
  const bootstrap = [...new Set([...known, ...addresses])]
  await writeSettings(home, { ...settings, network: 'private', bootstrap })
  return { bootstrap, same }
}

/** Forgets the cluster: its secret is set aside, and its peers are no longer looked for. The next start makes a cluster of one. */
export async function leaveHome(home: Home): Promise<void> {
  await home.setAside('cluster.key')
  const { bootstrap: _, ...settings } = await readSettings(home)
  await writeSettings(home, settings)
}

// A damaged key holds nothing, and is what a new line is for.
function holds(kept: Uint8Array, key: Uint8Array): boolean {
  try {
    return Buffer.compare(decodeSecrets(kept).current.bytes, key) === 0
  } catch {
    return false
  }
}

export const unreached =
  'joined, but none of the addresses in the line answers now; is the other peer running, and can this machine reach it?'
