// Pins on a cluster in memory: copies come, move and go as members do; and what others do wrong costs no copy.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sleep } from '../../src/base/clock.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { RecordsError } from '../../src/records/errors.ts'
import { encodePin, pinKey } from '../../src/replicas/pin.ts'
import { type Dag, leafOf, nodeOf } from '../exchange/dags.ts'
import { failureOf } from '../exchange/world.ts'
import { World } from './world.ts'

const hourMs = 3_600_000
const names = ['A', 'B', 'C', 'D', 'E']

/** A DAG that three members of a cluster hold, and who they are. */
async function held(world: World, by = 'A', copies = 3) {
  const dag = world.dag()
  await world.pin(by, dag, { copies })
  await world.run(world.peer(by).replicas.wait(dag.root, copies))
  await world.rest()
  return { dag, holders: world.named(dag) }
}

test('a pin is held by as many members as it says, and says so', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  await world.pin('A', dag, { copies: 3 })
  const status = await world.run(world.peer('B').replicas.wait(dag.root, 3))
  assert.equal(status.state, 'held')
  assert.equal(status.held, 3)
  assert.equal(status.bytesToGo, 0)
  const holders = status.places.map(({ peer }) => peer as string)
  assert.deepEqual(world.named(dag), holders.sort())
  const all = await world.holders(dag)
  for (const holder of holders) assert.ok(all.includes(holder), `${holder} holds it`)
  assert.ok(all.includes('A'), 'who pinned it keeps its copy')
})

test('copies are spread over zones', async () => {
  await using world = new World()
  for (const name of ['A', 'B', 'C', 'D']) await world.join(name, { zone: 'house' })
  for (const name of ['E', 'F']) await world.join(name, { zone: 'shed' })
  for (let round = 0; round < 5; round++) {
    const { holders } = await held(world, 'A', 2)
    assert.equal(holders.filter((name) => name === 'E' || name === 'F').length, 1, holders.join())
  }
})

test('more copies than members are made as far as possible, and that is said; another member gets one', async () => {
  await using world = await World.of(['A', 'B'])
  const dag = world.dag()
  await world.pin('A', dag, { copies: 3 })
  await world.rest()
  const status = await world.status(dag)
  assert.equal(status?.held, 2)
  assert.equal(status?.state, 'waiting')
  assert.match(status?.why ?? '', /3 copies are wanted, and 2 members can hold it/)
  const failure = await failureOf(world.run(world.peer('A').replicas.wait(dag.root, 3)))
  assert.equal(failure.code, 'COPIES_UNAVAILABLE')
  const short = (...names: string[]) =>
    names.reduce((sum, name) => sum + world.peer(name).replicas.summary().underReplicated, 0)
  assert.equal(short('A', 'B'), 1, 'its driver counts it')
  await world.join('C')
  await world.rest()
  assert.equal((await world.status(dag))?.held, 3)
  assert.equal(short('A', 'B', 'C'), 0)
})

test('a member that is away for a night is waited for; one that stays away is replaced, and taken back when it returns', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const lost = holders.find((name) => name !== 'A')!
  world.away(lost)
  await world.rest(11 * hourMs)
  assert.deepEqual(world.named(dag), holders)
  const status = await world.status(dag)
  assert.equal(status?.held, 2)
  assert.match(status?.why ?? '', /does not answer; it is replaced if it stays away for \d+ min more/)
  await world.rest(2 * hourMs)
  const now = world.named(dag)
  assert.equal(now.length, 3)
  assert.ok(!now.includes(lost))
  assert.equal((await world.status(dag))?.state, 'held')
  world.back(lost)
  await world.rest(2 * hourMs)
  assert.deepEqual(world.named(dag), holders, 'the extra copy is gone from the record')
  const having = await world.holders(dag)
  assert.deepEqual(having.filter((name) => name !== 'A').sort(), holders.filter((name) => name !== 'A').sort())
})

test('what is pinned while a member is away does not wait for it; it gets its copy when it is back', async () => {
  for (const place of [0, 1, 2]) {
    await using world = await World.of(names)
    const dag = world.dag()
    const walk = world.walk(dag)
    const away = walk[place]!
    const others = walk.filter((name) => name !== away)
    world.away(away)
    await world.pin(others[0]!, dag)
    await world.rest(times.pinsDeafMs / 2)
    assert.deepEqual(world.named(dag), others.slice(0, 2).sort(), 'it may just be starting again')
    await world.rest()
    assert.equal((await world.status(dag))?.held, 3)
    assert.deepEqual(world.named(dag), others.slice(0, 3).sort())
    world.back(away)
    await world.rest(2 * hourMs)
    assert.deepEqual(world.named(dag), walk.slice(0, 3).sort())
    assert.equal((await world.status(dag))?.held, 3)
  }
})

