// The decisions of replicas, which are pure: whom to choose, what to do about a pin, what several values of one record mean,
// and what a change of members would move; against dumb oracles, and against garbage.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { silentLog } from '../../src/base/log.ts'
import { Block, codecs } from '../../src/core/block.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { chooseHolders, isEven } from '../../src/replicas/choose.ts'
import { ClusterTime } from '../../src/replicas/cluster-time.ts'
import { hear, newDriven } from '../../src/replicas/driven.ts'
import { type DriverDeps, DriverWorker } from '../../src/replicas/driver.ts'
import { mayDrop } from '../../src/replicas/holder.ts'
import { Holdings } from '../../src/replicas/holdings.ts'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, type Request } from '../../src/replicas/messages.ts'
import type { Peers } from '../../src/replicas/peers.ts'
import {
  copiesOf,
  decodePin,
  encodePin,
  mergePins,
  type Pin,
  pinKey,
  pinOf,
  withoutWishes,
  withWish,
} from '../../src/replicas/pin.ts'
import { planPin, type Situation } from '../../src/replicas/plan.ts'
import type { Presence } from '../../src/replicas/presence.ts'
import { askDrivers, tellOf } from '../../src/replicas/telling.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryTable } from '../twins/table.ts'

const peers = [...'ABCDEFGH'] as PeerId[]
const walkArb = fc.uniqueArray(fc.record({ peer: fc.constantFrom(...peers), zone: fc.constantFrom('x', 'y', 'z') }), {
  selector: ({ peer }) => peer,
})

test('holders are spread over zones as evenly as can be, and come in the order of the walk', () => {
  fc.assert(
    fc.property(walkArb, fc.integer({ min: 1, max: 8 }), (walk, copies) => {
      const chosen = chooseHolders(walk, copies)
      assert.equal(chosen.length, Math.min(copies, walk.length))
      assert.equal(new Set(chosen).size, chosen.length)
      const count = (zone: string, of: readonly PeerId[]) =>
        walk.filter((one) => one.zone === zone && of.includes(one.peer)).length
      const all = walk.map(({ peer }) => peer)
      for (const zone of ['x', 'y', 'z']) {
        const taken = walk.filter((one) => one.zone === zone && chosen.includes(one.peer))
        const first = walk.filter((one) => one.zone === zone).slice(0, taken.length)
        assert.deepEqual(taken, first, 'of a zone the first')
        // No zone has two more than another that still has somebody.
        for (const other of ['x', 'y', 'z'])
          if (count(other, chosen) < count(other, all))
            assert.ok(count(zone, chosen) <= count(other, chosen) + 1, `${zone} before ${other}`)
      }
    }),
  )
})

test('fewer copies are the beginning of more', () => {
  fc.assert(
    fc.property(walkArb, fc.integer({ min: 1, max: 7 }), (walk, copies) => {
      assert.deepEqual(chooseHolders(walk, copies), chooseHolders(walk, copies + 1).slice(0, copies))
    }),
  )
})

test('holders that are spread evenly over the zones are the same whether the walk goes on or not', () => {
  fc.assert(
    fc.property(walkArb, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 5 }), (walk, length, copies) => {
      const chosen = chooseHolders(walk.slice(0, length), copies)
      const zoneOf = (peer: PeerId) => walk.find((one) => one.peer === peer)!.zone
      const zones = walk.map(({ zone }) => zone)
      if (chosen.length === copies && isEven(chosen.map(zoneOf), zones))
        assert.deepEqual(chosen, chooseHolders(walk, copies))
    }),
    { numRuns: 1_000 },
  )
  assert.ok(isEven(['x', 'y', 'x'], ['x', 'y']))
  assert.ok(!isEven(['x', 'x'], ['x', 'y']))
})

