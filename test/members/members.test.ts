// The whole organ, several of it, in one virtual cluster: joining, claiming, forgetting, leaving, coming back, with and
// without a disk, and what those get who do not belong.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from '@ipld/dag-cbor'
import type { PeerId } from '../../src/core/peer.ts'
import { decodeEntry, signClaim, signNotice } from '../../src/members/claim.ts'
import { encodeHello, encodeRequest } from '../../src/members/messages.ts'
import type { Rumour } from '../../src/members/rumours.ts'
import { MemoryTable } from '../twins/table.ts'
import { type Machine, TwinCluster } from './cluster.ts'
import { twinSigner } from './signer.ts'

const livenessAt = (at: Machine, { peer }: Machine) => at.members.member(peer)?.liveness
const incarnationAt = (at: Machine, { peer }: Machine) => at.members.member(peer)?.incarnation ?? 0
const sorted = (machines: Machine[]): PeerId[] => machines.map(({ peer }) => peer).sort()

test('members that join one peer at the same time all know each other, and are proven', async () => {
  await using cluster = new TwinCluster(1)
  const machines = Array.from({ length: 5 }, (_, index) => cluster.machine({ zone: `zone ${index}`, capacity: index }))
  for (const machine of machines) await machine.start()
  await cluster.clock.until(Promise.all(machines.slice(1).map((machine) => machine.meet(machines[0]!))))
  await cluster.until('all agree', () => cluster.agree() && machines.every((one) => one.seen().length === 5), 10_000)
  await cluster.until(
    'all have met',
    () => machines.every((a) => machines.every((b) => a === b || a.members.proven(b.peer))),
    20_000,
  )
  for (const { members } of machines) {
    assert.deepEqual(
      members.members().map(({ peer }) => peer),
      sorted(machines),
    )
    assert.ok(members.members().every(({ liveness, state }) => liveness === 'alive' && state === 'joined'))
    for (const [index, { peer }] of machines.entries()) {
      assert.equal(members.member(peer)?.zone, `zone ${index}`)
      assert.equal(members.member(peer)?.capacity, index)
    }
  }
  await cluster.clock.advance(10_000)
  assert.ok(
    machines[0]!.members.members().every(({ peer, latencyMs }) => peer === machines[0]!.peer || latencyMs! >= 10),
  )
  assert.match(machines[0]!.members.status(), /4 of 4 other members are alive/)
})

test('two that join at once at different members converge without any gossip', async () => {
  await using cluster = new TwinCluster(2)
  const machines = await cluster.start(3)
  cluster.isMute = true
  const [b, c] = [cluster.machine(), cluster.machine()]
  await Promise.all([b.start(), c.start()])
  await cluster.clock.until(Promise.all([b.meet(machines[1]!), c.meet(machines[2]!)]))
  await cluster.until('all agree', () => cluster.agree() && b.seen().length === 5)
})

test('a member that crashes is dead within 5 s at all others, stays in the view, and comes back', async () => {
  await using cluster = new TwinCluster(3)
  const machines = await cluster.start(4)
  const [victim, ...others] = machines as [Machine, ...Machine[]]
  const { epoch } = victim.members.view()
  const before = incarnationAt(others[0]!, victim)
  let changes = 0
  others[0]!.members.onChange(({ view }) => {
    assert.equal(view, false)
    changes++
  })
  for (const machine of machines) machine.broadcasts = 0
  victim.crash()
  const tookMs = await cluster.until('it is dead', () => others.every((at) => livenessAt(at, victim) === 'dead'))
  // Lines that break are a reason to look at once: this is the time to object and little more.
  assert.ok(tookMs <= 2_600, `${tookMs} ms`)
  assert.ok(changes >= 2)
  // Who has tried it himself tells all at once, and nobody says it again and again.
  const broadcasts = others.map(({ broadcasts }) => broadcasts)
  assert.ok(broadcasts.some((count) => count > 0) && broadcasts.every((count) => count <= 2), broadcasts.join())
  assert.ok(others.every(({ members }) => members.view().epoch === epoch && !members.proven(victim.peer)))
  // Nobody gives up on it: it is dialed until it is there again.
  await cluster.clock.advance(600_000)
  await victim.start()
  await cluster.until('it is back', () => others.every((at) => livenessAt(at, victim) === 'alive'), 70_000)
  assert.ok(incarnationAt(others[0]!, victim) > before)
  assert.equal(victim.members.view().epoch, epoch)
})