test('who is cut off from most of the members names nobody', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const writes = world.records.writes
  const away = names.filter((name) => name !== holders[0]).slice(0, 3)
  for (const name of away) world.away(name)
  await world.rest(24 * hourMs)
  assert.deepEqual(world.named(dag), holders)
  assert.equal(world.records.writes, writes)
  assert.match((await world.status(dag))?.why ?? '', /only 2 of 5 members are seen/)
})

test('a member that leaves hands off first, and is empty then', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const leaver = holders.find((name) => name !== 'A')!
  world.set(leaver, { state: 'leaving' })
  assert.ok(world.peer(leaver).replicas.bytesToHandOver() > 0)
  await world.rest()
  assert.ok(world.peer(leaver).replicas.drained())
  assert.equal(world.peer(leaver).replicas.bytesToHandOver(), 0)
  assert.ok(!world.named(dag).includes(leaver))
  assert.equal((await world.status(dag))?.held, 3)
  assert.equal(world.peer(leaver).store.pins.get(dag.root), undefined)
})

test('a member that does not answer when it is taken off a pin leaves soon after it answers again', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const leaver = holders.find((name) => name !== 'A')!
  const { network, replicas } = world.peer(leaver)
  network.refuses = true
  world.set(leaver, { state: 'leaving' })
  await world.rest()
  assert.ok(!world.named(dag).includes(leaver))
  assert.equal(replicas.drained(), false)
  network.refuses = false
  await world.rest(2 * times.proofAgainMs)
  assert.ok(replicas.drained())
  assert.equal((await world.status(dag))?.held, 3)
})

test('who pinned something does not leave before others have it', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0, bytesPerSecond: 5_000 })
  for (const name of ['B', 'C', 'D']) await world.join(name)
  const dag = world.dag(64, 1_000)
  await world.pin('A', dag, { copies: 2 })
  world.set('A', { state: 'leaving' })
  await world.rest(5_000)
  const { replicas } = world.peer('A')
  assert.equal(replicas.drained(), false)
  assert.ok(replicas.bytesToHandOver() > 0)
  await world.rest(5 * 60_000)
  assert.equal((await world.status(dag, 'B'))?.held, 2)
  assert.ok(replicas.drained())
  assert.equal(replicas.bytesToHandOver(), 0)
})

test('a member leaves though a content is lost, but not with a block of it that others lack', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  const [lost, late] = [leafOf(1_000), leafOf(1_001)]
  const root = nodeOf([...dag.leaves, lost, late].map(({ cid }) => cid))
  const partial = { root: root.cid, blocks: [...dag.leaves, root], leaves: dag.leaves, bytes: 5_001 }
  await world.pin('A', partial)
  await world.rest(5 * 60_000)
  const leavers = ['A', world.named(partial).find((name) => name !== 'A')!]
  for (const name of leavers) world.set(name, { state: 'leaving' })
  world.away('E')
  await world.rest(60 * 60_000)
  for (const name of leavers) assert.ok(!world.peer(name).replicas.drained(), 'the one that is away may have it')
  for (const name of leavers) {
    const { store } = world.peer(name)
    using lease = store.lease('test')
    const writer = store.writer(lease)
    await writer.put(late)
    await writer.flush()
  }
  world.back('E')
  for (const name of leavers) {
    const { replicas } = world.peer(name)
    for (let second = 0; second < 3_600 && !replicas.drained(); second++) await world.rest(1_000)
    assert.ok(replicas.drained())
    assert.equal(replicas.bytesToHandOver(), 0)
    const others = world.named(partial).filter((other) => !leavers.includes(other))
    assert.ok(others.length > 0)
    for (const other of others) await world.peer(other).store.get(late.cid)
  }
})

test('a member that joins takes over what it shall hold, and nobody drops before it has', async () => {
  await using world = await World.of(names)
  const pins = []
  for (let index = 0; index < 8; index++) pins.push(await held(world))
  await world.join('F', { bytesPerSecond: 100 })
  await world.rest(10 * 60_000)
  const moved = pins.filter(({ dag }) => world.named(dag).includes('F'))
  assert.ok(moved.length > 0 && moved.length < pins.length)
  for (const { dag, holders } of pins) {
    const now = world.named(dag)
    assert.equal(now.length, 3)
    assert.ok(
      now.every((name) => holders.includes(name) || name === 'F'),
      'data moves only to the new member',
    )
    assert.equal((await world.status(dag))?.held, 3)
  }
})

test('a member without room is passed over, and shown as full', async () => {
  await using world = new World()
  for (const name of ['A', 'B']) await world.join(name)
  await world.join('C', { capacity: 2_000 })
  const dag = world.dag()
  await world.pin('A', dag)
  await world.rest()
  const status = await world.status(dag)
  assert.equal(status?.held, 2)
  assert.equal(status?.places.find(({ peer }) => peer === 'C')?.state, 'full')
  assert.match(status?.why ?? '', /1 member has no room for it/)
  await world.join('D')
  await world.rest()
  assert.equal((await world.status(dag))?.held, 3)
})

