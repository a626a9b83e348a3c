// What probes carry: the least told first, each so many times, and no more doubts that a newer claim has answered.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import { type Entry, signClaim, signNotice } from '../../src/members/claim.ts'
import { Rumours } from '../../src/members/rumours.ts'
import { newPeerId } from '../twins/dht.ts'
import { twinSigner } from './signer.ts'

const random = seededRandom(3)
const [a, b, c] = [newPeerId(random), newPeerId(random), newPeerId(random)]
const claimOf = (incarnation: number, addresses: string[] = []): Entry =>
  signClaim(twinSigner(a), { peer: a, incarnation, state: 'joined', zone: 'home', capacity: 1, addresses })
const doubt = (peer: typeof a, incarnation: number, from: typeof a) =>
  ({ peer, incarnation, liveness: 'suspect', from }) as const

test('each is told a number of times that grows with the logarithm of the members', () => {
  for (const [members, times] of [
    [1, 1],
    [3, 2],
    [500, 9],
  ] as const) {
    const rumours = new Rumours()
    rumours.addEntry(claimOf(1))
    let told = 0
    while (rumours.pick(members).length > 0) told++
    assert.equal(told, times * limits.rumourRounds)
  }
})

test('a claim answers doubts of what was before it, and of nobody else; a notice answers all', () => {
  const rumours = new Rumours()
  rumours.addOpinion(doubt(a, 1, b))
  rumours.addOpinion(doubt(a, 2, c))
  rumours.addOpinion(doubt(b, 1, c))
  const claim = claimOf(2)
  rumours.addEntry(claim)
  assert.deepEqual(rumours.pick(100), [[a, 2, 'suspect', c], [b, 1, 'suspect', c], claim.bytes])
  const notice = signNotice(twinSigner(b), a)
  rumours.addEntry(notice)
  assert.deepEqual(rumours.pick(100), [notice.bytes, [b, 1, 'suspect', c]])
})

test('what is new goes first, and what does not fit waits or is not taken', () => {
  const rumours = new Rumours()
  rumours.addEntry(claimOf(1, ['x'.repeat(256), 'y'.repeat(256), 'z'.repeat(256), 'u'.repeat(256), 'v'.repeat(256)]))
  assert.deepEqual(rumours.pick(100), [])
  const peers = Array.from({ length: limits.rumoursMax + 40 }, () => newPeerId(random))
  for (const peer of peers) rumours.addOpinion(doubt(peer, 1, b))
  const seen = new Set<string>()
  for (let time = 0; time < 80; time++) {
    const picked = rumours.pick(100)
    assert.ok(picked.length > 3 && picked.length <= limits.rumourBytesMax / 100)
    for (const rumour of picked) seen.add(String(rumour[0]))
  }
  assert.equal(seen.size, limits.rumoursMax)
})