test('a line that breaks makes nobody dead, and is made again', async () => {
  await using cluster = new TwinCluster(4)
  const machines = await cluster.start(3)
  const [a, b] = machines as [Machine, Machine]
  cluster.cut(a, b)
  await cluster.clock.advance(120_000)
  assert.equal(livenessAt(a, b), 'alive')
  assert.equal(livenessAt(b, a), 'alive')
  assert.equal(a.members.proven(b.peer), false)
  cluster.heal()
  await cluster.until('they have met again', () => a.members.proven(b.peer) && b.members.proven(a.peer), 70_000)
})

test('a machine that wakes where its lines have died meets everyone before it suspects anyone', async () => {
  await using cluster = new TwinCluster(18)
  const [a, b, c] = (await cluster.start(3)) as [Machine, Machine, Machine]
  const thought: string[] = []
  a.members.onChange(() => thought.push(`${livenessAt(a, b)} ${livenessAt(a, c)}`))
  cluster.clock.jumpWall(3_600_000)
  // The lines are dead and look open; the network notices in a while.
  for (const other of [b, c]) cluster.deaden(a, other)
  await cluster.clock.advance(20_000)
  for (const other of [b, c]) cluster.unlink(a, other)
  cluster.heal()
  await cluster.until('a has met them', () => a.members.proven(b.peer) && a.members.proven(c.peer), 15_000)
  await cluster.clock.advance(30_000)
  assert.ok(
    thought.every((both) => both === 'alive alive'),
    thought.join(),
  )
  assert.ok([b, c].every((other) => livenessAt(a, other) === 'alive' && livenessAt(other, a) === 'alive'))
})

test('forged claims are dropped, replayed ones change nothing, and strangers are not heard', async () => {
  await using cluster = new TwinCluster(5)
  const [a, b, c] = (await cluster.start(3)) as [Machine, Machine, Machine]
  const old = b.members.claims()
  await cluster.clock.until(c.stop())
  c.options.zone = 'office'
  await c.start()
  await cluster.until('the new claim is known', () => a.members.member(c.peer)?.zone === 'office')
  const { epoch } = a.members.view()
  assert.equal(a.members.learn(old), false)

  const known = a.members.member(b.peer)!
  const stolen = { ...known, incarnation: known.incarnation + 5, capacity: 0 }
  const forged = signClaim(twinSigner(c.peer), stolen).bytes
  const garbled = signClaim(twinSigner(b.peer), stolen).bytes
  garbled[garbled.byteLength - 1]! ^= 1
  assert.equal(a.members.learn([forged, garbled, new Uint8Array(9), new Uint8Array(0)]), false)
  assert.equal(a.members.view().epoch, epoch)

  const stranger = cluster.machine({ secret: 'another' })
  await stranger.start()
  await cluster.clock.until(stranger.meet(a))
  await cluster.clock.advance(120_000)
  assert.equal(a.members.proven(stranger.peer), false)
  assert.equal(stranger.members.proven(a.peer), false)
  assert.deepEqual(a.seen(), sorted([a, b, c]))
  assert.deepEqual(stranger.seen(), [stranger.peer])
  const requests = [
    ['ping', []],
    ['compare', new Uint8Array(32)],
    ['exchange', [], new Uint8Array(0)],
  ]
  for (const request of requests)
    await assert.rejects(a.answer!(encode(request), stranger.peer, {}), { code: 'NOT_PROVEN' })
})