test('a member without room does not make a pin seem less than held whenever it is asked again', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0 })
  for (const name of ['B', 'C']) await world.join(name)
  await world.join('D', { capacity: 2_000 })
  const dag = world.dag()
  await world.pin('A', dag)
  // The time after which a member that was full is asked again, and a little more.
  await world.rest(605_000)
  assert.equal(await world.run(world.peer('A').replicas.letGo(dag.root)), true)
  assert.deepEqual(await world.holders(dag), ['B', 'C'])
})

test('each member that had no room is asked again, not only the first of them', async () => {
  await using world = new World()
  for (const name of ['A', 'B']) await world.join(name, { zone: 'house' })
  // Both are full, and only one of them has room again later.
  await world.join('D', { zone: 'shed', capacity: 3_500 })
  await world.join('E', { zone: 'shed', capacity: 30_000 })
  const big = world.dag(28)
  await world.pin('A', big, { copies: 2 })
  await world.rest()
  assert.ok(world.named(big).includes('E'))
  const small = world.dag()
  await world.pin('A', small, { copies: 4 })
  await world.rest()
  assert.ok(world.named(small).includes('D'))
  const late = []
  for (let index = 0; index < 6; index++) late.push((await held(world, 'A', 2)).dag)
  for (const dag of late) assert.deepEqual(world.named(dag), ['A', 'B'])
  await world.run(world.peer('A').replicas.unpin(big.root))
  await world.rest(3 * hourMs)
  for (const dag of late) assert.ok(world.named(dag).includes('E'))
})

test('two pins that come at once never count on the same room', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0 })
  await world.join('B', { capacity: 4_000 })
  const dags = [world.dag(), world.dag()]
  await Promise.all(dags.map((dag) => world.pin('A', dag, { copies: 1 })))
  await world.rest()
  const states = await Promise.all(dags.map((dag) => world.status(dag)))
  assert.deepEqual(states.map((status) => status?.held).sort(), [0, 1])
  assert.equal(world.peer('B').replicas.summary().heldBytes, dags[0]!.bytes)
})

test('unpinning frees the space everywhere; who was away drops it when it is back', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world, 'B')
  const away = holders.find((name) => name !== 'A')!
  world.away(away)
  assert.ok(await world.run(world.peer('A').replicas.unpin(dag.root)))
  await world.rest()
  assert.deepEqual(await world.holders(dag), [away])
  assert.equal(await world.status(dag), undefined)
  world.back(away)
  await world.restart(away)
  await world.rest()
  assert.deepEqual(await world.holders(dag), [])
  assert.ok(world.peer(away).replicas.drained())
  assert.equal(world.peer(away).letGo > 0, true)
  assert.equal(await world.run(world.peer('A').replicas.unpin(dag.root)), false)
})

test('a driver that writes while somebody unpins does not bring the pin back', async () => {
  await using world = await World.of(names)
  const { dag } = await held(world)
  const key = pinKey(dag.root)
  const before = world.records.firstValue(key)
  assert.ok(await world.run(world.peer('A').replicas.unpin(dag.root)))
  // What a driver wrote that had not seen it.
  world.records.write(key, before, 'another version')
  await world.rest()
  assert.equal(await world.status(dag), undefined)
  assert.deepEqual(await world.holders(dag), [])
})

test('whoever pins what is pinned already hears who holds it, and for what is new nobody is blamed', async () => {
  await using world = await World.of(names)
  const fresh = await world.pin('B', world.dag(4))
  assert.deepEqual([fresh.held, fresh.state, fresh.why], [0, 'copying', undefined])
  const { dag, holders } = await held(world)
  for (const name of [holders[0]!, names.find((name) => !holders.includes(name))!]) {
    const { held, state, why, places } = await world.pin(name, dag, { copies: 2 })
    assert.deepEqual([held, state, why], [3, 'held', undefined])
    assert.deepEqual(places.map(({ peer }) => peer).sort(), [...holders].sort())
  }
  const more = await world.pin('C', dag, { copies: 4 })
  assert.deepEqual([more.copies, more.state], [4, 'copying'])
})

test('who could give its copy to nobody and pins it again may hold it', async () => {
  await using world = new World()
  await world.join('A')
  for (const name of ['B', 'C']) await world.join(name, { capacity: 0 })
  const dag = world.dag()
  await world.pin('A', dag, { copies: 1, elsewhere: true })
  await world.rest()
  assert.equal((await world.status(dag))?.held, 0)
  await world.pin('A', dag, { copies: 1 })
  await world.rest()
  assert.deepEqual([(await world.status(dag))?.held, await world.holders(dag)], [1, ['A']])
})

