// Peers that nobody can dial, reached through relays: everything runs across them as over any other connection, and a relay
// that dies, refuses or lies costs no more than a moment while there is another.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../../src/net/host.ts'
import { until } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'

/** A host that listens nowhere: only relays bring anybody to it. */
function hidden(relays: Host[], options: Parameters<typeof testHost>[0] = {}): Promise<Host> {
  return testHost({ listen: [], bootstrap: relays.map(addressOf), ...options })
}

function relayed(host: Host): string[] {
  return host.network.addresses().filter((address) => address.includes('/p2p-circuit'))
}

test('two peers behind relays meet through one, and it counts as no direct connection', async () => {
  await using relay = await testHost()
  await using here = await hidden([relay])
  await using there = await hidden([relay])
  await until('both have a place', () => relayed(here).length > 0 && relayed(there).length > 0)
  assert.equal(await here.network.connect(relayed(there)[0]!), there.network.self)
  const known = here.network.connected().find(({ peer }) => peer === there.network.self)
  assert.equal(known?.relayed, true)
  await there.network.handle('/test/echo', { streamsMax: 8 }, async (channel) => {
    for (let pieces = await channel.read(); pieces; pieces = await channel.read()) await channel.write(pieces)
    await channel.close()
  })
  const channel = await here.network.open(there.network.self, ['/test/echo'])
  const bytes = new Uint8Array(3_000_000).fill(7)
  void channel.write([bytes]).then(() => channel.close())
  let back = 0
  for (let pieces = await channel.read(); pieces; pieces = await channel.read())
    for (const piece of pieces) back += piece.byteLength
  assert.equal(back, bytes.byteLength)
})
