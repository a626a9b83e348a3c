// Joining a cluster: the secret and the addresses of an invite line become part of the home. The secret that was there
// is kept beside it, since it is the only way back into the old cluster.
import { decodeInvite } from '../net/admission.ts'
import { mergeConfig, readSettings, writeSettings } from './config.ts'
import type { Home } from './home.ts'

/** Returns every bootstrap address now set. Throws INVITE_INVALID, HOME_INVALID. */
export async function joinCluster(home: Home, line: string): Promise<{ bootstrap: string[] }> {
  const { secret, addresses } = decodeInvite(line.trim())
  const settings = await readSettings(home)
  const old = await home.readSecret('cluster.key')
  const same = old !== undefined && Buffer.compare(old, secret) === 0
  if (!same) {
    await home.setAside('cluster.key')
    await home.writeSecret('cluster.key', secret)
  }
  // Peers of another cluster would refuse this one from now on.
  const known = same ? mergeConfig({}, settings).bootstrap : []
  const bootstrap = [...new Set([...known, ...addresses])]
  await writeSettings(home, { ...settings, network: 'private', bootstrap })
  return { bootstrap }
}