test('a pin that comes after an unpin stands', async () => {
  await using world = await World.of(names)
  const { dag } = await held(world)
  assert.ok(await world.run(world.peer('A').replicas.unpin(dag.root)))
  await world.pin('A', dag, { copies: 2 })
  await world.rest()
  assert.equal((await world.status(dag))?.held, 2)
})

test('unpinned while it is being copied, it stops there', async () => {
  await using world = new World()
  await world.join('A', { bytesPerSecond: 500 })
  for (const name of ['B', 'C', 'D']) await world.join(name)
  const dag = world.dag(16, 1_000)
  await world.pin('A', dag, { copies: 3 })
  await world.rest(5_000)
  assert.ok(await world.run(world.peer('D').replicas.unpin(dag.root)))
  await world.rest(5 * 60_000)
  assert.deepEqual(await world.holders(dag), [])
  for (const name of ['A', 'B', 'C', 'D']) assert.ok(world.peer(name).replicas.drained(), name)
})

test('a pin ends when its time is over, whatever one clock says', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  const endsMs = world.clock.nowMs() + hourMs
  await world.pin('A', dag, { expiresMs: endsMs })
  await world.rest(hourMs / 2)
  assert.equal((await world.status(dag))?.held, 3)
  await world.rest(endsMs - world.clock.nowMs() - 1)
  assert.equal((await world.status(dag))?.held, 3)
  await world.rest(2 * times.pinsPollMs)
  assert.equal(await world.status(dag), undefined)
  await world.rest(5 * 60_000)
  assert.deepEqual(await world.holders(dag), [])
})

test('who is cut off from most of the members ends no pin until it sees them again', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  await world.pin('A', dag, { expiresMs: world.clock.nowMs() + hourMs })
  await world.rest()
  const away = ['C', 'D', 'E']
  for (const name of away) world.away(name)
  await world.rest(2 * hourMs)
  assert.equal(world.records.pins()[0]?.wishes.length, 1)
  for (const name of away) world.back(name)
  await world.rest(hourMs)
  assert.equal(await world.status(dag), undefined)
  assert.deepEqual(await world.holders(dag), [])
})

test('a pin ends when the others say so, if the clock of whoever pinned it is wrong', async () => {
  await using world = new World()
  const skewMs = 24 * hourMs
  await world.join('A', { skewMs })
  for (const name of ['B', 'C', 'D']) await world.join(name)
  // By then it has heard what time it is.
  await held(world)
  const dag = world.dag()
  await world.pin('A', dag, { expiresMs: world.clock.nowMs() + skewMs + hourMs })
  await world.rest(hourMs / 2)
  assert.equal((await world.status(dag))?.held, 3)
  await world.rest(2 * hourMs)
  assert.equal(await world.status(dag), undefined)
})

test('a pin ends in time though the clock of its driver was wrong while nobody answered it', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  const driver = world.walk(dag)[0]!
  const others = names.filter((name) => name !== driver)
  const endsMs = world.clock.nowMs() + hourMs
  await world.pin(others[0]!, dag, { expiresMs: endsMs })
  await world.rest(hourMs / 2)
  for (const name of others) world.peer(name).network.refuses = true
  await world.restart(driver, { skewMs: 24 * hourMs })
  await world.rest(60_000)
  for (const name of others) world.peer(name).network.refuses = false
  await world.rest(endsMs - world.clock.nowMs() - 1)
  assert.equal((await world.status(dag))?.held, 3)
  await world.rest(2 * times.pinsPollMs)
  assert.equal(await world.status(dag), undefined)
})

for (const how of [true, 'garbage', 'silence'] as const)
  test(`a holder that deletes what it accepted is found out, counts no more, and is replaced (${how})`, async () => {
    await using world = await World.of(names)
    const { dag, holders } = await held(world)
    const liar = holders.find((name) => world.peer(name).replicas.summary().driven === 0)!
    world.peer(liar).lies = how
    await world.run(world.empty(liar))
    await world.rest(30 * 60_000)
    const now = world.named(dag)
    assert.equal(now.length, 3)
    assert.ok(!now.includes(liar), 'another was named')
    assert.equal((await world.status(dag))?.held, 3)
  })

test('of a holder that deletes what it accepted everything is found out, not the first few', async () => {
  await using world = await World.of(['A', 'B', 'C', 'D'])
  const pins = Array.from({ length: 160 }, () => world.dag(1, 100))
  for (const dag of pins) await world.pin('A', dag)
  await world.rest(5 * 60_000)
  const naming = () => pins.filter((dag) => world.named(dag).includes('D')).length
  // Nobody audits what it drives itself.
  assert.ok(naming() - world.peer('D').replicas.summary().driven > 3 * limits.pinsAudited)
  world.peer('D').lies = true
  await world.run(world.empty('D'))
  await world.rest(hourMs)
  assert.equal(naming(), world.peer('D').replicas.summary().driven)
})

