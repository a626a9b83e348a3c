// `potluck peers`, `connect`, `invite` and `join`: meeting other machines. All but `join` need a running peer, whose
// connections they speak of.
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
    examples: ['potluck invite', 'ssh laptop potluck join "$(potluck invite)"'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const invited = await peer.invite({ signal })
      await output.result(invited, invited.line)
      output.say("run 'potluck join LINE' on the other machine; keep the line secret, it opens the whole cluster")
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
}
