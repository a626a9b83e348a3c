// Leaving with content, how much each member holds, and previews: what a member does for its cluster beyond records.
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import type { Member } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { Progress } from '../../src/core/progress.ts'
import type { Organs } from '../../src/node/assemble.ts'
import { leaveCluster, memberInfos } from '../../src/node/membership.ts'
import { previewChange } from '../../src/node/preview.ts'
import { VirtualClock } from '../twins/clock.ts'
import { FakeReplicas } from './fake-replicas.ts'

type Cluster = Pick<Organs, 'members' | 'records' | 'replicas'>

let clock: VirtualClock
let replicas: FakeReplicas
let told: string[]
beforeEach(() => {
  clock = new VirtualClock()
  replicas = new FakeReplicas()
  told = []
})

const member = (peer: string, more: Partial<Member> = {}) =>
  ({ peer, state: 'joined', liveness: 'alive', zone: 'attic', capacity: 1e9, addresses: [], ...more }) as Member

function cluster(others: Member[], partitions = { left: 0, keys: 0 }): Cluster {
  const all = [member('12D3me'), ...others]
  const joined = all.filter(({ state }) => state === 'joined')
  const members = {
    self: '12D3me',
    members: () => all,
    view: () => ({ epoch: 'e', members: joined }),
    beginLeave: async () => void told.push('begin'),
    finishLeave: async () => void told.push('finish'),
  }
  const records = {
    drained: () => partitions.left === 0,
    status: () => ({ partitionsToHandOver: partitions.left, keys: partitions.keys }),
  }
  return { members, records, replicas } as unknown as Cluster
}

test('leaving waits until others hold the content too, and shows what is left', async () => {
  Object.assign(replicas, { isDrained: false, toHandOver: 5_000, pinsHeld: 1 })
  const partitions = { left: 10, keys: 1 }
  const progress: Progress[] = []
  const leaving = leaveCluster(cluster([member('12D3b')], partitions), clock, {
    onProgress: (one) => progress.push(one),
  })
  await clock.advance(1)
  assert.deepEqual(progress.at(-1), {
    phase: 'handing off',
    done: 0,
    total: 10,
    unit: 'partitions',
    note: 'and 4.9 KiB of content',
  })
  partitions.left = 0
  replicas.toHandOver = 2_000
  await clock.advance(1_000)
  const { phase, done, total, unit } = progress.at(-1) ?? {}
  assert.deepEqual({ phase, done, total, unit }, { phase: 'copying', done: 3_000, total: 5_000, unit: 'bytes' })
  assert.deepEqual(told, ['begin'])
  replicas.isDrained = true
  await clock.until(leaving)
  assert.deepEqual(told, ['begin', 'finish'])
})

test('who holds content alone does not leave it behind', async () => {
  const full = member('12D3b', { capacity: 0 })
  await leaveCluster(cluster([full]), clock, {})
  replicas.pinsHeld = 1
  await assert.rejects(leaveCluster(cluster([full]), clock, {}), { code: 'NO_HEIR' })
  await assert.rejects(leaveCluster(cluster([member('12D3b', { liveness: 'dead' })]), clock, {}), { code: 'NO_HEIR' })
  await leaveCluster(cluster([member('12D3b')]), clock, {})
})

test('each member is asked how much it holds; who is silent costs a second, all together', async () => {
  const asked: string[] = []
  replicas.used = (peer) => {
    asked.push(peer)
    if (peer === '12D3me') return Promise.resolve(7)
    if (peer === '12D3b') return Promise.reject(new Error('no'))
    return new Promise(() => {})
  }
  const others = [
    member('12D3b'),
    member('12D3c'),
    member('12D3d'),
    member('12D3e', { liveness: 'dead' }),
    member('12D3f', { state: 'left' }),
  ]
  const infos = await clock.until(memberInfos(cluster(others), clock, {}), 1_000)
  assert.deepEqual(
    infos.map(({ used }) => used),
    [7, null, null, null, null, null],
  )
  assert.deepEqual(asked, ['12D3me', '12D3b', '12D3c', '12D3d'], 'whoever is away is not asked')
  assert.equal(clock.pendingTimers, 0)
  await assert.rejects(
    memberInfos(cluster(others), clock, { signal: AbortSignal.abort(new Error('enough')) }),
    /enough/,
  )
})

test('a change is previewed as people write it', async () => {
  const organs = cluster([member('12D3KooWabcdef')])
  const self = '12D3me' as PeerId
  const figures = { pins: 2, bytes: 300, byPeer: { b: 300 }, short: 1, unreached: [] }
  assert.deepEqual(await previewChange(organs, 'leave', {}), { change: 'leave', peerId: self, ...figures })
  const forgotten = await previewChange(organs, 'forget=abcdef', {})
  assert.deepEqual(forgotten, { change: 'forget', peerId: '12D3KooWabcdef', ...figures })
  const moved = await previewChange(organs, 'zone=the cellar', {})
  assert.deepEqual(moved, { change: 'zone', peerId: self, zone: 'the cellar', ...figures })
  assert.deepEqual(replicas.asked, [
    { what: 'preview', kind: 'leave', peer: self },
    { what: 'preview', kind: 'forget', peer: '12D3KooWabcdef' },
    { what: 'preview', kind: 'zone', peer: self, zone: 'the cellar' },
  ])
  for (const asked of ['', 'stay', 'leave=x', 'forget', 'forget=nobody', 'forget=f'])
    await assert.rejects(previewChange(organs, asked, {}), { code: 'REQUEST_INVALID' }, asked)
  for (const asked of ['zone', 'zone=', 'zone=\n', `zone=${'x'.repeat(65)}`])
    await assert.rejects(previewChange(organs, asked, {}), { code: 'CONFIG_INVALID' }, asked)
})
