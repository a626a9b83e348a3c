// What is concluded from dials back, in words; which addresses are dialed for somebody who asks; and in which order the
// addresses of a peer are tried.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { announcedAddresses } from '../../src/net/announced.ts'
import { believed, ownAddresses } from '../../src/net/dial-back.ts'
import { DialOrder } from '../../src/net/dial-order.ts'
import { kindOf, type ReachFacts, type Trial, verdictOf, whyOf } from '../../src/net/reach.ts'
import { VirtualClock } from '../twins/clock.ts'

const yes = (observed: string): Trial => ({ observed, worked: [`/ip4/${observed}/tcp/4101`] })
const no = (observed: string): Trial => ({ observed, worked: [] })

test('one peer of the internet that could dial is enough; neighbours are not', () => {
  const verdict = (...trials: Trial[]) => verdictOf(trials, { listens: true })
  assert.equal(verdict(), 'unknown')
  assert.equal(verdict(yes('8.8.8.8'), no('8.8.8.8')), 'direct')
  assert.equal(verdict(yes('8.8.8.8'), no('9.9.9.9')), 'direct')
  assert.equal(verdict(no('8.8.8.8')), 'hidden')
  assert.equal(verdict(yes('192.168.1.5'), no('8.8.8.8')), 'hidden')
  assert.equal(verdict(yes('192.168.1.5'), yes('192.168.1.5')), 'direct')
  assert.equal(verdict(yes('192.168.1.5'), no('192.168.1.5')), 'direct', 'a neighbour with trouble of its own')
  assert.equal(verdict(yes('192.168.1.5'), no('10.7.0.2')), 'hidden', 'a second NAT')
  assert.equal(verdictOf([yes('8.8.8.8')], { listens: false }), 'hidden')
})

const facts: ReachFacts = {
  verdict: 'hidden',
  trials: [no('8.8.8.8')],
  listens: true,
  port: 4101,
  places: 0,
  mapped: false,
  private: true,
  connections: 2,
}

test('each case has its sentence, with what to do', () => {
  const say = (changed: Partial<ReachFacts>) => {
    const all = { ...facts, ...changed }
    return `${kindOf(all)}: ${whyOf(all)}`
  }
  assert.match(
    say({}),
    /^unreachable: .*NAT.*private cluster without one reachable machine.*forward TCP port 4101.*hub/,
  )
  assert.match(
    say({ private: false, trials: [no('')] }),
    /^unreachable: no peer of the internet has dialed this one yet.*connect to peers that relay/,
  )
  assert.match(say({ places: 2 }), /^relayed: .*through 2 relays\. To be dialed directly, switch UPnP on/)
  assert.match(
    say({ places: 1, listens: false, trials: [] }),
    /^relayed: this peer listens nowhere.*1 relay\..*--listen/,
  )
  assert.match(say({ verdict: 'direct', trials: [yes('8.8.8.8')] }), /^direct: others reach this peer directly$/)
  assert.match(say({ verdict: 'direct', trials: [yes('8.8.8.8')], mapped: true }), /^direct: .*UPnP/)
  assert.match(say({ verdict: 'direct', trials: [yes('10.0.0.2')] }), /^direct: .*nobody outside has tried/)
  assert.match(
    say({ verdict: 'direct', trials: [yes('10.0.0.2')], mapped: true }),
    /nobody outside has tried/,
    'a mapping alone shows nothing',
  )
  assert.match(say({ verdict: 'unknown', trials: [], connections: 0 }), /^unknown: no other peer is connected/)
  assert.match(say({ verdict: 'unknown', trials: [] }), /^unknown: it is not known yet/)
  assert.match(say({ connections: 0 }), /^unknown: no other peer is connected/)
  assert.match(say({ connections: 0, listens: false, trials: [] }), /^unreachable: this peer listens nowhere/)
  assert.match(say({ mapped: true }), /although the router maps a port/)
})