const situationArb: fc.Arbitrary<Situation & { held: Set<PeerId> }> = fc
  .record({
    walk: walkArb,
    named: fc.uniqueArray(fc.constantFrom(...peers)),
    holds: fc.uniqueArray(fc.constantFrom(...peers)),
    gone: fc.uniqueArray(fc.constantFrom(...peers)),
    left: fc.uniqueArray(fc.constantFrom(...peers)),
    unfit: fc.uniqueArray(fc.constantFrom(...peers)),
    copies: fc.integer({ min: 1, max: 5 }),
    sees: fc.boolean(),
  })
  .map(({ walk, named, holds, gone, left, unfit, copies, sees }) => {
    const held = new Set(holds.filter((peer) => !gone.includes(peer)))
    const standing = (peer: PeerId) => ({
      holds: held.has(peer),
      gone: gone.includes(peer),
      left: gone.includes(peer) && left.includes(peer),
      unfit: unfit.includes(peer),
    })
    return { walk, named, copies, sees, standing, held }
  })

test('a plan never takes a copy away before all that shall hold it do', () => {
  fc.assert(
    fc.property(situationArb, (situation) => {
      const { named, standing, sees, copies, held } = situation
      const { target, toName, toTrim, isHeld } = planPin(situation)
      if (!sees) assert.deepEqual([toName, toTrim], [[], []])
      for (const peer of toTrim) {
        assert.ok(named.includes(peer) && !target.includes(peer))
        if (!standing(peer).left) assert.ok(target.every((other) => held.has(other)) && target.length > 0)
      }
      for (const peer of toName) assert.ok(target.includes(peer) && !named.includes(peer))
      for (const peer of target) assert.ok(!standing(peer).gone)
      assert.ok(target.length <= copies)
      assert.equal(isHeld, target.length > 0 && target.every((peer) => held.has(peer)))
    }),
  )
})

test('carried out again and again, plans come to rest with as many copies as can be', () => {
  fc.assert(
    fc.property(situationArb, (situation) => {
      const held = new Set(situation.held)
      const standing = (peer: PeerId) => ({ ...situation.standing(peer), holds: held.has(peer) })
      let named = situation.named
      for (let round = 0; round < 10; round++) {
        const { toName, toTrim } = planPin({ ...situation, sees: true, named, standing })
        named = [...named.filter((peer) => !toTrim.includes(peer)), ...toName]
        for (const peer of toName) held.add(peer)
        for (const peer of named) if (!standing(peer).gone && !standing(peer).unfit) held.add(peer)
      }
      const { target, toName, toTrim, isHeld } = planPin({ ...situation, sees: true, named, standing })
      const possible = situation.walk.filter(({ peer }) => {
        const { gone, unfit, holds } = standing(peer)
        return !gone && (holds || !unfit)
      })
      assert.equal(target.length, Math.min(situation.copies, possible.length))
      if (target.length > 0) assert.ok(isHeld)
      assert.deepEqual([toName, toTrim], [[], []])
    }),
  )
})

const block = Block.of(codecs.raw, Uint8Array.of(1)).cid
const cid = String(block)
const pinArb: fc.Arbitrary<Pin> = fc
  .record({
    wishes: fc.uniqueArray(
      fc.record({
        id: fc.constantFrom('a', 'b', 'c', 'd'),
        by: fc.constantFrom(...peers),
        copies: fc.integer({ min: 1, max: 4 }),
        elsewhere: fc.boolean(),
      }),
      { selector: ({ id }) => id },
    ),
    ended: fc.uniqueArray(
      fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd'), atMs: fc.integer({ min: 0, max: 9 }) }),
      {
        selector: ({ id }) => id,
      },
    ),
    holders: fc.uniqueArray(fc.constantFrom(...peers)),
    sizeBytes: fc.integer({ min: 0, max: 9 }),
  })
  // An id is of one wish, which says one thing.
  .map(({ wishes, ended, holders, sizeBytes }) =>
    mergePins(
      {
        cid,
        sizeBytes,
        holders,
        ended: ended.map(({ id, atMs }) => ({ id, by: byOf(id), atMs })),
        wishes: wishes.map(({ id }) => ({ id, by: byOf(id), copies: 2, elsewhere: false, expiresMs: undefined })),
      },
      { cid, sizeBytes: 0, holders: [], ended: [], wishes: [] },
    ),
  )
const byOf = (id: string) => peers['abcd'.indexOf(id)]!

