// Peers behind every kind of NAT, in a laboratory of their own: what one of them has, another gets through a relay, and
// without one as soon as there is a hole; no NAT in the laboratory is other than it says.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { type HomeKind, Lab, labMissing, type Place } from './lab.ts'
import { Cast } from './lab-cast.ts'
import { crosses, eventually, formatMatrix, hiddenPeers, matrixOf, share, wayTo } from './lab-matrix.ts'

const missing = await labMissing()
const skip = missing === undefined ? false : `no laboratory of NATs: ${missing}`

test('peers behind NATs share through a relay, then directly, and need no relay for that', { skip }, async (t) => {
  await using lab = await Lab.open()
  await using cast = await Cast.open()
  const relay = await cast.start(await lab.home('open'))
  const kinds: HomeKind[] = ['cone', 'port', 'symmetric', 'double', 'firewall']
  const actors = await hiddenPeers(lab, cast, kinds, [relay])
  const rows = await matrixOf(actors)
  t.diagnostic(`\n${formatMatrix(rows)}`)
  for (const { kinds, punchedMs } of rows) assert.equal(punchedMs !== undefined, crosses(kinds), kinds.join(' - '))
  const [cone, port, symmetric] = actors
  await eventually('status counts the relay and all others, one of them relayed', async () => {
    const { connections, connectionsRelayed } = await cone!.ask('status')
    return connections === actors.length && connectionsRelayed === 1
  })
  await relay.kill()
  assert.ok((await share(cone!, port!)) > 0)
  assert.equal(await wayTo(cone!, port!), 'direct')
  assert.notEqual(await wayTo(cone!, symmetric!), 'direct')
})

/** Runs a line of Node.js in a place; gives what it prints. */
async function run(place: Place, code: string): Promise<string> {
  const child = place.run(['-e', code])
  let printed = ''
  child.stdout?.on('data', (text) => {
    printed += text
  })
  await once(child, 'close')
  return printed.trim()
}

// Tells who comes, and knocks at the place that came, at the port that it came from: from its own port, and from another one.
const echo = `
const net = require('node:net')
const knock = (from, host, port) => new Promise((done) => {
  const socket = net.connect({ host, port, ...(from && { localPort: from }), timeout: 700 })
  socket.on('connect', () => done('open')).on('error', (error) => done(error.code)).on('timeout', () => { socket.destroy(); done('silent') })
})
net.createServer(async (socket) => {
  const { remoteAddress: host, remotePort: port } = socket
  socket.end(JSON.stringify({ host, port, knocked: await knock(0, host, port) }))
}).listen(7000, '0.0.0.0', () => console.log('up'))
`

const ask = (host: string) => `
const net = require('node:net')
const socket = net.connect({ host: '${host}', port: 7000, localPort: 50123 })
socket.pipe(process.stdout)
`

test('the NATs of the laboratory are what they are called', { skip }, async () => {
  await using lab = await Lab.open()
  const server = await lab.home('open')
  await once(server.run(['-e', echo]).stdout!, 'data')
  const seen = async (kind: HomeKind) => {
    const place = await lab.home(kind)
    return JSON.parse(await run(place, ask(server.address))) as { host: string; port: number; knocked: string }
  }
  const [cone, address, port, symmetric, double, firewall] = await Promise.all(
    (['cone', 'address', 'port', 'symmetric', 'double', 'firewall'] as const).map(seen),
  )
  for (const kept of [cone, address, port, double, firewall]) assert.equal(kept?.port, 50_123)
  assert.notEqual(symmetric?.port, 50_123)
  // Where a NAT lets somebody in, the machine behind it refuses: nobody listens there.
  assert.deepEqual([cone?.knocked, address?.knocked], ['ECONNREFUSED', 'ECONNREFUSED'])
  for (const closed of [port, symmetric, double, firewall]) assert.equal(closed?.knocked, 'silent')
})
