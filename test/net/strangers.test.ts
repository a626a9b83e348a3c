// Strangers in the open network get from a relay what libp2p's relays give, and no more: some bytes and minutes. What was
// cut off is never taken for an end.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { StreamChannel } from '../../src/net/channel.ts'
import { TableDatastore } from '../../src/net/datastore.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { createNode, type Node } from '../../src/net/node.ts'
import { askForPlace, placeOf } from '../../src/net/reservations.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'

async function stranger(t: TestContext): Promise<Node> {
  const deps = { clock: systemClock, random: systemRandom, log: silentLog }
  const identity = newIdentity()
  const datastore = TableDatastore.open({ table: new MemoryTable(), ...deps })
  const options = { identity, listen: [], keyring: undefined, mdns: false }
  const made = await createNode({ ...deps, datastore, signer: new Ed25519Signer(identity) }, options)
  await made.node.start()
  t.after(() => made.node.stop())
  return made
}

test('a circuit of strangers ends after its bytes, and both sides see that it broke', async (t) => {
  await using relay = await testHost({ network: { kind: 'open' }, relay: { alwaysRelay: true, relayRate: 0 } })
  const at = multiaddr(addressOf(relay))
  const [there, here] = [await stranger(t), await stranger(t)]
  const way = await there.node.dial(at)
  const reservation = await askForPlace(way, AbortSignal.timeout(10_000))
  const place = placeOf(reservation, { relay: relay.network.self, way, clock: systemClock })
  there.circuit.places.set(relay.network.self, place)
  let received = 0
  let end: unknown
  const sink = async (channel: StreamChannel) => {
    for (let pieces = await channel.read(); pieces; pieces = await channel.read())
      for (const piece of pieces) received += piece.byteLength
    return 'a clean end'
  }
  await there.node.handle(
    '/test/sink',
    async (stream) => {
      end = await sink(new StreamChannel(stream, 'guest' as PeerId)).catch((error: unknown) => error)
    },
    { runOnLimitedConnection: true },
  )
  const connection = await here.node.dial(multiaddr(`${at}/p2p-circuit/p2p/${there.node.peerId}`))
  assert.equal(connection.limits?.bytes !== undefined && connection.limits.bytes <= 128n * 1024n, true)
  assert.ok((connection.limits?.seconds ?? 0) > 100)
  const stream = await connection.newStream(['/test/sink'], { runOnLimitedConnection: true })
  const channel = new StreamChannel(stream, 'there' as PeerId)
  const sending = async () => {
    for (;;) await channel.write([new Uint8Array(16 * 1024)])
  }
  await assert.rejects(sending(), { code: 'STREAM_BROKEN' })
  await until('the other side has seen it', () => end !== undefined)
  assert.equal((end as { code?: string }).code, 'STREAM_BROKEN', String(end))
  assert.ok(received > limits.strangerCircuitBytes / 2 && received <= limits.strangerCircuitBytes, `${received} bytes`)
})
