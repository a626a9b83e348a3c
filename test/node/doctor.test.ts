// What doctor says: each check on facts that are well and on facts that are not, with what to do about it; and the whole
// list, with and without a running peer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerId } from '../../src/core/peer.ts'
import { diagnose, type Facts, type OnlineFacts } from '../../src/node/doctor.ts'

const member = (name: string, liveness: 'alive' | 'dead') => ({
  peer: name as PeerId,
  state: 'joined' as const,
  liveness,
  zone: 'cellar',
})

const online: OnlineFacts = {
  reach: { kind: 'direct', addresses: [], relays: [], mapped: false, why: 'others reach this peer directly' },
  clocksAheadMs: [-20, 5, 3_000],
  members: [member('self', 'alive'), member('ben', 'alive')],
  self: 'self',
  membership: 'this peer is a member of its cluster; 1 of 1 other members are alive',
  connections: 1,
  unreached: [],
  replicas: { pins: 3, heldBytes: 1e9, reservedBytes: 0, capacity: 10e9, driven: 2, underReplicated: 0 },
  workers: [{ name: 'scrub', status: 'sleeping', errors: 0 }],
  rotten: 0,
}

const facts: Facts = {
  home: '/home/anna/.potluck',
  disk: { freeBytes: 50e9, totalBytes: 100e9 },
  storeBytes: 1e9,
  capacity: 10e9,
  online,
}

function ills(changed: Partial<Facts>): string[] {
  return diagnose({ ...facts, ...changed })
    .filter(({ ok }) => !ok)
    .map(({ check, message, mend }) => `${check}: ${message} / ${mend}`)
}

const sick = (changed: Partial<OnlineFacts>) => ills({ online: { ...online, ...changed } })

test('a peer that is well has nothing to mend, and every check says something', () => {
  const results = diagnose(facts)
  assert.deepEqual(
    results.filter(({ ok }) => !ok),
    [],
  )
  assert.equal(results.length, 9)
  for (const { check, message, mend } of results) {
    assert.ok(message.length > 10, check)
    assert.equal(mend, undefined)
  }
})

const cases: [what: string, ills: () => string[], expected: RegExp][] = [
  [
    'nobody reaches it',
    () => sick({ reach: { ...online.reach, kind: 'unreachable', why: 'it is behind a NAT. Start a hub' } }),
    /^reachability: it is behind a NAT \/ Start a hub$/,
  ],
  [
    'the bootstrap peer is gone and nobody else is there',
    () => sick({ connections: 0, unreached: ['/ip4/10.0.0.1/tcp/4101', '/ip4/10.0.0.2/tcp/4101'] }),
    /^bootstrap: \/ip4\/10\.0\.0\.1\/tcp\/4101 and 1 more does not answer \/ is that machine on/,
  ],
  ['the clock is late', () => sick({ clocksAheadMs: [3_600_000, 3_600_100, 0] }), /^clock: .*1 h.*behind.*NTP/],
  ['the clock is early', () => sick({ clocksAheadMs: [-90_000] }), /^clock: .*ahead of/],
  [
    'a member is dead',
    () => sick({ members: [...online.members, member('cleo', 'dead')] }),
    /^members: 1 of 2 other members is not there: cleo \(cellar\) .*potluck forget/,
  ],
  [
    'copies are missing',
    () => sick({ replicas: { ...online.replicas!, underReplicated: 1 } }),
    /^copies: 1 of the 2 pins .*fewer copies/,
  ],
  ['the disk is full', () => ills({ disk: { freeBytes: 1e9, totalBytes: 1e12 }, capacity: 1.5e9 }), /^disk: only .*gc/],
  ['it promises too much', () => ills({ capacity: 500e9 }), /^capacity: .*promises .*config capacity/],
  [
    'it has given all',
    () => sick({ replicas: { ...online.replicas!, heldBytes: 9.5e9 } }),
    /^capacity: .*are taken \/ give more/,
  ],
  ['blocks rotted', () => sick({ rotten: 2 }), /^store: 2 blocks were found damaged .*verify/],
  [
    'background work fails',
    () => sick({ workers: [{ name: 'scrub', status: '', errors: 3, lastError: 'the disk is gone' }] }),
    /^background work: scrub \(failed 3 times\); the last reason: the disk is gone/,
  ],
  ['no peer runs', () => ills({ online: undefined }), /^running: no peer is running .*potluck start/],
]

for (const [what, found, expected] of cases)
  test(`${what}: it says so, alone, and how to mend it`, () => {
    const [first, ...more] = found()
    assert.match(first ?? '', expected)
    assert.deepEqual(more, [])
  })

test('one bootstrap peer that is gone is no trouble while others are connected', () => {
  assert.deepEqual(sick({ unreached: ['/ip4/10.0.0.1/tcp/4101'] }), [])
})
