// `potluck peers`, `connect`, `invite`, `join` and `rotate`: meeting other machines. All but `join` need a running peer, whose
// connections they speak of.
import { times } from '../../core/times.ts'
import { formatTime } from '../../core/units.ts'
import { define, type Register } from '../define.ts'

export const registerCluster: Register = (parent) => {
  define(parent, {
    name: 'peers',
    summary: 'connected peers: address, direct or relayed, latency',
    examples: ['potluck peers', 'potluck --json peers'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      for await (const other of peer.peers({ signal })) {
        const latency = other.latencyMs === undefined ? '' : `  ${formatTime(other.latencyMs)}`
        const way = other.relayed ? 'relayed' : 'direct'
        await output.result(other, `${other.peerId}  ${way}  ${other.addresses.join(' ')}${latency}`)
      }
    },
  })
  define(parent, {
    name: 'connect',
    args: '<address>',
    summary: 'connect to a peer now',
    examples: ['potluck connect /ip4/192.168.1.20/tcp/4101/p2p/12D3KooW…'],
    async action(context, [address = '']) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const connected = await peer.connect(address, { signal })
      await output.result(connected, `connected to ${connected.peerId}`)
    },
  })
  define(parent, {
    name: 'invite',
    summary: 'print one line that lets another machine join this cluster; whoever has it can read everything',
    flags: [['--hub', 'a line for a rented machine: it connects and relays, and reads nothing']],
    examples: ['potluck invite', 'ssh laptop potluck join "$(potluck invite)"', 'potluck invite --hub'],
    async action(context, _args, { hub }) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const invited = await peer.invite({ signal, hub: hub === true })
      await output.result(invited, invited.line)
      const warning = hub ? 'it lets a machine connect and relay' : 'keep the line secret, it opens the whole cluster'
      output.say(`run 'potluck join LINE' on the other machine; ${warning}`)
    },
  })
  define(parent, {
    name: 'join',
    args: '<line>',
    summary: "join the cluster of an invite line; before the first 'potluck start' or while a peer runs",
    examples: ['potluck join potluck1-…', 'potluck join potluck1-… && potluck start'],
    async action(context, [line = '']) {
      const { output, signal } = context
      await using peer = await context.anyPeer('join')
      const joined = await peer.join(line, { signal })
      const next = joined.connected ? 'this peer is now in the cluster' : "'potluck start' will connect to it"
      await output.result(joined, `joined; ${next}`)
    },
  })
  registerRotate(parent)
}

const registerRotate: Register = (parent) =>
  define(parent, {
    name: 'rotate',
    summary: "replace the cluster's secret; lines of 'potluck invite' from before let nobody in any more",
    flags: [['--exclude <peer...>', 'members to shut out at once, by PeerId']],
    examples: ['potluck rotate', 'potluck rotate --exclude 12D3KooW…'],
    async action(context, _args, { exclude = [] }) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const excluded = exclude as string[]
      const rotated = await peer.rotate({ exclude: excluded, signal })
      await output.result(rotated, `the cluster has a new secret; ${rotated.reached.length} other members have it`)
      if (rotated.missed.length > 0) output.say(missedHint(rotated.missed, excluded.length > 0))
      output.say("hubs need a new line of 'potluck invite --hub'")
    },
  })

function missedHint(missed: string[], shutOut: boolean): string {
  const days = times.rotationOverlapMs / 86_400_000
  const how = shutOut ? "they need a new line of 'potluck invite'" : `they get it if they come back within ${days} days`
  return `did not answer: ${missed.join(' ')}; ${how}`
}
