// The disk twin: what a crash takes and what it must not take.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from '../../src/base/errors.ts'
import { seededRandom } from '../../src/base/random.ts'
import { PeerClock, SimulatedTime } from '../../src/sim/clock.ts'
import { SimulatedDisk } from '../../src/sim/disk.ts'

const put = (key: string) => [{ put: key, value: Buffer.from(key) }]

function machine(seed = 1) {
  const time = new SimulatedTime()
  const disk = new SimulatedDisk(seededRandom(seed))
  const boot = () => {
    const clock = new PeerClock(time)
    return { clock, table: disk.mount(clock).table('t') }
  }
  return { time, disk, boot }
}

test('what was acknowledged survives a crash, and only whole writes do, oldest first', async () => {
  let partly = 0
  for (let seed = 1; seed <= 40; seed++) {
    const { time, disk, boot } = machine(seed)
    const { table, clock } = boot()
    const acknowledged: number[] = []
    for (let index = 0; index < 20; index++) {
      const both = [...put(`${index}`.padStart(2, '0')), ...put(`${index}`.padStart(2, '0').concat('b'))]
      void table.write(both).then(() => acknowledged.push(index))
      await time.run(seed % 5)
    }
    clock.stop()
    disk.crash()
    const after = boot().table
    const kept = [...after.range({})].map(([key]) => key)
    assert.equal(kept.length % 2, 0, 'all or nothing')
    assert.deepEqual(
      kept,
      Array.from({ length: kept.length / 2 }, (_, i) => `${i}`.padStart(2, '0')).flatMap((k) => [k, `${k}b`]),
    )
    assert.ok(kept.length / 2 >= acknowledged.length)
    if (kept.length / 2 > acknowledged.length) partly++
  }
  assert.ok(partly > 0, 'some crashes come between disk and acknowledgement')
})

test('a lying disk acknowledges what a crash takes', async () => {
  let lost = 0
  for (let seed = 1; seed <= 20; seed++) {
    const { time, disk, boot } = machine(seed)
    const { table } = boot()
    disk.faults.acknowledgesEarly = true
    disk.faults.slowness = 100
    await time.until(table.write(put('a')), 100)
    disk.crash()
    if (!boot().table.get('a')) lost++
  }
  assert.ok(lost > 0)
})

test('a full disk refuses and changes nothing; a slow one takes its time', async () => {
  const { time, disk, boot } = machine()
  const { table } = boot()
  disk.faults.isFull = true
  assert.equal(
    codeOf(
      await time.until(
        table.write(put('a')).catch((error: unknown) => error),
        1_000,
      ),
    ),
    'STORE_FULL',
  )
  assert.equal(table.get('a'), undefined)
  disk.faults.isFull = false
  disk.faults.slowness = 500
  const startMs = time.nowMs
  await time.until(table.write(put('a')), 10_000)
  assert.ok(time.nowMs - startMs > 500)
  disk.wipe()
  assert.equal(boot().table.get('a'), undefined)
})

test('ranges are in order and see every committed change', async () => {
  const { time, boot } = machine()
  const { table } = boot()
  await time.until(table.write([...put('b'), ...put('a'), ...put('c'), ...put('d')]), 1_000)
  const keys = (bounds: { from?: string; to?: string; limit?: number }) => [...table.range(bounds)].map(([key]) => key)
  assert.deepEqual(keys({ from: 'b', to: 'd' }), ['b', 'c'])
  await time.until(table.write([{ delete: 'b' }, ...put('bb')]), 1_000)
  assert.deepEqual(keys({ limit: 3 }), ['a', 'bb', 'c'])
})
