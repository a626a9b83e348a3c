// In the laboratory of NATs: two peers that no hole can join have a transfer over one relay of two, and that one dies: its
// process alone, of which the system tells the others, or its whole machine, of which nobody hears any more.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Lab, labMissing } from './lab.ts'
import { type Actor, Cast } from './lab-cast.ts'
import { eventually, hiddenPeers, meet, wayTo } from './lab-matrix.ts'

const missing = await labMissing()
const skip = missing === undefined ? false : `no laboratory of NATs: ${missing}`
const sizeBytes = 12 * 1024 * 1024

const deaths = {
  'its own is killed': (relay: Actor) => relay.kill(),
  'the machine of its own loses power': (relay: Actor) => relay.place.cut(),
}

for (const [what, die] of Object.entries(deaths))
  test(`a transfer goes on by another relay when ${what}`, { skip }, (t) => survives(t, die))

async function survives(t: TestContext, die: (relay: Actor) => Promise<void>): Promise<void> {
  await using lab = await Lab.open()
  await using cast = await Cast.open()
  const first = await cast.start(await lab.home('open'))
  const second = await cast.start(await lab.home('open'), { bootstrap: [first.address] })
  const relays = [first, second]
  const [from, to] = (await hiddenPeers(lab, cast, ['symmetric', 'port'], relays)) as [Actor, Actor]
  // Slow enough that a relay can die in the middle.
  await from.place.slow(32)
  await eventually('it can be reached through both relays', async () => {
    const addresses = await from.ask('addresses')
    return relays.every(({ peerId }) => addresses.some((address) => address.includes(`${peerId}/p2p-circuit`)))
  })
  await meet(to, from)
  const cid = await from.ask('add', 1, sizeBytes)
  const coming = to.ask('cat', cid)
  await eventually('some has come', async () => (await to.ask('progress')) > sizeBytes / 8)
  const ways = (await to.ask('peers')).filter(({ peerId }) => peerId === from.peerId)
  const relay = relays.find(({ peerId }) => ways.some(({ addresses }) => addresses.join().includes(peerId)))!
  await die(relay)
  const diedMs = performance.now()
  assert.ok((await to.ask('progress')) < sizeBytes, 'the relay died too late')
  const got = await to.ask('progress')
  await eventually('more comes', async () => (await to.ask('progress')) > got + 2 * 1024 * 1024)
  t.diagnostic(`more came ${Math.round(performance.now() - diedMs)} ms later`)
  assert.equal((await coming).sizeBytes, sizeBytes)
  assert.equal(await wayTo(to, from), 'relayed')
}
