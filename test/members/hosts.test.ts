// Members over real connections of this machine: that the ports of the host do what the organ needs of them. How members
// behave is tested in simulated clusters; here they only meet, agree, and let one of another cluster stay outside.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Scope } from '../../src/base/scope.ts'
import { WorkerLoop } from '../../src/base/worker.ts'
import { openCalls } from '../../src/core/calls.ts'
import { type Members, openMembers } from '../../src/members/members.ts'
import type { Host } from '../../src/net/host.ts'
import { addressOf, testHost } from '../net/hosts.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'

async function memberOn(host: Host, zone: string, scope: Scope): Promise<Members> {
  const deps = { ...host, clock: systemClock, random: systemRandom, log: silentLog, table: new MemoryTable() }
  const members = scope.use(
    await openMembers({ ...deps, openCalls: (options) => openCalls(deps, options) }, { zone, capacity: 1_000 }),
  )
  for (const worker of members.workers) {
    const loop = new WorkerLoop({ ...deps, worker })
    loop.start()
    scope.defer(() => loop.stop())
  }
  return members
}

test('hosts of one cluster become members of each other, and one that leaves is gone', async () => {
  await using scope = new Scope()
  const first = scope.use(await testHost())
  const others = [1, 2].map(async () => scope.use(await testHost({ bootstrap: [addressOf(first)] })))
  const hosts = [first, ...(await Promise.all(others))]
  const members = await Promise.all(hosts.map((host, index) => memberOn(host, `zone ${index}`, scope)))
  const seen = (count: number) => members.every((one) => one.view().members.length === count)
  await until('all are in the view of all', () => seen(3))
  assert.equal(new Set(members.map((one) => one.view().epoch)).size, 1)
  const met = () => members.every((a) => members.every((b) => a === b || a.proven(b.self)))
  await until('all have proven themselves', met)
  const [, leaver] = members
  await leaver!.beginLeave()
  await until('it is out of all views', () => seen(2))
  await leaver!.finishLeave()
  await until('all know that it left', () => members.every((one) => one.member(leaver!.self)?.state === 'left'))
})
