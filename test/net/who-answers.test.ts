// Who answers at an address proves who it is, and neither side has a connection of that.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { bareAddress } from '../../src/net/addresses.ts'
import { TableDatastore } from '../../src/net/datastore.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { createNode, type Node } from '../../src/net/node.ts'
import { Ed25519Signer } from '../../src/net/signer.ts'
import { answersAt } from '../../src/net/who-answers.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'

async function started(t: TestContext, listen: string[]): Promise<Node> {
  const deps = { clock: systemClock, random: systemRandom, log: silentLog }
  const identity = newIdentity()
  const datastore = TableDatastore.open({ table: new MemoryTable(), ...deps })
  const options = { identity, listen, keyring: undefined, mdns: false }
  const made = await createNode({ ...deps, datastore, signer: new Ed25519Signer(identity) }, options)
  await made.node.start()
  t.after(() => made.node.stop())
  return made
}

test('who answers at an address is seen, and no connection comes of it', async (t) => {
  const here = await started(t, [])
  const there = await started(t, ['/ip4/127.0.0.1/tcp/0'])
  const opened = { here: 0, there: 0 }
  here.node.addEventListener('connection:open', () => opened.here++)
  there.node.addEventListener('connection:open', () => opened.there++)
  const peer = there.node.peerId.toString() as PeerId
  const address = bareAddress(there.node.getMultiaddrs()[0]!)
  const { signal } = new AbortController()
  await answersAt(here.parts, { peer, address }, { signal })
  await assert.rejects(answersAt(here.parts, { peer: peerIdOf(newIdentity()), address }, { signal }))
  await assert.rejects(answersAt(here.parts, { peer, address: '/ip4/127.0.0.1/tcp/9' }, { signal }))
  // Whatever had been opened before is told of before this one.
  await here.node.dial(there.node.getMultiaddrs())
  await until('the other side has the connection', () => there.node.getConnections().length > 0 && opened.there > 0)
  assert.deepEqual(opened, { here: 1, there: 1 })
})
