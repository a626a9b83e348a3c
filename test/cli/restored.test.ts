// A home that was brought back from a backup, while the others have what was written since. What it writes before it meets them
// again must stand beside that: nothing acknowledged may be lost, neither theirs nor its own.
import assert from 'node:assert/strict'
import { cp, rm } from 'node:fs/promises'
import { after, test } from 'node:test'
import { Program, type RunningPeer } from '../twins/program.ts'
import { until } from '../twins/until.ts'

const program = await Program.open()
after(() => program[Symbol.asyncDispose]())

test('what a restored home writes alone stands beside what was written before it was restored', async () => {
  let [anna, ben] = (await program.cluster(['anna', 'ben'])) as [RunningPeer, RunningPeer]
  const set = async (name: string, value: string) => {
    const { code, stderr } = await anna.run('name', 'set', name, value)
    assert.equal(code, 0, stderr)
  }
  await set('old', 'first')
  await anna.end('SIGTERM')
  const backup = program.path('backup')
  await cp(anna.home, backup, { recursive: true })
  anna = await program.again('anna', anna)
  await until('the other takes writes', async () => (await anna.run('name', 'set', 'a', 'a', '-w', '2')).code === 0)
  for (const name of ['old', 'b', 'c']) assert.equal((await anna.run('name', 'set', name, 'before', '-w', '2')).code, 0)
  await Promise.all([anna.end('SIGTERM'), ben.end('SIGTERM')])
  await rm(anna.home, { recursive: true })
  await cp(backup, anna.home, { recursive: true })
  anna = await program.again('anna', anna)
  for (const name of ['old', 'a', 'b', 'c']) await set(name, 'after')
  ben = await program.again('ben', ben)
  for (const peer of [anna, ben])
    for (const [name, expected] of Object.entries({
      old: 'after,before',
      a: 'a,after',
      b: 'after,before',
      c: 'after,before',
    })) {
      const shown = async () => {
        const { value, conflicts = [] } = (await peer.run('name', 'get', name)).lines[0] ?? {}
        return [value, ...(conflicts as string[])].toSorted().join()
      }
      await until(`both values of ${name} are seen`, async () => (await shown()) === expected)
    }
})
