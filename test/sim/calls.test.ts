// Requests between peers over the simulated network: the real client and server, in trouble. Every request ends, and what
// was answered was asked.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import { openCalls } from '../../src/core/calls.ts'
import type { Calls } from '../../src/core/ports.ts'
import { Cluster, type MachinePorts } from '../../src/sim/cluster.ts'

interface Caller extends AsyncDisposable {
  calls: Calls
}

const start = async (ports: MachinePorts): Promise<Caller> => {
  const { network, clock, log, invitedBy } = ports
  const answer = async (request: Uint8Array) => Buffer.concat([Buffer.from('re '), request])
  const calls = await openCalls({ network, clock, log }, { protocol: '/ask/1', answer })
  for (const address of invitedBy) void network.connect(address).catch(() => {})
  return { calls, [Symbol.asyncDispose]: () => calls[Symbol.asyncDispose]() }
}

test('every request ends while its peer crashes, sleeps and is cut off', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = new Cluster<Caller>({ start, log: () => silentLog }, { seed, zones: 2, loss: 0.02 })
    const { time } = cluster
    const a = cluster.add()
    await cluster.startAll([a])
    const b = cluster.add()
    await cluster.startAll([b])
    await time.run(1_000)
    const outcomes: string[] = []
    let asked = 0
    const ask = () => {
      const name = `${asked++}`
      void a.run!.program!.calls.call(b.peer, Buffer.from(name)).then(
        (got) => outcomes.push(Buffer.from(got).toString() === `re ${name}` ? 'answered' : 'wrong'),
        (error: unknown) => outcomes.push(codeOf(error) ?? String(error)),
      )
    }
    const trouble = [
      () => cluster.crash(b, { power: seed % 2 === 0 }),
      () => void cluster.start(b),
      () => cluster.sleep(b),
      () => cluster.wake(b),
      () => cluster.partition([b], { oneWay: seed % 3 === 0 }),
      () => cluster.healAll(),
      () => void cluster.stop(b),
      () => void cluster.start(b),
    ]
    for (const strike of [...trouble, () => {}]) {
      for (let index = 0; index < 40; index++) {
        ask()
        await time.run(cluster.random.unit() * 400)
      }
      strike()
    }
    await time.run(120_000)
    assert.equal(outcomes.length, asked)
    const answered = outcomes.filter((outcome) => outcome === 'answered').length
    assert.ok(answered > asked / 4 && answered < asked, `${answered} of ${asked}`)
    const known = ['answered', 'DIAL_FAILED', 'STREAM_BROKEN', 'TIMED_OUT']
    assert.deepEqual(
      outcomes.filter((outcome) => !known.includes(outcome)),
      [],
    )
    ask()
    await time.run(20_000)
    assert.equal(outcomes.at(-1), 'answered', `seed ${seed}`)
  }
})