test('values of one record are merged the same in any order and however often, and what ended stays ended', () => {
  fc.assert(
    fc.property(pinArb, pinArb, pinArb, (a, b, c) => {
      assert.deepEqual(mergePins(a, b), mergePins(b, a))
      assert.deepEqual(mergePins(mergePins(a, b), c), mergePins(a, mergePins(b, c)))
      assert.deepEqual(mergePins(a, a), a)
      const over = mergePins(
        withoutWishes(a, () => true, 5),
        a,
      )
      assert.deepEqual(over.wishes, [])
      assert.equal(copiesOf(over), 0)
    }),
  )
})

test('many who pin the same without seeing each other make one pin that everybody can read, and end', () => {
  const wishes = Array.from({ length: 2 * limits.pinWishesMax - 2 }, (_, index) => ({
    id: `w${index}`,
    by: 'A' as PeerId,
    copies: 2,
    elsewhere: false,
    expiresMs: undefined,
  }))
  const siblings = wishes.map((wish) => ({ value: encodePin(withWish(undefined, block, 5, wish)) }))
  const pin = pinOf({ key: pinKey(block), siblings })
  assert.equal(pin?.wishes.length, wishes.length)
  const ended = decodePin(encodePin(withoutWishes(decodePin(encodePin(pin)), () => true, 1)))
  assert.equal(pinOf({ key: pinKey(block), siblings: [...siblings, { value: encodePin(ended) }] })?.wishes.length, 0)
})

test('a pin comes through its bytes as it is; other bytes are refused', () => {
  fc.assert(fc.property(pinArb, (pin) => assert.deepEqual(decodePin(encodePin(pin)), pin)))
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.throws(() => decodePin(bytes), { code: 'PIN_INVALID' })
    }),
  )
})

test('messages come through as they are; garbage is refused, and never does anything else', () => {
  const pin = encodePin({ cid, sizeBytes: 5, wishes: [], ended: [], holders: ['A' as PeerId] })
  const requests: Request[] = [
    { kind: 'hold', holdings: [{ key: 'pin/x', pin, others: 2, from: ['B' as PeerId], again: true }] },
    { kind: 'release', keys: ['pin/x', 'pin/y'] },
    { kind: 'report', progress: [['pin/x', { state: 'failing', doneBytes: 7, why: 'no' }]] },
    { kind: 'tell', keys: [] },
    { kind: 'audit', blocks: [block], nonce: Uint8Array.of(1, 2) },
    { kind: 'used' },
  ]
  for (const request of requests) assert.deepEqual(decodeRequest(encodeRequest(request)), request)
  const place = { peer: 'A' as PeerId, state: 'away' as const, doneBytes: 1, why: undefined }
  const told = { pin, enough: false, places: [place], bytesPerSecond: 3, why: 'so' }
  const head = { nowMs: 1, usedBytes: 2 }
  for (const answer of [
    { ...head, kind: 'progress' as const, progress: [{ state: 'held' as const, doneBytes: 1, why: undefined }] },
    { ...head, kind: 'told' as const, told: [undefined, told] },
    { ...head, kind: 'hashes' as const, hashes: [undefined, Uint8Array.of(1)] },
    { ...head, kind: 'noted' as const },
  ])
    assert.deepEqual(decodeAnswer(encodeAnswer(answer)), answer)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(requests.length - 1), fc.nat(), (noise, which, at) => {
      const good = encodeRequest(requests[which]!)
      const bad = Uint8Array.from(good)
      bad.set(noise.subarray(0, good.length), Math.min(at % good.length, Math.max(0, good.length - noise.length)))
      for (const bytes of [noise, bad]) {
        for (const decode of [decodeRequest, decodeAnswer]) {
          try {
            decode(bytes)
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'PIN_INVALID')
          }
        }
      }
    }),
  )
  const many = Array.from({ length: limits.pinsCarried + 1 }, (_, index) => `pin/${index}`)
  assert.throws(() => decodeRequest(encodeRequest({ kind: 'tell', keys: many })), { code: 'PIN_INVALID' })
})