test('a holder that could prove nothing and now can counts again, for all that it holds', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const pins = Array.from({ length: 120 }, () => world.dag(1, 100))
  for (const dag of pins) await world.pin('A', dag)
  await world.rest(5 * 60_000)
  const short = async () => {
    let count = 0
    for (const dag of pins) if ((await world.status(dag))?.held !== 3) count++
    return count
  }
  world.peer('C').lies = true
  await world.rest(hourMs)
  assert.equal(await short(), pins.length - world.peer('C').replicas.summary().driven)
  world.peer('C').lies = false
  await world.rest(hourMs)
  assert.equal(await short(), 0)
})

test('a holder whose disk lost blocks gets them again', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const robbed = holders.find((name) => name !== 'A')!
  await world.run(world.empty(robbed))
  world.peer(robbed).replicas.mend()
  await world.rest()
  assert.ok((await world.holders(dag)).includes(robbed))
})

test('what one audit finds missing makes the holder look through all that it holds', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const pins = []
  for (let index = 0; index < 40; index++) pins.push(world.dag(2, 100))
  for (const dag of pins) await world.pin('A', dag)
  await world.rest(5 * 60_000)
  const robbed = ['A', 'B', 'C'].find((name) => world.peer(name).replicas.summary().driven === 0) ?? 'B'
  await world.run(world.empty(robbed))
  await world.rest(4 * 60_000)
  for (const dag of pins) assert.ok((await world.holders(dag)).includes(robbed))
})

test('a block that rotted before another pin needed it too is read, and fetched again', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const leaf = leafOf(1_000)
  const over = (...leaves: Dag['leaves']): Dag => {
    const root = nodeOf(leaves.map(({ cid }) => cid))
    const blocks = [...leaves, root]
    return { root: root.cid, leaves, blocks, bytes: blocks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) }
  }
  await world.pin('A', over(leaf))
  await world.rest()
  world.rot('B', leaf)
  const second = over(leaf, leafOf(1_000))
  await world.pin('A', second)
  assert.equal((await world.run(world.peer('A').replicas.wait(second.root, 3))).held, 3)
  assert.deepEqual(await world.holders(second), ['A', 'B', 'C'])
})

test('a member whose disk was wiped gets everything again', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const wiped = holders.find((name) => name !== 'A')!
  await world.wipe(wiped)
  await world.rest()
  assert.deepEqual(world.named(dag), holders)
  assert.ok((await world.holders(dag)).includes(wiped))
})

test('a record that all its owners lost is written again from what is held', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  world.records.lose(pinKey(dag.root))
  for (const name of names) await world.restart(name)
  await world.rest(30 * 60_000)
  assert.deepEqual(world.named(dag), holders)
  assert.equal((await world.status(dag))?.held, 3)
})

test('a content whose blocks are nowhere is said to be so, and is held once they are there', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  const missing = leafOf(1_000)
  const root = nodeOf([...dag.leaves.map(({ cid }) => cid), missing.cid])
  const blocks = [...dag.leaves, root]
  const whole = { root: root.cid, blocks, leaves: dag.leaves, bytes: 4_000 }
  await world.pin('A', whole, { copies: 3 })
  await world.rest(5 * 60_000)
  const status = await world.status(whole)
  assert.equal(status?.held, 0)
  assert.match(status?.why ?? '', new RegExp(String(missing.cid)))
  using lease = world.peer('A').store.lease('test')
  const writer = world.peer('A').store.writer(lease)
  await writer.put(missing)
  await writer.flush()
  await world.rest(15 * 60_000)
  assert.equal((await world.status(whole))?.held, 3)
})

test('a block that all holders of a content lack is found with whoever holds another content that has it', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  const shared = leafOf(1_000)
  const root = nodeOf([...dag.leaves, shared].map(({ cid }) => cid))
  const whole = { root: root.cid, blocks: [...dag.leaves, root], leaves: dag.leaves, bytes: 4_000 }
  await world.pin('A', whole, { copies: 2 })
  await world.rest()
  const stranger = names.find((name) => name !== 'A' && !world.named(whole).includes(name))!
  const { store } = world.peer(stranger)
  using lease = store.lease('test')
  const writer = store.writer(lease)
  await writer.put(shared)
  await writer.flush()
  assert.equal((await world.status(whole))?.held, 0)
  await world.rest(15 * 60_000)
  assert.equal((await world.status(whole))?.held, 2)
})

