// Pins as people ask for them: what replicas are told, what is refused before any work is done, and that no copy is let go of
// that others have not confirmed.
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import type { CID } from 'multiformats/cid'
import { Block, codecs } from '../../src/core/block.ts'
import type { Member } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { Organs } from '../../src/node/assemble.ts'
import { type Keeper, keep, keptOf, listPins, pinStatus, requireWish, settle, unkeep } from '../../src/node/pins.ts'
import { announced } from '../../src/node/roots.ts'
import { ReplicasError } from '../../src/replicas/errors.ts'
import type { Roots } from '../../src/replicas/words.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryBlocks } from '../twins/memory-blocks.ts'
import { FakeReplicas, place, pinStatus as statusOf } from './fake-replicas.ts'

const clock = new VirtualClock()
const block = Block.of(codecs.raw, new TextEncoder().encode('a leaf of 23 bytes, yes'))
const { cid } = block
const other = Block.of(codecs.raw, new TextEncoder().encode('b'.repeat(200))).cid

let replicas: FakeReplicas
let roots: Roots
const announcing: string[] = []

function memoryRoots(): Roots {
  const kept = new Map<string, CID>()
  const plain: Roots = {
    has: (cid) => kept.has(String(cid)),
    list: () => kept.values(),
    add: async (cid) => void kept.set(String(cid), cid),
    remove: async (cid) => kept.delete(String(cid)),
  }
  return announced(plain, {
    announce: async (cid) => void announcing.push(`+${cid}`),
    withdraw: async (cid) => void announcing.push(`-${cid}`),
  })
}

const member = (peer: string, more: Partial<Member> = {}) =>
  ({ peer, state: 'joined', liveness: 'alive', zone: 'attic', capacity: 1e9, ...more }) as Member

function keeper({ standing = 'member', others = 3 }: { standing?: string; others?: number } = {}): Keeper {
  const list = ['me', 'b', 'c', 'd'].slice(0, others + 1).map((peer) => member(peer))
  // Neither can hold anything.
  list.push(member('gone', { state: 'left' }), member('small', { capacity: 0 }))
  const members = {
    self: 'me' as PeerId,
    standing,
    members: () => list,
    status: () => 'forgotten',
  } as unknown as Organs['members']
  const blocks = new MemoryBlocks()
  void blocks.put(block)
  const store = Object.assign(blocks, { sizeOf: () => undefined }) as unknown as Keeper['store']
  return { store, clock, copies: 3, organs: { members, replicas, roots } }
}

beforeEach(() => {
  replicas = new FakeReplicas()
  roots = memoryRoots()
  announcing.length = 0
})

test('a member asks its cluster, with all that was wished and the size', async () => {
  const expiresMs = clock.nowMs() + 1_000
  const info = await keep(keeper(), cid, { copies: 2, expiresMs, offload: true }, {})
  assert.deepEqual(replicas.asked, [{ what: 'pin', copies: 2, sizeBytes: 23, expiresMs, elsewhere: true }])
  assert.deepEqual([info.cid, info.copies, info.held, info.size], [String(cid), 2, 0, 23])
  assert.deepEqual(keptOf(info), { copies: 2, held: 0 })
})

test('who is no member keeps it alone, and says no to wishes', async () => {
  for (const standing of ['none', 'forgotten']) {
    const alone = keeper({ standing })
    const info = await keep(alone, cid, {}, {})
    assert.deepEqual([info.copies, info.held, info.holders, info.state, info.why], [1, 1, ['me'], 'held', undefined])
    assert.deepEqual(keptOf(info), {})
    assert.throws(() => requireWish(alone, { copies: 1 }), { code: 'NO_MEMBER' })
  }
  assert.deepEqual(replicas.asked, [])
  assert.deepEqual(announcing, [`+${cid}`, `+${cid}`])
  assert.throws(() => requireWish({ ...keeper(), organs: undefined }, { offload: true }), { code: 'NO_PEER' })
})