test('a member that was forgotten stays out, with its disk and without, and says why', async () => {
  await using cluster = new TwinCluster(6)
  const [a, b, c] = (await cluster.start(3)) as [Machine, Machine, Machine]
  await assert.rejects(a.members.forget(a.peer), { code: 'FORGET_SELF' })
  await assert.rejects(a.members.forget(cluster.machine().peer), { code: 'MEMBER_UNKNOWN' })
  c.crash()
  await cluster.clock.until(a.members.forget(c.peer))
  await cluster.until('b knows', () => b.seen().length === 2)
  assert.deepEqual(a.seen(), sorted([a, b]))

  await c.start()
  await cluster.clock.until(c.meet(b))
  await cluster.until('it was told', () => c.members.status().includes('forgotten'), 5_000)
  assert.match(c.members.status(), new RegExp(`forgotten by ${a.peer}`))
  assert.equal(c.members.member(c.peer), undefined)
  await assert.rejects(c.members.beginLeave(), { code: 'NOT_JOINED' })
  await assert.rejects(c.members.forget(a.peer), { code: 'NOT_JOINED' })

  await cluster.clock.until(c.stop())
  await c.start()
  assert.match(c.members.status(), /forgotten/)
  await cluster.clock.until(c.stop())
  c.table = new MemoryTable()
  await c.start()
  await cluster.clock.until(Promise.all([c.meet(a), c.meet(b)]))
  await cluster.clock.advance(60_000)
  assert.deepEqual(a.seen(), sorted([a, b]))
  assert.deepEqual(b.seen(), sorted([a, b]))
  assert.equal(a.members.proven(c.peer), false)
  // A claim of it in the hands of a member does not bring it back either.
  const claim = { incarnation: 1e6, state: 'joined', zone: 'home', capacity: 9, addresses: [] as string[] } as const
  assert.equal(a.members.learn([signClaim(twinSigner(c.peer), { ...claim, peer: c.peer }).bytes]), false)
})

test('a member that runs hears that it was forgotten, and nothing breaks', async () => {
  await using cluster = new TwinCluster(7)
  const [a, b, c] = (await cluster.start(3)) as [Machine, Machine, Machine]
  cluster.isMute = true
  await cluster.clock.until(a.members.forget(c.peer))
  // Without gossip, others have heard it when that resolves, and soon it is on their disks.
  assert.deepEqual(b.seen(), sorted([a, b]))
  await cluster.clock.advance(100)
  const kept = [...b.table.range({})].map(([, bytes]) => decodeEntry(bytes))
  assert.ok(kept.some(({ kind, peer }) => kind === 'forgotten' && peer === c.peer))
  await cluster.until('it was told', () => c.members.status().includes('forgotten'))
  await cluster.clock.advance(60_000)
  assert.deepEqual(b.seen(), sorted([a, b]))
  assert.equal(b.members.member(c.peer), undefined)
  assert.ok([a, b].every(({ members }) => !members.proven(c.peer)))
})

test('a member whose disk was wiped goes above its own past', async () => {
  await using cluster = new TwinCluster(8)
  const [a, b, c] = (await cluster.start(3)) as [Machine, Machine, Machine]
  for (let start = 0; start < 4; start++) {
    await cluster.clock.until(c.stop())
    await c.start()
    await cluster.clock.until(c.meet(a))
    await cluster.clock.advance(2_000)
  }
  const before = incarnationAt(a, c)
  assert.ok(before >= 5)
  await cluster.clock.until(c.stop())
  c.table = new MemoryTable()
  c.options.zone = 'new'
  await c.start()
  await cluster.clock.until(c.meet(b))
  await cluster.until('all agree', () => cluster.agree() && a.members.member(c.peer)?.zone === 'new', 10_000)
  assert.ok(incarnationAt(a, c) > before)
  assert.deepEqual(c.seen(), sorted([a, b, c]))
})

test('leaving takes two steps, and a later start joins again', async () => {
  await using cluster = new TwinCluster(9)
  const [a, b, c] = (await cluster.start(3)) as [Machine, Machine, Machine]
  await cluster.clock.until(c.members.beginLeave())
  await cluster.until('all know', () => cluster.agree() && a.seen().length === 2, 2_000)
  assert.equal(b.members.member(c.peer)?.state, 'leaving')
  assert.ok(b.members.proven(c.peer) && c.members.proven(b.peer))
  await cluster.clock.advance(30_000)
  assert.equal(livenessAt(a, c), 'alive')
  cluster.isMute = true
  await cluster.clock.until(c.members.finishLeave())
  assert.ok([a, b].every(({ members }) => members.member(c.peer)?.state === 'left'))
  assert.match(c.members.status(), /has left/)
  await cluster.clock.until(c.stop())
  await cluster.clock.advance(10_000)
  assert.ok([a, b].every((at) => at.members.member(c.peer)?.state === 'left'))
  const before = incarnationAt(a, c)
  await c.start()
  await cluster.clock.until(c.meet(a))
  await cluster.until('it is back', () => cluster.agree() && b.seen().length === 3, 20_000)
  assert.ok(incarnationAt(b, c) > before)
})

