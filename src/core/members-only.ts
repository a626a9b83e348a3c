// A network whose protocols answer members alone. Whoever finishes the handshake of a private network need not be one: a hub
// relays and must read nothing. A stream that comes before its peer has proven itself waits for that, since proofs travel
// beside it; one whose peer has not proven itself in time is dropped. A machine that has no proof of its own, a hub, cannot check
// any and does not speak these protocols at all, so that nobody waits for it. What this peer asks of others is not restricted.
import { type Clock, sleep } from '../base/clock.ts'
import { CoreError } from './block.ts'
import type { PeerId } from './peer.ts'
import type { Admission, Channel, Membership, Network } from './ports.ts'
import { times } from './times.ts'

/** The same network; only `handle` differs. */
export function membersOnly(
  network: Network,
  {
    membership,
    admission,
    clock,
  }: { membership: Pick<Membership, 'proven'>; admission: Pick<Admission, 'proof'>; clock: Clock },
): Network {
  const admit = async (peer: PeerId) => {
    const dueMs = clock.monotonicMs() + times.proofMs
    while (!membership.proven(peer)) {
      if (clock.monotonicMs() >= dueMs)
        throw new CoreError('NOT_ADMITTED', `${peer} has not proven that it is a member of this cluster`)
      await sleep(clock, times.proofPollMs)
    }
  }
  return {
    self: network.self,
    addresses: () => network.addresses(),
    connected: () => network.connected(),
    connect: (target, options) => network.connect(target, options),
    open: (peer, protocols, options) => network.open(peer, protocols, options),
    onPeer: (listen) => network.onPeer(listen),
    onDirect: (listen) => network.onDirect(listen),
    handle: async (protocol, options, handler) => {
      if (!admission.proof()) return async () => {}
      return await network.handle(protocol, options, async (channel: Channel) => {
        await admit(channel.peer)
        await handler(channel)
      })
    },
  }
}
