// `potluck start`: a peer in the foreground, until SIGINT or SIGTERM. It opens the peer and its API, says in one line that
// it is ready, and on the way out closes both in order.

import { systemClock } from '../../base/clock.ts'
import { lineLog } from '../../base/log.ts'
import { systemRandom } from '../../base/random.ts'
import { times } from '../../core/times.ts'
import type { RoutingServer } from '../../http/routing-server.ts'
import { type Config, parseSetting } from '../../node/config.ts'
import { exitCodes } from '../../node/errors.ts'
import type { RoutingIndex } from '../../node/routing-index.ts'
import { version } from '../../node/version.ts'
import { type Context, Interrupted } from '../context.ts'
import { define, type Register } from '../define.ts'
import { visible } from '../output.ts'

export const registerStart: Register = (parent) =>
  define(parent, {
    name: 'start',
    summary: 'run a peer in the foreground; the first start makes its home',
    flags: [
      ['--listen <multiaddr...>', 'where other peers reach this one (default /ip4/0.0.0.0/tcp/4101)'],
      ['--api <host:port>', 'the HTTP API, loopback only (default 127.0.0.1:5101); port 0 takes a free one'],
      ['--api-published', "in a container: let the API's port be published on the host's 127.0.0.1"],
      ['--bootstrap <multiaddr...>', 'peers to meet others through'],
      ['--network <kind>', 'private (default: only machines with the secret connect) or open (public IPFS)'],
      ['--zone <name>', 'where this machine stands; copies go to different zones'],
      ['--capacity <size>', 'what it gives to the cluster, such as 500GB; 0 keeps nothing for others'],
      ['--copies <n>', 'machines that keep each record, and each pin that does not say otherwise (default 3)'],
      ['--repair-grace <time>', 'how long a machine may be away before its copies are made anew (default 12h)'],
      ['--hub', 'be a hub: relay for others, and answer light clients over HTTP who provides what'],
      ['--routing <host:port>', 'where a hub answers over HTTP (default 0.0.0.0:8102); port 0 takes a free one'],
      ['--no-mdns', 'do not look for peers on the local network'],
      ['--no-upnp', 'do not ask the router to map a port to this machine'],
    ],
    examples: [
      'potluck start',
      'potluck --home /srv/potluck start --listen /ip4/0.0.0.0/tcp/4101',
      'potluck --timeout 8h start    stop after eight hours, with exit code 124',
      'potluck start --network open --bootstrap /dnsaddr/…',
      'potluck start --hub            a hub: others meet through it, and ask it who provides what',
    ],
    action: (context, _args, flags) => start(context, flagsToConfig(flags)),
  })

function flagsToConfig(flags: Record<string, unknown>): Partial<Config> {
  const named = ['listen', 'api', 'bootstrap', 'network', 'zone', 'capacity', 'copies', 'hub', 'routing']
  const keys = [...named.map((name) => [name, name, name]), ['repairGrace', 'repair.grace', 'repair-grace']]
  const settings = keys.flatMap(([given = '', key = '', flag]) =>
    flags[given] === undefined ? [] : [[key, parseSetting(key, flags[given], `--${flag}`)]],
  )
  const switches = {
    ...(flags.mdns === false && { mdns: false }),
    ...(flags.upnp === false && { upnp: false }),
    ...(flags.apiPublished === true && { 'api.published': true }),
  }
  return { ...Object.fromEntries(settings), ...switches } as Partial<Config>
}

async function start(context: Context, flags: Partial<Config>): Promise<void> {
  const { home, output, signal } = context
  const { openPeer } = await import('../../node/open.ts')
  const { openApiServer } = await import('../../http/server.ts')
  const log = lineLog('info', (line) => output.say(line))
  await using peer = await openPeer({ home, online: true, doing: 'start', flags, log, signal })
  const token = Buffer.from(systemRandom.bytes(32)).toString('base64url')
  const index = peer.routing
  const { api, 'api.published': published } = peer.settings
  await using server = await openApiServer(peer, { ...hostPort(api), published, token, version, index })
  await using hub = peer.settings.hub ? await openIndex(index, peer.settings.routing) : undefined
  await home.writeApi({ address: server.address, token, pid: process.pid })
  const { peerId = '', addresses = [] } = peer.identity()
  const ready = {
    peerId,
    addresses,
    api: server.address,
    gateway: null,
    routing: hub?.address ?? null,
    home: home.path,
  }
  const people = [
    `peer ${peerId} is ready`,
    ...addresses.map((address) => `  ${address}`),
    `API ${server.address}, home ${home.path}`,
    ...(hub ? [`this is a hub: it answers light clients at ${hub.address}/routing/v1`] : []),
  ]
  await output.result(ready, people.join('\n'))
  // It may have been told to stop while it was starting.
  if (!signal.aborted)
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  output.say('stopping')
  const late = !(signal.reason instanceof Interrupted)
  // What holds longer than this would be killed by a supervisor anyway; everything acknowledged is on disk already.
  systemClock.timer(times.stopMs - 500, () => {
    process.stderr.write(`${visible('potluck: stopped without waiting for the last connections')}\n`)
    process.exit(late ? exitCodes.timedOut : exitCodes.done)
  })
  await home.removeApi()
  // Being told to stop is how it ends well; a time that was up is told as by every other command.
  if (late) throw signal.reason
}

/** Serves the index of a hub, and tells connected peers where. */
async function openIndex(index: RoutingIndex, address: string): Promise<RoutingServer> {
  const { openRoutingServer } = await import('../../http/routing-server.ts')
  const server = await openRoutingServer({ index, clock: systemClock }, hostPort(address))
  index.servedAt(server.port)
  return server
}

function hostPort(text: string): { host: string; port: number } {
  const [host = '', port = ''] = text.split(/:(?=\d+$)/)
  return { host, port: Number(port) }
}
