// In the laboratory of NATs: a router that is asked for a port makes the peer behind it one that anybody can dial.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lab, labMissing } from './lab.ts'
import { Cast } from './lab-cast.ts'
import { eventually, wayTo } from './lab-matrix.ts'
import { routerMissing } from './lab-router.ts'

const missing = (await labMissing()) ?? routerMissing()
const skip = missing === undefined ? false : `no router in a laboratory of NATs: ${missing}`

test('a router that is asked for a port lets others dial a peer behind it', { skip }, async () => {
  await using lab = await Lab.open()
  await using cast = await Cast.open()
  const outside = await cast.start(await lab.home('open'))
  const inside = await cast.start(await lab.home('upnp'), { upnp: true, bootstrap: [outside.address] })
  const mapped = async () =>
    (await inside.ask('addresses')).find((address) => /^\/ip4\/203\.0\.113\..*\/tcp\/\d+\/p2p\/[^/]+$/.test(address))
  await eventually('it tells of a port of the router', async () => (await mapped()) !== undefined)
  const address = await mapped()
  const stranger = await cast.start(await lab.home('open'))
  await stranger.ask('connect', address!)
  assert.equal(await wayTo(stranger, inside), 'direct')
  const { reachability } = await inside.ask('status')
  assert.equal(reachability?.kind, 'direct')
  assert.match(reachability?.why ?? '', /the router maps a port/)
  assert.deepEqual(reachability?.relays, [])
})
