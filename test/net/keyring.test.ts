// The keys that connect now: in order, and gone when their time is over.
import assert from 'node:assert/strict'
import test from 'node:test'
import type { ConnectionEncrypter } from '@libp2p/interface'
import type { NoiseComponents } from '@libp2p/noise'
import { seededRandom } from '../../src/base/random.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { securityProtocol } from '../../src/net/admission.ts'
import { Keyring } from '../../src/net/keyring.ts'
import { keysOf, rotated, secretsOf } from '../../src/net/secrets.ts'
import { VirtualClock } from '../twins/clock.ts'

const [ann, ben, cleo] = ['ann', 'ben', 'cleo'] as [PeerId, PeerId, PeerId]
const secret = (fill: number) => new Uint8Array(32).fill(fill)
const nameOf = (fill: number) => securityProtocol(keysOf({ kind: 'member', bytes: secret(fill) }).keyId)
const first = secretsOf({ kind: 'member', bytes: secret(1) })

function keyring(self: PeerId, clock: VirtualClock) {
  const encrypters = new Map<string, ConnectionEncrypter>()
  const ring = new Keyring({ clock, random: seededRandom(1) }, { self, secrets: first, bootstrap: [] })
  ring.attach({
    logger: { forComponent: () => ({}) },
    upgrader: { getConnectionEncrypters: () => encrypters },
  } as unknown as NoiseComponents)
  ring.apply()
  return { ring, names: () => [...encrypters.keys()] }
}

test('the newest secret is asked for first, and an old one goes when its time is over', async () => {
  const clock = new VirtualClock()
  const { ring, names } = keyring(ann, clock)
  assert.deepEqual(names(), [nameOf(1)])
  const common = { by: ann, members: [ann, ben], excluded: [], startedMs: clock.nowMs() }
  const second = rotated(first, { ...common, generation: 1, secret: secret(2) }, secret(0), clock.nowMs())
  ring.change(second)
  assert.deepEqual(names(), [nameOf(2), nameOf(1)])
  await clock.advance(times.rotationOverlapMs - 1)
  assert.equal(names().length, 2)
  await clock.advance(1)
  assert.deepEqual(names(), [nameOf(2)])
  assert.equal(clock.pendingTimers, 0)
})

test('proofs and broadcasts work between the old secret and the new, for members of then alone', () => {
  const clock = new VirtualClock()
  const rings = new Map([ann, ben, cleo].map((peer) => [peer, keyring(peer, clock).ring]))
  const [a, b, c] = [rings.get(ann)!, rings.get(ben)!, rings.get(cleo)!]
  const rotation = { by: ann, members: [ann, ben], excluded: [], startedMs: clock.nowMs(), generation: 1 }
  a.change(rotated(first, { ...rotation, secret: secret(2) }, secret(0), clock.nowMs()))
  const word = Uint8Array.of(1, 2, 3)
  assert.ok(b.proves(ann, a.proof()!) && a.proves(ben, b.proof()!))
  assert.ok(!a.proves(cleo, c.proof()!))
  assert.ok(!a.proves(ben, c.proof()!), 'a proof is for one peer')
  assert.deepEqual(a.unseal('t', ben, b.seal('t', word)), word)
  assert.equal(a.unseal('t', cleo, c.seal('t', word)), undefined)
  assert.equal(b.unseal('t', ann, a.seal('t', word)), undefined, 'who has not the new secret misses it')
  for (const bad of [new Uint8Array(0), new Uint8Array(31), new Uint8Array(32), new Uint8Array(32 * 100)])
    assert.ok(!a.proves(ben, bad))
  for (const ring of rings.values()) ring.close()
})

test('what opens the index of a hub goes with the network key, and an old one as long as its secret connects', async () => {
  const clock = new VirtualClock()
  const { ring } = keyring(ann, clock)
  const hub = new Keyring(
    { clock, random: seededRandom(3) },
    { self: ben, secrets: secretsOf({ kind: 'hub', bytes: keysOf(first.current).networkKey }), bootstrap: [] },
  )
  const [token] = ring.hubTokens()
  assert.deepEqual(hub.hubTokens(), [token])
  assert.match(String(token), /^[\w-]{43}$/)
  const common = { by: ann, members: [ann, ben], excluded: [], startedMs: clock.nowMs() }
  ring.change(rotated(first, { ...common, generation: 1, secret: secret(2) }, secret(0), clock.nowMs()))
  const [next, old] = ring.hubTokens()
  assert.ok(next !== token && old === token)
  await clock.advance(times.rotationOverlapMs)
  assert.deepEqual(ring.hubTokens(), [next])
  ring.close()
})