test('a copy that shall be elsewhere is not kept here once others hold it', async () => {
  await using world = await World.of(['A', 'B', 'C', 'D'])
  const dag = world.dag()
  await world.pin('A', dag, { copies: 3, elsewhere: true })
  await world.run(world.peer('A').replicas.wait(dag.root, 3))
  await world.run(world.peer('A').replicas.letGo(dag.root))
  await world.rest()
  assert.deepEqual(await world.holders(dag), ['B', 'C', 'D'])
})

test('nobody lets go of a copy on the word of others: they must prove that they have theirs', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0 })
  for (const name of ['B', 'C']) await world.join(name)
  const dag = world.dag()
  await world.pin('A', dag, { copies: 2, expiresMs: world.clock.nowMs() + hourMs })
  await world.pin('B', dag, { copies: 2 })
  await world.run(world.peer('A').replicas.wait(dag.root, 2))
  const loseAll = () => {
    for (const name of ['B', 'C']) for (const leaf of dag.leaves) world.rot(name, leaf)
  }
  loseAll()
  assert.equal(await world.run(world.peer('A').replicas.letGo(dag.root)), false)
  await world.rest(10 * 60_000)
  assert.deepEqual(await world.holders(dag), ['A', 'B', 'C'])
  // The wish of A ends, and its copy goes at last, but not before what was lost meanwhile has been fetched from it.
  world.peer('A').network.refuses = true
  await world.rest(hourMs)
  loseAll()
  world.peer('A').network.refuses = false
  await world.rest(hourMs)
  assert.deepEqual(await world.holders(dag), ['B', 'C'])
})

test('a list of pins that may lack some says so, and one that only lacks some answers does not', async () => {
  await using world = await World.of(names)
  await held(world)
  const list = async () => {
    const all = []
    for await (const status of world.peer('A').replicas.list()) all.push(status)
    return all
  }
  world.records.unreached = ['B', 'C'] as PeerId[]
  assert.equal((await world.run(list())).length, 1)
  world.records.unreached = ['B', 'C', 'D'] as PeerId[]
  const failure = await failureOf(world.run(list()))
  assert.equal(failure.code, 'PINS_UNREACHED')
  assert.match(failure.message, /there may be more pins: 3 members did not answer \(B, C, D\)/)
})

test('everything goes on after a restart', async () => {
  await using world = new World()
  await world.join('A', { bytesPerSecond: 2_000 })
  for (const name of ['B', 'C', 'D']) await world.join(name)
  const dag = world.dag(16, 1_000)
  await world.pin('A', dag, { copies: 3 })
  await world.rest(3_000)
  for (const name of ['A', 'B', 'C', 'D']) await world.restart(name)
  await world.rest(5 * 60_000)
  assert.equal((await world.status(dag))?.held, 3)
})

test('what a change of members would move is told before', async () => {
  await using world = await World.of(names)
  const pins = []
  for (let index = 0; index < 5; index++) pins.push(await held(world))
  const peer = 'B' as PeerId
  const preview = await world.run(world.peer('A').replicas.preview({ kind: 'forget', peer }))
  const affected = pins.filter(({ holders }) => holders.includes('B'))
  assert.equal(preview.pins, affected.length)
  assert.equal(
    preview.bytes,
    affected.reduce((sum, { dag }) => sum + dag.bytes, 0),
  )
  assert.equal(preview.short, 0)
  world.forget('B')
  await world.rest()
  for (const { dag } of pins) assert.equal(world.named(dag).filter((name) => name !== 'B').length, 3)
})

test('nothing is said to move to a member that gives less than it needs', async () => {
  await using world = await World.of(['A', 'B'])
  await world.join('S', { zone: 'garage', capacity: 10 })
  await world.pin('A', world.dag(), { copies: 2 })
  await world.rest()
  const preview = await world.run(world.peer('A').replicas.preview({ kind: 'forget', peer: 'B' as PeerId }))
  assert.deepEqual([preview.pins, preview.bytes, preview.short], [0, 0, 1])
})

test('a pin that was made without anybody is told when there is somebody', async () => {
  await using world = await World.of(['A', 'B'])
  const dag = world.dag()
  const { store } = world.peer('A')
  using lease = store.lease('test')
  const writer = store.writer(lease)
  for (const block of dag.blocks) await writer.put(block)
  await writer.flush()
  await store.pins.add(dag.root, { recursive: true })
  await world.restart('A')
  await world.rest()
  assert.equal((await world.status(dag))?.held, 2)
})