test('nobody is sent to dial anything but the one who asks', () => {
  const near = ['192.168.1.9/24']
  assert.deepEqual(ownAddresses(['/ip4/8.8.8.8/tcp/4101', '/ip4/1.1.1.1/tcp/80'], '8.8.8.8', near), [
    '/ip4/8.8.8.8/tcp/4101',
    '/ip4/8.8.8.8/tcp/80',
  ])
  const local = ownAddresses(['/ip4/192.168.1.7/tcp/1', '/ip4/10.0.0.1/tcp/2'], '192.168.1.7', near)
  assert.deepEqual(local, ['/ip4/192.168.1.7/tcp/1', '/ip4/192.168.1.7/tcp/2'])
  const hosts = fc.constantFrom('8.8.8.8', '10.0.0.1', '192.168.1.3', '127.0.0.1', '203.0.113.7')
  const text = fc.oneof(
    fc.tuple(hosts, fc.integer({ min: 1, max: 65_535 })).map(([host, port]) => `/ip4/${host}/tcp/${port}`),
    fc.constantFrom('nonsense', '/dns4/bank.example/tcp/443', '/ip4/8.8.8.8/udp/53', '/ip6/::1/tcp/1', ''),
  )
  fc.assert(
    fc.property(fc.array(text, { maxLength: 40 }), fc.constantFrom('8.8.4.4', '203.0.113.9'), (named, observed) => {
      const dialed = ownAddresses(named, observed, near)
      assert.ok(dialed.length <= 8)
      for (const address of dialed) assert.ok(address.startsWith(`/ip4/${observed}/tcp/`), address)
    }),
  )
})

test('of an answer only our own addresses are believed, and our port where we were seen', () => {
  const asked = ['/ip4/192.168.1.7/tcp/4101', '/dns4/home.example/tcp/4102']
  const worked = [
    asked[0]!,
    '/ip4/203.0.113.5/tcp/4101',
    '/ip4/9.9.9.9/tcp/4101',
    '/ip4/203.0.113.5/tcp/22',
    '/dns4/elsewhere.example/tcp/4101',
  ]
  assert.deepEqual(believed(worked, '203.0.113.5', asked), worked.slice(0, 2))
})

test('direct addresses go before relays, private ones of other networks after them, and failures last', async () => {
  const clock = new VirtualClock()
  const [near, gone] = [
    '12D3KooWHY4hqz5CTbKRDSyC2dEmyaHGkLhGSVu6XxtY9fXsYGZd',
    '12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8',
  ]
  const order = new DialOrder({
    clock,
    interfaces: () => ['192.168.1.9/24', '127.0.0.1/8'],
    isConnected: (peer) => peer === near,
  })
  const [through, dead] = [near, gone].map((peer) => multiaddr(`/ip4/9.9.9.8/tcp/1/p2p/${peer}/p2p-circuit`)) as [
    Addr,
    Addr,
  ]
  const relay = '12D3KooWEJShqWnN9q9YDBoLEL4C9SfKkDkNKww4r5f4VZyaEHnz'
  const [lan, wan, loop, circuit, other] = [
    '/ip4/192.168.1.20/tcp/4101',
    '/ip4/8.8.8.8/tcp/4101',
    '/ip4/127.0.0.1/tcp/4101',
    `/ip4/9.9.9.9/tcp/4101/p2p/${relay}/p2p-circuit`,
    '/ip4/10.1.2.3/tcp/4101',
  ].map((text) => multiaddr(text)) as [Addr, Addr, Addr, Addr, Addr]
  const sorted = () => [other, circuit, loop, wan, lan].sort((a, b) => order.compare(a, b)).map(String)
  assert.deepEqual(sorted(), [lan, wan, loop, circuit, other].map(String))
  order.failed(multiaddr('/ip4/9.9.9.8/tcp/1').encapsulate(`/p2p/${gone}`))
  assert.deepEqual(
    [dead, circuit, through].sort((a, b) => order.compare(a, b)).map(String),
    [through, circuit, dead].map(String),
  )
  order.failed(lan)
  assert.deepEqual(sorted(), [wan, loop, circuit, other, lan].map(String))
  await clock.advance(61_000)
  assert.deepEqual(sorted()[0], String(lan), 'forgiven after a minute')
  order.failed(lan)
  await clock.advance(61_000)
  assert.equal(sorted().at(-1), String(lan), 'the second time it takes longer')
  order.worked(lan)
  assert.equal(sorted()[0], String(lan))
})

type Addr = ReturnType<typeof multiaddr>

test('public addresses are announced first, relays last, each once and with the tail', () => {
  const self = '12D3KooWEJShqWnN9q9YDBoLEL4C9SfKkDkNKww4r5f4VZyaEHnz'
  const relay = '12D3KooWHY4hqz5CTbKRDSyC2dEmyaHGkLhGSVu6XxtY9fXsYGZd'
  const [local, far] = [multiaddr('/ip4/10.0.0.7/tcp/1'), multiaddr('/ip4/8.8.8.8/tcp/1')]
  const relayed = [multiaddr(`/ip4/9.9.9.9/tcp/2/p2p/${relay}/p2p-circuit`)]
  const told = announcedAddresses(
    { believed: [local.encapsulate(`/p2p/${self}`)], listening: [local], confirmed: [far], relayed },
    self,
  )
  assert.deepEqual(
    told.map(String),
    [far, local, relayed[0]].map((address) => `${address}/p2p/${self}`),
  )
})