test('wishes that cannot be are refused before any work', () => {
  const nowMs = clock.nowMs()
  for (const wish of [{ copies: 0 }, { copies: 17 }, { copies: 1.5 }, { wait: 0 }, { copies: 2, wait: 3 }, { wait: 4 }])
    assert.throws(() => requireWish(keeper(), wish), { code: 'COPIES_INVALID' }, JSON.stringify(wish))
  for (const expiresMs of [nowMs, 0, Number.NaN, Number.MAX_SAFE_INTEGER])
    assert.throws(() => requireWish(keeper(), { expiresMs }), { code: 'REQUEST_INVALID' }, String(expiresMs))
  requireWish(keeper(), { copies: 16, wait: 16, expiresMs: nowMs + 1, offload: true })
})

test('more copies than members are allowed, and told', async () => {
  const note = async (copies: number | undefined, others: number, offload = false) =>
    (await keep(keeper({ others }), cid, { copies, offload }, {})).note
  assert.equal(await note(3, 1), 'there are 2 members that can hold it; it gets a third copy when another joins')
  assert.equal(await note(5, 3), 'there are 4 members that can hold it; it gets a 5th copy when another joins')
  assert.equal(
    await note(2, 1, true),
    'there is 1 other member that can hold it; it gets a second copy when another joins',
  )
  assert.equal(await note(4, 3), undefined)
  assert.equal(await note(undefined, 0), undefined, 'the usual number means as many as there are')
  const tiny = keeper()
  for (const one of tiny.organs!.members.members() as Member[]) one.capacity = Math.min(one.capacity, 10)
  assert.match(
    (await keep(tiny, cid, {}, {})).note ?? '',
    /^only this machine keeps it: it has 23 B, and no member gives more than 10 B/,
  )
})

test('waiting is for as many as were asked for, and nothing is let go of', async () => {
  replicas.waits = [statusOf(cid, { places: [place('b'), place('me')] })]
  const info = await settle(keeper(), cid, { wait: 2 }, {})
  assert.deepEqual(info?.holders, ['b', 'me'])
  assert.deepEqual(replicas.asked, [{ what: 'wait', count: 2 }])
  assert.equal(await settle(keeper(), cid, {}, {}), undefined)
})

test('offload waits for all that are wanted of the others, and then lets go', async () => {
  replicas.waits = [statusOf(cid, { places: [place('b'), place('c')] })]
  await settle(keeper({ others: 2 }), cid, { offload: true }, {})
  assert.deepEqual(replicas.asked, [{ what: 'wait', count: 2 }, { what: 'let go' }], 'as many as there are others')
  replicas.asked.length = 0
  replicas.waits = [statusOf(cid, { places: [place('b'), place('c'), place('d')] })]
  await settle(keeper({ others: 3 }), cid, { offload: true, copies: 3, wait: 1 }, {})
  assert.deepEqual(
    replicas.asked,
    [{ what: 'wait', count: 3 }, { what: 'let go' }],
    'a number that was asked for holds',
  )
})

test('a copy of our own is none that lets us let go', async () => {
  const last = statusOf(cid, { places: [place('b'), place('c')] })
  // A figure is not believed against the places.
  const fetching = statusOf(cid, { held: 2, places: [place('b'), place('c', 'fetching')] })
  replicas.waits = [statusOf(cid, { places: [place('b'), place('me')] }), fetching, last]
  const settling = settle(keeper(), cid, { offload: true, copies: 2 }, {})
  await clock.until(settling)
  const waited = Array.from({ length: 3 }, () => ({ what: 'wait', count: 2 }))
  assert.deepEqual(replicas.asked, [...waited, { what: 'let go' }])
})