test('a record that names another content than its key costs no copy of that content', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const [other, wish] = [world.dag(), { id: 'forged', by: 'B' as PeerId, copies: 5, elsewhere: false }]
  const forged = { cid: dag.root.toString(), sizeBytes: 1, wishes: [wish], ended: [], holders: [] }
  world.records.write(pinKey(other.root), encodePin(forged), 'none')
  await world.rest()
  for (const name of names) assert.ok(world.peer(name).replicas.summary().pins <= 1, `${name} holds one pin at most`)
  world.records.write(pinKey(other.root), encodePin({ ...forged, wishes: [] }), 'none')
  await world.rest()
  const having = await world.holders(dag)
  for (const name of holders) assert.ok(having.includes(name), `${name} still holds it`)
})

test('nobody holds more of a content than its pin says; pinned again with its true size, it is held', async () => {
  await using world = new World()
  await world.join('A', { capacity: 0 })
  await world.join('B', { capacity: 100_000 })
  const dag = world.dag(64, 1_000)
  await world.pin('A', { ...dag, bytes: 5_000 }, { copies: 1 })
  await world.rest()
  const status = await world.status(dag)
  assert.equal(status?.held, 0)
  assert.match(status?.why ?? '', /larger than the 4.9 KiB that its pin says/)
  assert.equal(world.peer('B').replicas.summary().reservedBytes, 5_000)
  await world.pin('A', dag, { copies: 1 })
  await world.rest(10 * 60_000)
  assert.equal((await world.status(dag))?.held, 1)
  assert.equal(world.peer('B').replicas.summary().heldBytes, dag.bytes)
})

test('what is pinned every night can be pinned for years, and one unpin ends it', async () => {
  await using world = await World.of(names)
  const dag = world.dag()
  for (let night = 0; night < 70; night++) await world.pin('A', dag, { copies: 1 + (night % 3) })
  await world.pin('B', dag, { copies: 4, expiresMs: world.clock.nowMs() + hourMs })
  assert.equal((await world.status(dag))?.copies, 4)
  await world.rest(2 * hourMs)
  assert.equal((await world.status(dag))?.copies, 3)
  await world.run(world.peer('C').replicas.unpin(dag.root))
  await world.rest()
  assert.deepEqual(await world.holders(dag), [])
})

test('a wish that could not be written is taken back, and comes after no unpin', async () => {
  await using world = await World.of(names)
  const { dag } = await held(world)
  const fresh = world.dag()
  world.peer('A').network.refuses = true
  await assert.rejects(world.pin('A', dag, { copies: 4 }))
  await assert.rejects(world.pin('A', fresh, { copies: 2 }))
  assert.ok(await world.run(world.peer('B').replicas.unpin(dag.root)))
  world.peer('A').network.refuses = false
  await world.rest(hourMs)
  for (const each of [dag, fresh]) {
    assert.equal(await world.status(each), undefined)
    assert.equal(world.peer('A').store.pins.get(each.root), undefined)
  }
})

test('who can reach no owner of a record pins all the same, and unpins nothing by that', async () => {
  await using world = await World.of(names)
  const { dag } = await held(world, 'B', 2)
  world.records.slowly = () => Promise.reject(new RecordsError('QUORUM_UNAVAILABLE', 'no owner can be reached'))
  await world.pin('A', dag, { copies: 3 })
  world.records.slowly = undefined
  await world.rest()
  assert.equal((await world.status(dag))?.held, 3)
  assert.equal(world.records.pins()[0]?.wishes.length, 2)
})

test('a wish that failed since the disk was full is told neither then nor later', async () => {
  await using world = await World.of(names)
  const { table, store } = world.peer('A')
  const full = new Error('the disk is full')
  const [first, second] = [world.dag(), world.dag()]
  const failing = async (dag: Dag) => {
    await assert.rejects(world.pin('A', dag))
    await world.rest()
    table.failWrites = undefined
    await world.rest(hourMs)
    assert.equal(await world.status(dag), undefined)
    assert.equal(store.pins.get(dag.root), undefined)
  }
  table.failWrites = full
  await failing(first)
  // It fills up when the wish has been kept, so that it cannot be taken back at once.
  world.records.slowly = () => {
    table.failWrites ??= full
    world.records.slowly = undefined
    return Promise.reject(full)
  }
  await failing(second)
})

test('a wish that a failed one would have replaced stands, and so does a root that nobody was told of', async () => {
  await using world = await World.of(names)
  const { dag } = await held(world, 'A', 2)
  const { store, network } = world.peer('A')
  const imported = world.dag()
  network.refuses = true
  await store.pins.add(imported.root, { recursive: true })
  for (const each of [dag, imported]) await assert.rejects(world.pin('A', each, { copies: 4 }))
  network.refuses = false
  await world.rest(hourMs)
  assert.equal((await world.status(dag))?.held, 2)
  assert.ok(store.pins.get(dag.root))
  assert.equal((await world.status(imported))?.held, 3)
})

