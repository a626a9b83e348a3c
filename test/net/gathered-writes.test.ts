// What is written in one go leaves in one write, in order, and what is written later does not wait for anything.
import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import type { MultiaddrConnection } from '@libp2p/interface'
import { gatherWrites } from '../../src/net/gathered-writes.ts'

test('what is written in one go leaves together', async () => {
  const left: string[] = []
  const socket = new Writable({
    write: (piece, _, done) => done(void left.push(String(piece))),
    writev: (pieces, done) => done(void left.push(pieces.map(({ chunk }) => String(chunk)).join('+'))),
  })
  const sendData = (data: Iterable<string>) => {
    for (const piece of data) socket.write(piece)
  }
  const connection = { socket, sendData }
  gatherWrites(connection as unknown as MultiaddrConnection)
  connection.sendData(['a', 'b'])
  connection.sendData(['c'])
  assert.deepEqual(left, [])
  await Promise.resolve()
  assert.deepEqual(left, ['a+b+c'])
  connection.sendData(['d'])
  await Promise.resolve()
  assert.deepEqual(left, ['a+b+c', 'd'])
})
