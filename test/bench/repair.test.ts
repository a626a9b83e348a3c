// `bench repair` with very little to copy: that its five processes meet, lose two, and repair; that what is shown adds up; and
// that it says so when there was nothing to measure. How fast anything is, is not asked here.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PlanningAnswer, PlanningCommand } from '../../src/bench/planning-role.ts'
import { benchRepair } from '../../src/bench/repair.ts'
import { Role } from '../../src/bench/role.ts'

test('what a killed member held is copied once, and seen to be', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'potluck-bench-test-'))
  try {
    const { figures } = await benchRepair({
      directory,
      runs: 1,
      files: 1,
      sizeBytes: 50_000,
      pins: 12,
      pinnedBytes: 6e6,
      budget: 20_000,
      plannedPins: 20,
      signal: AbortSignal.timeout(120_000),
      say: () => {},
    })
    const values = (what: RegExp) => figures.find((figure) => what.test(figure.what))
    const copied = values(/^copied/)
    assert.ok(copied!.values[0]! > 0)
    // Nodes of the DAGs come on top of the bytes, and a fetch may ask twice for a block.
    assert.ok(copied!.values[0]! >= copied!.ceiling!.values[0]!)
    assert.ok(copied!.values[0]! < 1.5 * copied!.ceiling!.values[0]!)
    for (const { what, values, ceiling } of figures) {
      assert.ok(values.length > 0 && values.every(Number.isFinite), what)
      if (ceiling) assert.equal(values.length, ceiling.values.length, what)
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('a planner moves the part of the member that went, and little else', async () => {
  using planner = new Role<PlanningCommand, PlanningAnswer>('planning-role', AbortSignal.timeout(60_000))
  const { moves, heapBytes, planSeconds, roundSeconds } = await planner.ask({ pins: 600, members: 6 })
  // Each member holds half of all.
  assert.ok(moves > 200 && moves < 450, `${moves} moves`)
  assert.ok(heapBytes > 0 && planSeconds > 0 && roundSeconds > 0)
})
