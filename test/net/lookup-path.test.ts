// The way of a lookup, from query events as kad-dht gives them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QueryEvent } from '@libp2p/kad-dht'
import { LookupPath } from '../../src/net/lookup-path.ts'

const peer = (name: string) => ({ toString: () => name })
const event = (name: string, fields: object) => ({ name, ...fields }) as unknown as QueryEvent
const dial = (name: string) => event('DIAL_PEER', { peer: peer(name) })
const answer = (from: string, ...closer: string[]) =>
  event('PEER_RESPONSE', { from: peer(from), closer: closer.map((id) => ({ id: peer(id) })) })

test('peers of the routing table are one step away, those they tell of two, by the first way they were met', () => {
  const path = new LookupPath()
  for (const step of [dial('a'), dial('b'), answer('a', 'b', 'c'), dial('c'), answer('c', 'd', 'a'), dial('d')])
    path.note(step)
  path.note(event('QUERY_ERROR', { from: peer('b'), error: new Error('no') }))
  path.note(event('PROVIDER', { from: peer('d'), providers: [] }))
  assert.deepEqual([path.asked, path.failed, path.hops], [4, 1, undefined])
  path.note(event('PROVIDER', { from: peer('d'), providers: [{}] }))
  path.note(event('PROVIDER', { from: peer('a'), providers: [{}] }))
  assert.equal(path.hops, 3)
})

test('what this peer knows itself is no step away, and of the servers found the nearest counts', () => {
  const own = new LookupPath()
  own.note(event('PROVIDER', { from: peer('self'), providers: [{}] }))
  assert.equal(own.hops, 0)
  const path = new LookupPath()
  for (const step of [dial('a'), answer('a', 'b'), dial('b'), answer('b')]) path.note(step)
  for (const id of ['b', 'a']) path.note(event('FINAL_PEER', { from: peer('self'), peer: { id: peer(id) } }))
  assert.equal(path.hops, 2)
})
