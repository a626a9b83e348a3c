// What membership costs: the same for each member of a small cluster and of a middling one, once what joining made to be
// told has been told. Ends with how fast a lost machine is noticed there, and that nobody else is thought lost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startMember } from '../../src/sim/peer.ts'
import { simulateMembers } from '../../src/sim/traffic.ts'

test('bytes per member and second do not grow with the cluster', async () => {
  const { signal } = new AbortController()
  const points = await simulateMembers(startMember, { sizes: [5, 20, 70], seed: 1, signal, say: () => {} })
  const rates = points.map(({ bytesPerSecond }) => bytesPerSecond)
  assert.ok(Math.min(...rates) > 100, `${rates}`)
  assert.ok(Math.max(...rates) < 1.3 * Math.min(...rates), `${rates}`)
  assert.deepEqual(
    points.slice(0, 2).map(({ lines }) => lines),
    [4, 19],
  )
  assert.ok(points[2]!.lines < 55, `${points[2]!.lines} lines`)
  for (const { bytesPerSecondMost, falseAlarms, noticedByAllSeconds } of points) {
    assert.ok(bytesPerSecondMost < 1.5 * Math.min(...rates), `${bytesPerSecondMost}`)
    assert.equal(falseAlarms, 0)
    assert.ok(noticedByAllSeconds < 10, `${noticedByAllSeconds}`)
  }
})
