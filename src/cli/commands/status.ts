// `potluck status`: this peer in one page, or one pin. Works without a running peer too, and then says that there is none.
import { formatSize, formatTime } from '../../core/units.ts'
import type { PinInfo, Status } from '../../node/api.ts'
import { define, type Register } from '../define.ts'

export const registerStatus: Register = (parent) =>
  define(parent, {
    name: 'status',
    args: '[ref]',
    summary: 'this peer: addresses, connections, store, background work; or one pin',
    examples: ['potluck status', 'potluck --json status', 'potluck status bafy…'],
    async action(context, [ref]) {
      const { output, signal } = context
      await using peer = await context.anyPeer('status')
      const status = await peer.status(ref, { signal })
      await output.result(status, 'cid' in status ? pinText(status) : statusText(status))
    },
  })

function pinText({ cid, copies, held, holders, state }: PinInfo): string {
  return `${cid}\n  ${held} of ${copies} copies, ${state}\n${holders.map((peer) => `  held by ${peer}`).join('\n')}`
}

function statusText(status: Status): string {
  const { store } = status
  const lines = [
    `potluck ${status.version}, home ${status.home}`,
    `store: ${store.blocks} blocks, ${formatSize(store.bytes)} (${formatSize(store.referencedBytes)} by reference), ${store.pins} pins`,
  ]
  if (!status.running) return [...lines, "no peer is running: start one with 'potluck start'"].join('\n')
  lines.push(
    `peer ${status.peerId}, up ${formatTime((status.uptimeSeconds ?? 0) * 1000)}, ${status.network} network`,
    ...(status.addresses ?? []).map((address) => `  listens on ${address}`),
    `${status.connections} connections, ${status.dhtServers} DHT servers known`,
    `cluster: ${status.membership}; ${status.records} records here, ${status.hints} kept for others, ${status.partitionsToHandOver} partitions to hand over`,
    `sent ${formatSize(status.bytesSent ?? 0)}, received ${formatSize(status.bytesReceived ?? 0)}`,
    ...(status.workers ?? []).map(
      (worker) => `${worker.name}: ${worker.status}${worker.lastError ? ` (last error: ${worker.lastError})` : ''}`,
    ),
  )
  return lines.join('\n')
}
