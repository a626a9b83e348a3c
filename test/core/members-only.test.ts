// The guarded network: members are served, those who prove themselves a little later too, and others never.
import assert from 'node:assert/strict'
import test from 'node:test'
import { membersOnly } from '../../src/core/members-only.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryNetwork } from '../twins/memory-network.ts'

async function served({ isMember = true } = {}) {
  const clock = new VirtualClock()
  const peers = new Map<PeerId, MemoryNetwork>()
  const [here, there] = [new MemoryNetwork(peers, 'here'), new MemoryNetwork(peers, 'there')]
  const proven = new Set<PeerId>()
  const membership = { proven: (peer: PeerId) => proven.has(peer) }
  const admission = { proof: () => (isMember ? Uint8Array.of(1) : undefined) }
  const guarded = membersOnly(there, { membership, admission, clock })
  await guarded.handle('/test', { streamsMax: 1 }, (channel) => channel.write([Uint8Array.of(7)]))
  const ask = async () => (await (await here.open(there.self, ['/test'])).read())?.[0]
  return { clock, proven, self: here.self, ask }
}

test('a member is answered at once, and one who proves it in time is answered then', async () => {
  const { clock, proven, self, ask } = await served()
  const early = ask()
  await clock.advance(times.proofMs / 2)
  proven.add(self)
  assert.deepEqual(await clock.until(early), Uint8Array.of(7))
  assert.deepEqual(await ask(), Uint8Array.of(7))
  assert.equal(clock.pendingTimers, 0)
})

test('who proves nothing is dropped, and hears nothing', async () => {
  const { clock, ask } = await served()
  await assert.rejects(clock.until(ask()), { code: 'STREAM_BROKEN' })
  assert.equal(clock.monotonicMs(), times.proofMs)
})

test('a machine that is no member does not speak it, and nobody waits for it', async () => {
  const { clock, ask } = await served({ isMember: false })
  await assert.rejects(ask(), /cannot be reached/)
  assert.equal(clock.monotonicMs(), 0)
})