test('a wish whose telling a crash cut short is taken back if it was not written, and stands if it was', async () => {
  await using world = await World.of(names)
  const [unwritten, written] = [world.dag(), world.dag()]
  const { table } = world.peer('A')
  world.records.slowly = () => new Promise(() => {})
  void world.pin('A', unwritten).catch(() => {})
  await world.rest(1_000)
  world.records.slowly = undefined
  const write = world.records.write.bind(world.records)
  world.records.write = (...record) => {
    write(...record)
    table.failWrites = new Error('the power goes out')
    world.records.write = write
  }
  await world.pin('A', written, { copies: 2 })
  table.failWrites = undefined
  await world.restart('A')
  await world.rest(hourMs)
  assert.equal(await world.status(unwritten), undefined)
  assert.equal(world.peer('A').store.pins.get(unwritten.root), undefined)
  assert.equal((await world.status(written))?.held, 2)
  assert.ok((await world.holders(written)).includes('A'))
})

test('what stand-ins lack ends no pin, and no copy goes for it', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const { writes } = world.records
  world.records.isSloppy = true
  const failure = await failureOf(world.run(world.peer('A').replicas.unpin(dag.root)))
  assert.equal(failure.code, 'PINS_UNREACHED')
  await world.restart('B')
  await world.rest(hourMs)
  world.records.isSloppy = false
  assert.equal(world.records.writes, writes)
  assert.deepEqual(world.named(dag), holders)
  assert.equal((await world.status(dag))?.held, 3)
  assert.ok(await world.run(world.peer('A').replicas.unpin(dag.root)))
})

test('who is asked to hold it again while it makes sure that it may drop it keeps it', async () => {
  await using world = await World.of(names)
  const pins = []
  for (let index = 0; index < 8; index++) pins.push(await held(world, 'A', 2))
  world.records.slowly = () => sleep(world.clock, 20_000, undefined)
  await world.join('F')
  await world.rest(10_000)
  world.set('F', { state: 'left', liveness: 'dead' })
  await world.rest(30 * 60_000)
  for (const { dag, holders } of pins) {
    assert.deepEqual(world.named(dag), holders)
    const having = await world.holders(dag)
    assert.deepEqual(
      holders.filter((name) => having.includes(name)),
      holders,
    )
  }
})

test('a member that is alive and answers nothing about pins is passed over; one that has a copy is waited for like one away', async () => {
  await using world = await World.of(names)
  const { dag, holders } = await held(world)
  const driver = names.find((name) => world.peer(name).replicas.summary().driven > 0)!
  const deaf = holders.find((name) => name !== driver && name !== 'A')!
  world.peer(deaf).network.refuses = true
  world.set(deaf, { incarnation: 2 })
  await world.rest(11 * hourMs)
  assert.deepEqual(world.named(dag), holders)
  assert.match((await world.status(dag, driver))?.why ?? '', /alive, and does not answer about pins/)
  await world.rest(2 * hourMs)
  assert.ok(!world.named(dag).includes(deaf))
  assert.equal((await world.status(dag, driver))?.held, 3)
  // New ones, all driven by those that answer.
  for (let index = 0; index < 8; index++) {
    const fresh = world.dag()
    await world.pin('A', fresh)
    await world.rest(5 * 60_000)
    const status = await world.status(fresh, driver)
    if (status?.places.length) assert.equal(status.held, 3)
  }
  world.peer(deaf).network.refuses = false
  await world.rest(2 * hourMs)
  assert.deepEqual(world.named(dag), holders)
})

test('who did not answer as it went away and as it came back is asked for new pins at once', async () => {
  await using world = await World.of(['A', 'B', 'C'])
  const { network } = world.peer('B')
  // Enough that both others drive some before and after.
  const [before, after] = [
    [3, 4, 5, 6, 7, 8],
    [9, 10, 11, 12, 13, 14],
  ].map((sizes) => sizes.map((size) => world.dag(size)))
  network.refuses = true
  for (const dag of before!) await world.pin('A', dag)
  await world.rest(5_000)
  world.away('B')
  await world.rest(5 * 60_000)
  for (const dag of before!)
    assert.match((await world.status(dag, 'A'))?.why ?? '', /of the 3 members that can hold it only 2 answer now/)
  world.set('B', { liveness: 'alive', incarnation: 2 })
  await world.rest(5_000)
  network.refuses = false
  for (const dag of after!) await world.pin('A', dag)
  await world.rest(2 * 60_000)
  for (const dag of [...before!, ...after!]) assert.equal((await world.status(dag))?.held, 3)
})

test('content that is larger than what any member gives is said to be so', async () => {
  await using world = new World()
  for (const name of ['A', 'B']) await world.join(name, { capacity: 2_000 })
  const dag = world.dag()
  await world.pin('A', dag)
  await world.rest()
  assert.match((await world.status(dag))?.why ?? '', /no member gives more than 2.0 KiB; add it in parts/)
})
