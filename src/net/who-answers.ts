// Who answers at an address: it is dialed, has to prove that it has the key of its PeerId, and then we hang up. In Noise's
// handshake the side that was dialed proves itself first. The last message, after which that side would have a connection, is
// never sent: one that is closed again at once would be taken for use by whatever opens a stream just then, and cost both a
// good deal more.
import type { ConnectionEncrypter, MultiaddrConnection, Upgrader } from '@libp2p/interface'
import type { TransportManager } from '@libp2p/interface-internal'
import { select } from '@libp2p/multistream-select'
import type { AbstractMultiaddrConnection } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../core/peer.ts'
import { libp2pPeerId } from './addresses.ts'
import { NetError } from './errors.ts'

export interface WhoAnswersDeps {
  transportManager: TransportManager
  upgrader: Upgrader
}

/** Rejects unless this peer answers at the address, which has no `/p2p/` tail. */
export async function answersAt(
  { transportManager, upgrader }: WhoAnswersDeps,
  { peer, address }: { peer: PeerId; address: string },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const to = multiaddr(`${address}/p2p/${peer}`)
  const transport = transportManager.dialTransportForMultiaddr(to)
  if (!transport) throw new NetError('ADDRESS_INVALID', `${address} cannot be dialed`)
  const upgradeOutbound = async (socket: MultiaddrConnection) => {
    try {
      const encrypters = upgrader.getConnectionEncrypters() as Map<string, ConnectionEncrypter>
      const protocol = await select(socket, [...encrypters.keys()], { signal })
      sendOnce(socket)
      await encrypters.get(protocol)?.secureOutbound(socket, { remotePeer: libp2pPeerId(peer), signal })
    } finally {
      socket.abort(new NetError('STREAM_BROKEN', 'who answers has been seen'))
    }
    return socket
  }
  await transport.dial(to, {
    signal,
    upgrader: Object.create(upgrader, { upgradeOutbound: { value: upgradeOutbound } }),
  })
}

/** Of what is written from now on only the first message goes out. */
function sendOnce(socket: MultiaddrConnection): void {
  const inner = socket as MultiaddrConnection & Pick<AbstractMultiaddrConnection, 'sendData'>
  const sendData = inner.sendData.bind(inner)
  inner.sendData = (data) => {
    inner.sendData = ({ byteLength }) => ({ sentBytes: byteLength, canSendMore: true })
    return sendData(data)
  }
}
