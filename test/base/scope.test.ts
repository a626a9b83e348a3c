// A scope closes what it owns: in reverse order, once, and all of it even if something fails.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Scope } from '../../src/base/scope.ts'

test('closes in reverse order, once, and waits for each', async () => {
  const closed: string[] = []
  const scope = new Scope()
  for (const name of ['first', 'second', 'third']) {
    scope.defer(async () => {
      await Promise.resolve()
      closed.push(name)
    })
  }
  await Promise.all([scope.close(), scope.close()])
  await scope.close()
  assert.deepEqual(closed, ['third', 'second', 'first'])
})

test('a failing step does not keep the others from closing; the first failure is thrown', async () => {
  const closed: string[] = []
  const scope = new Scope()
  scope.defer(() => closed.push('last'))
  scope.defer(() => {
    throw new Error('second failure')
  })
  scope.defer(async () => {
    throw new Error('first failure')
  })
  await assert.rejects(scope.close(), /first failure/)
  assert.deepEqual(closed, ['last'])
})

test('uses what can be disposed, synchronously or not', async () => {
  const closed: string[] = []
  {
    await using scope = new Scope()
    const handle = { [Symbol.dispose]: () => void closed.push('handle') }
    assert.equal(scope.use(handle), handle)
    scope.use({ [Symbol.asyncDispose]: async () => void closed.push('stream') })
  }
  assert.deepEqual(closed, ['stream', 'handle'])
})

test('an opener that succeeds hands over, one that fails closes', async () => {
  const closed: string[] = []
  const open = async (fails: boolean) => {
    await using scope = new Scope()
    scope.defer(() => closed.push('resource'))
    if (fails) throw new Error('cannot open')
    return scope.move()
  }
  await assert.rejects(open(true), /cannot open/)
  assert.deepEqual(closed, ['resource'])
  const opened = await open(false)
  assert.equal(closed.length, 1)
  await opened.close()
  assert.equal(closed.length, 2)
})
