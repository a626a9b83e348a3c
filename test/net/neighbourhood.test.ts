// Looking up one's own place in the DHT: once somebody is known, again a while later, and anew after nobody was.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '../../src/core/limits.ts'
import { Neighbourhood } from '../../src/net/neighbourhood.ts'
import { VirtualClock } from '../twins/clock.ts'

test('the neighbourhood is looked up when it can be, so many times, and anew when all were lost', async () => {
  let size = 0
  let lookups = 0
  const closest = async () => {
    lookups++
    return []
  }
  const worker = new Neighbourhood({
    dht: { size: () => size, closest },
    self: Uint8Array.of(1),
    clock: new VirtualClock(),
  })
  const steps = async (count: number) => {
    for (let step = 0; step < count; step++) await worker.step(new AbortController().signal)
    return lookups
  }
  assert.equal(await steps(3), 0)
  size = 1
  assert.equal(await steps(1), 1)
  assert.equal(await steps(5), limits.neighbourLookups)
  size = 0
  assert.equal(await steps(1), limits.neighbourLookups)
  size = 4
  assert.equal(await steps(5), 2 * limits.neighbourLookups)
})