test('whatever a member says of itself, what is told of it can be read', () => {
  const peer = 'B' as PeerId
  const wish = { id: 'w', by: peer, copies: 2, elsewhere: false }
  const pin: Pin = { cid, sizeBytes: 1_000, wishes: [wish], ended: [], holders: [peer] }
  const driven = newDriven('pin/one', { pin, context: '', isSplit: false })
  const why = 'x'.repeat(512)
  hear(driven, peer, { state: 'fetching', doneBytes: 0 }, 1)
  hear(driven, peer, { state: 'fetching', doneBytes: Number.MAX_SAFE_INTEGER, why }, 1.001)
  assert.deepEqual(
    Array.from(driven.said.values(), ({ doneBytes, bytesPerSecond }) => [doneBytes, Math.round(bytesPerSecond)]),
    [[1_000, 1e9]],
  )
  const places = [{ peer, state: 'failing' as const, doneBytes: 1_000, why: `once more: ${why}` }]
  const told = { pin: encodePin(pin), enough: false, places, bytesPerSecond: 1e300, why: `B: ${why}` }
  const answer = decodeAnswer(encodeAnswer({ nowMs: 1, usedBytes: 2, kind: 'told', told: [told] }))
  assert.ok(answer.kind === 'told' && answer.told[0]?.why?.startsWith('B: xxx'))
})

test('nobody drops what the record still names it for, nor what has too few others', () => {
  const self = 'A' as PeerId
  const wish = { id: 'a', by: self, copies: 2, expiresMs: undefined, elsewhere: false }
  const pin = (holders: string[], isWished = true): Pin => ({
    cid,
    sizeBytes: 1,
    wishes: isWished ? [wish] : [],
    ended: [],
    holders: holders as PeerId[],
  })
  assert.equal(mayDrop(self, undefined, true), false, 'a record that is lost')
  assert.equal(mayDrop(self, pin(['A', 'B']), true), false)
  assert.equal(mayDrop(self, pin(['B', 'C']), false), false)
  assert.equal(mayDrop(self, pin(['B', 'C']), true), true)
  assert.equal(mayDrop(self, pin(['A'], false), false), true, 'nobody wishes for it')
})

test('what was about to be kept when the process ended is not kept, and no pin of anything else', async () => {
  const table = new MemoryTable()
  const roots = new Set<string>()
  const port = {
    has: (cid: CID) => roots.has(String(cid)),
    list: () => [...roots].map((text) => CID.parse(text)),
    add: async (cid: CID) => void roots.add(String(cid)),
    remove: async (cid: CID) => roots.delete(String(cid)),
  }
  const open = () => Holdings.open({ table, roots: port }, { capacity: 100 })
  const pin: Pin = { cid, sizeBytes: 5, wishes: [], ended: [], holders: [] }
  await (await open()).keep(pinKey(block), pin)
  assert.deepEqual((await open()).keptKeys(), [])
  assert.equal(table.size, 0)
  await port.add(block)
  await (await open()).keep(pinKey(block), pin)
  assert.deepEqual((await open()).keptKeys(), [pinKey(block)])
  assert.deepEqual([...(await open()).untold(pinKey)], [])
})

test('what is held takes the room that was reserved for it, whatever is said of its size later', async () => {
  const [table, roots] = [
    new MemoryTable(),
    { has: () => true, list: () => [], add: async () => {}, remove: async () => true },
  ]
  const open = () => Holdings.open({ table, roots }, { capacity: 100 })
  const pin: Pin = { cid, sizeBytes: 5, wishes: [], ended: [], holders: [] }
  const holdings = await open()
  const held = await holdings.reserve(pinKey(block), pin)
  await holdings.complete(held!)
  await holdings.heard(held!, { ...pin, sizeBytes: Number.MAX_SAFE_INTEGER })
  for (const each of [holdings, await open()]) assert.deepEqual([each.usedBytes, each.heldBytes], [5, 5])
})

