// `potluck members`, `leave` and `forget`: who belongs to this cluster, and how one goes. All speak of the running peer's
// cluster, and so need one.
import { formatSize, formatTime } from '../../core/units.ts'
import type { MemberInfo } from '../../node/api.ts'
import { define, type Register } from '../define.ts'

export const registerMembers: Register = (parent) => {
  define(parent, {
    name: 'members',
    summary: 'who belongs to this cluster: state, liveness, zone, space used and given, share of the ring, latency',
    examples: ['potluck members', 'potluck --json members'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      for await (const member of peer.members({ signal })) await output.result(member, line(member))
    },
  })
  define(parent, {
    name: 'leave',
    summary: 'hand everything off to the other members and leave the cluster; the machine may join again later',
    examples: ['potluck status --preview leave     what it would move', 'potluck leave', 'potluck leave --timeout 10m'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const left = await peer.leave({ signal, onProgress: output.progress })
      await output.result(left, 'left: all that this peer kept for others is with them')
    },
  })
  define(parent, {
    name: 'forget',
    args: '<peer>',
    summary: 'drop a member that is lost for good; its machine can come back only as a new peer',
    examples: ['potluck forget 12D3KooW…'],
    async action(context, [given = '']) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const forgotten = await peer.forget(given, { signal })
      await output.result(forgotten, `${forgotten.peerId} is forgotten`)
      output.say("it still has the cluster's secret: 'potluck rotate --exclude PEER' shuts it out")
    },
  })
}

function line({ peerId, self, state, liveness, zone, capacity, share, latencyMs, used }: MemberInfo): string {
  const seen = self ? 'this peer' : state === 'left' ? '' : liveness
  const latency = latencyMs === undefined ? '' : formatTime(latencyMs)
  const parts = [
    state,
    seen,
    `zone ${zone}`,
    used === null ? formatSize(capacity) : `${formatSize(used)} of ${formatSize(capacity)}`,
    `${(share * 100).toFixed(1)} % of the ring`,
    latency,
  ]
  return [peerId, ...parts.filter((part) => part !== '')].join('  ')
}
