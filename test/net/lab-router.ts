// A home's router that maps ports when it is asked (UPnP), as most that people buy do: miniupnpd, the program that many of
// them run, in the namespace of a gateway of the laboratory. The internet of the laboratory has addresses that nobody has;
// this router wants a real one of its own, or it refuses to map anything.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const program = '/usr/sbin/miniupnpd'

/** Why no router can be asked for ports here; undefined if one can. */
export function routerMissing(): string | undefined {
  return existsSync(program) ? undefined : "the program 'miniupnpd' is not installed"
}

/** The chains in which it keeps the ports that it maps. */
export const routerRules = `
table inet router {
  chain allowed { }
  chain before { }
  chain after { }
  chain forward {
    type filter hook forward priority filter; policy accept;
    jump allowed
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump before
  }
  chain postrouting {
    type nat hook postrouting priority srcnat - 1; policy accept;
    jump after
  }
}
`

/** Starts it between the interfaces `wan` and `lan` of the namespace. */
export async function startRouter(namespace: string, number: number): Promise<ChildProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'potluck-router-'))
  const settings = {
    ext_ifname: 'wan',
    ext_ip: '5.5.5.5',
    listening_ip: 'lan',
    enable_natpmp: 'no',
    enable_upnp: 'yes',
    secure_mode: 'yes',
    system_uptime: 'yes',
    uuid: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
    upnp_table_name: 'router',
    upnp_nat_table_name: 'router',
    upnp_forward_chain: 'allowed',
    upnp_nat_chain: 'before',
    upnp_nat_postrouting_chain: 'after',
  }
  const file = join(folder, 'router.conf')
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
  await writeFile(file, lines.join(''))
  const args = ['netns', 'exec', namespace, program, '-d', '-f', file, '-P', join(folder, 'pid')]
  const child = spawn('ip', args, { stdio: 'ignore' })
  child.once('exit', () => void rm(folder, { recursive: true, force: true }))
  return child
}