test('a hub is no member and hears nothing', async () => {
  await using cluster = new TwinCluster(10)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  const hub = cluster.machine({ secret: undefined })
  await hub.start()
  await cluster.clock.until(Promise.all([hub.meet(a), hub.meet(b)]))
  await cluster.clock.advance(60_000)
  assert.deepEqual(hub.members.members(), [])
  assert.deepEqual(a.seen(), sorted([a, b]))
  assert.equal(a.members.proven(hub.peer) || hub.members.proven(a.peer), false)
  assert.match(hub.members.status(), /relays/)
  assert.equal(hub.table.size, 0)
})

test('an own claim is durable before anybody hears of it, and a disk that fails keeps it here', async () => {
  await using cluster = new TwinCluster(11)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  b.table.failWrites = new Error('the disk is gone')
  await assert.rejects(b.members.beginLeave(), /the disk is gone/)
  await cluster.clock.advance(60_000)
  assert.equal(a.members.member(b.peer)?.state, 'joined')
  assert.equal(b.members.member(b.peer)?.state, 'joined')
  await assert.rejects(b.members.forget(a.peer), /the disk is gone/)
  assert.equal(b.seen().length, 2)
  b.table.failWrites = undefined
  // What others say is written when the disk is back.
  await cluster.clock.advance(60_000)
  const kept = [...b.table.range({})].map(([, bytes]) => decodeEntry(bytes).id)
  assert.deepEqual(
    kept.sort(),
    a.members
      .claims()
      .map((bytes) => decodeEntry(bytes).id)
      .sort(),
  )
})

test('addresses that change are claimed anew, but not all the time', async () => {
  await using cluster = new TwinCluster(12)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  const before = incarnationAt(a, b)
  for (let change = 0; change < 60; change++) {
    b.network.extraAddresses = [`/ip4/192.0.2.${change}/tcp/4101`, '/ip4/127.0.0.1/tcp/4101']
    await cluster.clock.advance(1_000)
  }
  await cluster.clock.advance(20_000)
  const { addresses = [], incarnation = 0 } = a.members.member(b.peer) ?? {}
  assert.deepEqual(addresses, ['/ip4/192.0.2.59/tcp/4101', `/memory/${b.peer}`, '/ip4/127.0.0.1/tcp/4101'])
  assert.ok(incarnation > before && incarnation <= before + 10, `${incarnation - before} claims`)
})

test('the view is the same object until it changes, and options are checked', async () => {
  await using cluster = new TwinCluster(13)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  const view = a.members.view()
  b.crash()
  await cluster.clock.advance(20_000)
  assert.equal(a.members.view(), view)
  await b.start()
  await cluster.clock.until(b.meet(a))
  await cluster.clock.advance(5_000)
  assert.equal(a.members.view(), view)
  for (const zone of ['', 'a\u0007', 'x'.repeat(65)])
    await assert.rejects(cluster.machine({ zone }).start(), { code: 'ZONE_INVALID' })
  for (const capacity of [-1, 0.5, Number.NaN])
    await assert.rejects(cluster.machine({ capacity }).start(), { code: 'CAPACITY_INVALID' })
})

test('a notice that somebody signed is believed from members only', async () => {
  await using cluster = new TwinCluster(14)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  const stranger = cluster.machine({ secret: 'another' })
  await stranger.start()
  await cluster.clock.until(stranger.meet(a))
  const notice = signNotice(twinSigner(stranger.peer), b.peer).bytes
  const hello = encode(['hello', new Uint8Array(32)])
  await assert.rejects(a.answer!(hello, stranger.peer, {}), { code: 'NOT_PROVEN' })
  await assert.rejects(a.answer!(encode(['ping', [notice]]), stranger.peer, {}), { code: 'NOT_PROVEN' })
  assert.deepEqual(a.seen(), sorted([a, b]))
})

test('a damaged entry on the disk is dropped and heard again', async () => {
  await using cluster = new TwinCluster(15)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  await cluster.clock.until(a.stop())
  const [key, bytes] = [...a.table.range({})].find(([, value]) => decodeEntry(value).peer === b.peer)!
  bytes[20]! ^= 0xff
  await a.table.write([
    { put: key, value: bytes },
    { put: 'entry/x', value: new Uint8Array(3) },
  ])
  await a.start()
  assert.deepEqual(a.seen(), [a.peer])
  await cluster.until('it is heard again', () => a.seen().length === 2, 70_000)
})