test('a copy goes only when the others prove that they have it; whoever waits is told which content it is', async () => {
  replicas.waits = [statusOf(cid, { places: [place('b'), place('c')] })]
  replicas.lettingGo = [false]
  const notes: (string | undefined)[] = []
  const onProgress = ({ note }: { note?: string | undefined }) => notes.push(note)
  await clock.until(settle(keeper(), cid, { offload: true, copies: 2 }, { onProgress }))
  const tried = [{ what: 'wait', count: 2 }, { what: 'let go' }]
  assert.deepEqual(replicas.asked, [...tried, ...tried])
  assert.equal(notes[0], `${cid}: 0 of 2 copies`)
})

test('what others cannot hold stays here, and the error says which it is', async () => {
  replicas.waits = [new ReplicasError('COPIES_UNAVAILABLE', 'nobody has room')]
  const expected = { code: 'COPIES_UNAVAILABLE', message: new RegExp(`${cid} stays here: nobody has room`) }
  await assert.rejects(settle(keeper(), cid, { offload: true }, {}), expected)
  const tooMany = settle(keeper({ others: 2 }), cid, { offload: true, copies: 3 }, {})
  await assert.rejects(tooMany, { code: 'COPIES_UNAVAILABLE', message: /3 others shall hold it, and there are 2$/ })
  assert.deepEqual(replicas.asked, [{ what: 'wait', count: 3 }])
})

test('all pins of the cluster are listed, and what is kept here alone', async () => {
  const places = [place('b'), place('c', 'full', { why: 'no room' })]
  const status = statusOf(cid, { places, why: 'waiting for room', state: 'waiting', expiresMs: 0, bytesToGo: 7 })
  replicas.pins.set(String(cid), status)
  await roots.add(cid)
  await roots.add(other)
  const [first, second, ...more] = await Array.fromAsync(listPins(keeper(), {}))
  assert.deepEqual(first, {
    cid: String(cid),
    copies: 3,
    held: 1,
    holders: ['b'],
    state: 'waiting',
    why: 'waiting for room',
    size: 100,
    places: [
      { peerId: 'b', zone: 'attic', state: 'held', bytes: 100 },
      { peerId: 'c', zone: 'attic', state: 'full', bytes: 0, why: 'no room' },
    ],
    bytesToGo: 7,
    bytesPerSecond: 0,
    expires: '1970-01-01T00:00:00.000Z',
  })
  assert.deepEqual([second?.cid, second?.copies, second?.state], [String(other), 1, 'incomplete'])
  assert.match(second?.why ?? '', /on this peer alone/)
  assert.deepEqual(more, [])
})

test('one pin is told by the cluster, else by this peer, else not', async () => {
  replicas.pins.set(String(cid), statusOf(cid))
  await roots.add(other)
  assert.equal((await pinStatus(keeper(), cid, {})).copies, 3)
  assert.equal((await pinStatus(keeper(), other, {})).copies, 1)
  await unkeep(keeper(), other, {})
  await assert.rejects(pinStatus(keeper(), other, {}), { code: 'NOT_PINNED' })
})

test('unpinning is of the whole cluster and of this peer', async () => {
  replicas.pins.set(String(cid), statusOf(cid))
  await roots.add(cid)
  assert.equal((await unkeep(keeper(), cid, {})).copies, 0)
  assert.deepEqual([replicas.pins.size, roots.has(cid)], [0, true], 'replicas let go of the root when they may')
  await unkeep(keeper(), cid, {})
  assert.deepEqual(announcing, [`+${cid}`, `-${cid}`])
  await assert.rejects(unkeep(keeper(), cid, {}), { code: 'NOT_PINNED' })
})

test('an end that no calendar knows breaks no list', async () => {
  replicas.pins.set(String(cid), statusOf(cid, { expiresMs: Number.MAX_SAFE_INTEGER }))
  const infos = await Array.fromAsync(listPins(keeper(), {}))
  assert.deepEqual(
    infos.map(({ expires }) => expires),
    ['+275760-09-13T00:00:00.000Z'],
  )
})