test('a doubt about what is held outlives the process', async () => {
  const [table, roots] = [
    new MemoryTable(),
    { has: () => true, list: () => [], add: async () => {}, remove: async () => true },
  ]
  const open = () => Holdings.open({ table, roots }, { capacity: 100 })
  assert.equal((await open()).isDoubted, false)
  await (await open()).noteDoubt(true)
  assert.equal((await open()).isDoubted, true)
  await (await open()).noteDoubt(false)
  assert.equal((await open()).isDoubted, false)
})

test('the time of the cluster is that of its middle clock', () => {
  const clock = new VirtualClock()
  const time = new ClusterTime(clock)
  assert.equal(time.nowMs(), clock.nowMs())
  const dayMs = 24 * 3_600_000
  time.heard('B' as PeerId, clock.nowMs() + dayMs)
  assert.equal(time.nowMs(), clock.nowMs(), 'of two the earlier')
  clock.jumpWall(dayMs)
  time.heard('B' as PeerId, clock.nowMs() - dayMs)
  time.heard('C' as PeerId, clock.nowMs() - dayMs)
  assert.equal(time.nowMs(), clock.nowMs() - dayMs, 'its own clock is the one that is off')
  assert.equal(time.isHeard, true)
  clock.jumpWall(dayMs)
  assert.equal(time.isHeard, false, 'what was heard before it jumped says nothing')
  assert.equal(time.nowMs(), clock.nowMs())
})

test('a driver forgets a pin whose record has gone to others', () => {
  const presence = { counted: {}, seesMost: true }
  const driver = new DriverWorker({ presence } as DriverDeps, { recordCopies: 3 })
  const key = pinKey(block)
  const value = encodePin({ cid, sizeBytes: 5, wishes: [], ended: [], holders: [] })
  driver.follow({ key, siblings: [{ value }], context: 'one' })
  assert.equal(driver.get(key)?.pin.sizeBytes, 5)
  driver.follow({ key, siblings: [], context: 'none' })
  assert.equal(driver.get(key), undefined)
  // Of something that was asked before.
  driver.again(key)
  assert.equal(driver.status(), 'every pin that it looks after is held')
})

test('what did not fit into an answer is asked for again', async () => {
  const one = { pin: new Uint8Array(), enough: true, places: [], bytesPerSecond: 0, why: undefined }
  const keys = ['a', 'b', 'unknown', 'c', 'd', 'e', 'never heard of']
  let calls = 0
  const peersOf = (fits: number) => ({
    ask: async (_peer: PeerId, request: Request) => {
      calls++
      assert.ok(request.kind === 'tell')
      let room = fits
      return { told: request.keys.map((key) => (key.length === 1 && room-- > 0 ? one : undefined)) }
    },
  })
  const driver = { ownersOf: () => ['A'] as PeerId[] } as unknown as DriverWorker
  const presence = { seesPeer: () => true } as unknown as Presence
  for (const fits of [2, 9]) {
    const deps = { driver, presence, peers: peersOf(fits) as unknown as Peers, log: silentLog }
    assert.deepEqual([...(await askDrivers(deps, keys)).keys()], ['a', 'b', 'c', 'd', 'e'])
  }
  assert.ok(calls < 8)
})

test('a pin is not told to be held by enough while one of those that shall hold it is still to be named', () => {
  const { cid } = Block.of(codecs.raw, new Uint8Array(1))
  const wish = { id: 'w', by: 'B' as PeerId, copies: 2, elsewhere: false }
  const pin: Pin = { cid: cid.toString(), sizeBytes: 1, wishes: [wish], ended: [], holders: ['B' as PeerId] }
  const driven = newDriven('pin/one', { pin, context: '', isSplit: false })
  const plan = { target: ['A', 'B'] as PeerId[], toTrim: [], isHeld: true }
  const presence = { seesPeer: () => true, isDeaf: () => false, counted: {} } as unknown as Presence
  const enough = (toName: string[]) => {
    const driver = { get: () => driven, drives: () => true, plan: () => ({ ...plan, toName }), largestRoom: 1 }
    const parts = { driver: { ...driver, possibleFor: () => 2 } as unknown as DriverWorker, presence }
    return tellOf(parts, 'pin/one')?.enough
  }
  assert.equal(enough(['A']), false)
  assert.equal(enough([]), true)
})