test('nothing is left when members close', async () => {
  const cluster = new TwinCluster(16)
  await cluster.start(3)
  await cluster[Symbol.asyncDispose]()
  await cluster.clock.advance(30_000)
  assert.equal(cluster.clock.pendingTimers, 0)
})

test('members that know the same say little, and a newcomer does not repeat what it was told', async () => {
  await using cluster = new TwinCluster(17)
  const machines = await cluster.start(12)
  await cluster.clock.advance(60_000)
  const newcomer = cluster.machine()
  await newcomer.start()
  await cluster.clock.until(newcomer.meet(machines[3]!))
  await cluster.until('all agree', () => cluster.agree() && newcomer.seen().length === 13, 5_000)
  const all = [newcomer, ...machines]
  const sent = async () => {
    for (const machine of all) machine.sentBytes = 0
    await cluster.clock.advance(60_000)
    return all.map(({ sentBytes }) => Math.round(sentBytes / 60))
  }
  const first = await sent()
  // A claim of its own goes round for a while; eleven of others would be some thousands.
  assert.ok(
    first.every((rate) => rate < 200),
    `bytes/s: ${first.join()}`,
  )
  const later = await sent()
  assert.ok(
    later.every((rate) => rate < 40),
    `bytes/s: ${later.join()}`,
  )
})

test('who answers a greeting without the secret is no member, whatever else it says', async () => {
  await using cluster = new TwinCluster(19)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  const stranger = cluster.machine({ secret: 'another' })
  await stranger.start()
  const notice = signNotice(twinSigner(stranger.peer), a.peer).bytes
  let greeted = 0
  stranger.answer = async () => {
    greeted++
    return encodeHello({ proof: new Uint8Array(32), digest: new Uint8Array(32), notice })
  }
  await cluster.clock.until(stranger.meet(a))
  await cluster.clock.advance(300_000)
  assert.equal(a.members.proven(stranger.peer), false)
  assert.deepEqual(a.seen(), sorted([a, b]))
  assert.ok(greeted > 2 && greeted < 15, `asked ${greeted} times`)
})

test('a doubt is refuted with a higher incarnation, once', async () => {
  await using cluster = new TwinCluster(20)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  const before = incarnationAt(b, a)
  const doubt = encodeRequest({ kind: 'ping', rumours: [[a.peer, before, 'suspect', b.peer]] })
  for (let time = 0; time < 5; time++) await a.answer!(doubt, b.peer, {})
  await cluster.until('it was refuted', () => incarnationAt(b, a) > before, 1_000)
  await cluster.clock.advance(10_000)
  assert.equal(incarnationAt(b, a), before + 1)
})

test('a claim that gossip lost and that is too large for probes is found when members compare', async () => {
  await using cluster = new TwinCluster(21)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  cluster.isMute = true
  b.network.extraAddresses = Array.from({ length: 7 }, (_, at) => `/dns4/${'x'.repeat(200)}${at}/tcp/4101`)
  await cluster.until('it is known', () => a.members.member(b.peer)?.addresses.length === 8, 60_000)
})

test('news are with everybody at once', async () => {
  await using cluster = new TwinCluster(22)
  const machines = await cluster.start(10)
  await cluster.clock.until(machines[4]!.members.beginLeave())
  await cluster.clock.advance(20)
  assert.ok(machines.every((machine) => machine.seen().length === 9))
})

test('doubts that come in masses are not written in masses', async () => {
  await using cluster = new TwinCluster(23)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  const { writes } = a.table
  for (let time = 0; time < 100; time++) {
    const rumours: Rumour[] = [[a.peer, incarnationAt(a, a), 'suspect', b.peer]]
    await a.answer!(encodeRequest({ kind: 'ping', rumours }), b.peer, {})
    await cluster.clock.advance(10)
  }
  assert.ok(a.table.writes - writes <= 6, `${a.table.writes - writes} writes in a second`)
})

test('a line that breaks is a reason to look at once', async () => {
  await using cluster = new TwinCluster(24)
  const [a, b] = (await cluster.start(2)) as [Machine, Machine]
  for (let time = 0; time < 5; time++) {
    await cluster.clock.advance(10_000 + 170 * time)
    b.crash()
    await cluster.clock.advance(50)
    assert.equal(livenessAt(a, b), 'suspect')
    await b.start()
    await cluster.until('it is back', () => livenessAt(a, b) === 'alive')
  }
})
