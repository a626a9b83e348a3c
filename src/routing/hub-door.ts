// How a connected hub tells where its index is: it is asked on a stream of its own and answers with a port, a varint, nothing more. The
// host is the one that the connection goes to, so nobody can send a peer's questions to a third machine. A peer that
// is no hub does not speak the protocol.
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { ByteReader, varintBytes } from '../base/frames.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Connected, Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { garbage } from './hub-records.ts'

export const hubProtocol = '/potluck/hub/1.0.0'

/** Where a hub serves its index: known once it listens, and the same when the peer joins another cluster. */
export interface HubPort {
  port: number | undefined
}

const portMax = 65_535

/** Answers everybody who asks, with nothing as long as there is no port. Returns the way to stop. */
export function serveHubDoor(network: Pick<Network, 'handle'>, hubPort: HubPort): Promise<() => Promise<void>> {
  return network.handle(hubProtocol, { streamsMax: limits.hubStreamsMax }, async (channel) => {
    await channel.write([varintBytes(hubPort.port ?? 0)])
    await channel.close()
  })
}

/** The port of a connected hub's index; undefined if it serves none. */
export async function askHubPort(
  { network, clock }: { network: Pick<Network, 'open'>; clock: Clock },
  peer: PeerId,
  options: Abortable = {},
): Promise<number | undefined> {
  const ask = async (signal: AbortSignal) => {
    const channel = await network.open(peer, [hubProtocol], { signal })
    try {
      return await new ByteReader((each) => channel.read(each)).varint({ signal })
    } finally {
      channel.abort(new Error('the question is answered'))
    }
  }
  const port = await withDeadline(clock, times.askMs, `asking ${peer} for its index`, ask, options)
  if (port > portMax) throw garbage(`it says that its port is ${port}`)
  return port === 0 ? undefined : port
}

/**
 * The URL of a connected hub's index. Questions and the token travel in the clear over HTTP, so in a private network only a
 * hub on this machine or the local network is asked so; one that is further away has to be configured, with https.
 */
export function hubUrl({ addresses: [address = ''] }: Connected, port: number, network: 'private' | 'open') {
  const [, family, host = ''] = /^\/(ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\//.exec(address) ?? []
  if (family === undefined || (network === 'private' && !localHost.test(host))) return undefined
  return `http://${family === 'ip6' ? `[${host}]` : host}:${port}`
}

/** Loopback, private, unique local and link-local addresses. */
const localHost =
  /^(127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|::1$|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:)/i
