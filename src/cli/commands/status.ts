// `potluck status`: this peer in one page, one pin, or what a change would move. Works without a running peer too, and then says that there is none.
import { formatSize, formatTime } from '../../core/units.ts'
import type { Status } from '../../node/api.ts'
import { NodeError } from '../../node/errors.ts'
import { define, type Register } from '../define.ts'
import { pinPage, previewText } from '../pin-text.ts'

export const registerStatus: Register = (parent) =>
  define(parent, {
    name: 'status',
    args: '[ref]',
    summary: 'this peer: addresses, connections, store, background work; or one pin: copies, holders, what is missing',
    flags: [
      [
        '--preview <change>',
        'what it would move if this peer left (leave) or had another zone (zone=NAME), or forget=PEER',
      ],
    ],
    examples: [
      'potluck status',
      'potluck --json status',
      'potluck status bafy…',
      'potluck status --preview leave',
      'potluck status --preview forget=12D3KooW…',
      'potluck status --preview zone=cellar',
    ],
    async action(context, [ref], { preview }) {
      const { output, signal } = context
      if (preview !== undefined) {
        if (ref !== undefined) throw new NodeError('REQUEST_INVALID', 'a preview is of all pins, not of one')
        await using peer = await context.runningPeer()
        const previewed = await peer.status({ preview: String(preview), signal })
        return await output.result(previewed, previewText(previewed))
      }
      await using peer = await context.anyPeer('status')
      const status = await peer.status(ref, { signal })
      await output.result(status, 'cid' in status ? pinPage(status) : statusText(status))
    },
  })

function statusText(status: Status): string {
  const { store } = status
  const lines = [
    `potluck ${status.version}, home ${status.home}`,
    `store: ${store.blocks} blocks, ${formatSize(store.bytes)} (${formatSize(store.referencedBytes)} by reference), ${store.pins} pins`,
  ]
  if (!status.running) return [...lines, "no peer is running: start one with 'potluck start'"].join('\n')
  lines.push(
    `peer ${status.peerId}, up ${formatTime((status.uptimeSeconds ?? 0) * 1000)}, ${status.network} network`,
    ...(status.addresses ?? []).map((address) => `  reached at ${address}`),
    ...(status.reachability ? [`reachability: ${status.reachability.why}`] : []),
    `${status.connections} connections (${status.connectionsRelayed} through relays), ${status.dhtServers} DHT servers known`,
    ...(status.relaying?.serving ? [relayingLine(status.relaying)] : []),
    `cluster: ${status.membership}; ${status.records} records here, ${status.hints} kept for others, ${status.partitionsToHandOver} partitions to hand over`,
    ...(status.replicas ? [replicasLine(status.replicas)] : []),
    `sent ${formatSize(status.bytesSent ?? 0)}, received ${formatSize(status.bytesReceived ?? 0)}`,
    ...(status.workers ?? []).map(
      (worker) => `${worker.name}: ${worker.status}${worker.lastError ? ` (last error: ${worker.lastError})` : ''}`,
    ),
  )
  return lines.join('\n')
}

function relayingLine({ reservations, circuits, relayedBytes }: NonNullable<Status['relaying']>): string {
  return `relays for ${reservations} peers, ${circuits} connections now, ${formatSize(relayedBytes)} since the start`
}

function replicasLine(replicas: NonNullable<Status['replicas']>): string {
  const { pins, heldBytes, reservedBytes, capacity, driven, underReplicated, bytesToHandOver } = replicas
  const parts = [`copies: ${pins} pins here, ${formatSize(heldBytes)} of ${formatSize(capacity)}`]
  if (reservedBytes > 0) parts.push(`${formatSize(reservedBytes)} to come`)
  if (bytesToHandOver > 0) parts.push(`${formatSize(bytesToHandOver)} to hand over`)
  parts.push(`${underReplicated} of the ${driven} that this peer looks after have too few`)
  return parts.join(', ')
}
