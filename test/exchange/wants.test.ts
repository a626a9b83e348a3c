// The books of a fetch against a dumb oracle: every want is brought as long as one supplier has it, no supplier is asked twice
// for what it lacks, and no block is out with more than two.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Block, codecs } from '../../src/core/block.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { Wants } from '../../src/exchange/wants.ts'

const blocks = Array.from({ length: 12 }, (_, index) => Block.of(codecs.raw, Buffer.from(`block ${index}`)))
const peers = ['a', 'b', 'c'] as PeerId[]
const text = (index: number) => blocks[index]!.cid.toString()

test('first come first served, urgent ones before all', () => {
  const wants = new Wants()
  for (const { cid } of blocks.slice(0, 4)) wants.add(cid)
  wants.add(blocks[5]!.cid, { urgent: true })
  wants.add(blocks[3]!.cid, { urgent: true })
  assert.deepEqual(wants.assign(peers[0]!, 3).map(String), [text(5), text(3), text(0)])
  assert.equal(wants.add(blocks[0]!.cid), false)
})

test('what one lacks goes to another, and back in line when all lack it', () => {
  const wants = new Wants()
  wants.add(blocks[0]!.cid)
  const [a, b] = peers as [PeerId, PeerId]
  assert.equal(wants.assign(a, 5).length, 1)
  wants.missing(a, blocks[0]!.cid)
  assert.deepEqual(wants.assign(a, 5), [])
  assert.equal(wants.lackedBy([a])?.toString(), text(0))
  assert.equal(wants.lackedBy([a, b]), undefined)
  assert.equal(wants.assign(b, 5).length, 1)
  wants.missing(b, blocks[0]!.cid)
  wants.askAgain()
  assert.equal(wants.assign(a, 5).length, 1)
})

test('whatever the suppliers do, everything that one of them has is brought', () => {
  const has = fc.array(fc.tuple(...peers.map(() => fc.boolean())), { minLength: 12, maxLength: 12 })
  const turn = fc.record({ who: fc.nat(2), most: fc.nat(4), goes: fc.integer({ min: 0, max: 9 }).map((n) => n === 0) })
  fc.assert(
    fc.property(has, fc.array(turn, { maxLength: 60 }), (has, turns) => {
      const wants = new Wants()
      const out = new Map(peers.map((peer) => [peer, new Set<number>()]))
      const asked = new Map(peers.map((peer) => [peer, new Set<number>()]))
      const got = new Set<number>()
      for (const { cid } of blocks) wants.add(cid)
      const ask = (peer: PeerId, most: number) => {
        let cids = wants.assign(peer, most)
        if (cids.length === 0 && wants.outWith(peer) === 0) cids = wants.steal(peer, 1)
        for (const cid of cids) {
          const index = blocks.findIndex((one) => one.cid.equals(cid))
          assert.ok(!asked.get(peer)!.has(index), 'asked again for what it lacks')
          out.get(peer)!.add(index)
          assert.ok([...out.values()].filter((set) => set.has(index)).length <= 2)
        }
      }
      const answer = (peer: PeerId, column: number) => {
        for (const index of [...out.get(peer)!]) {
          out.get(peer)!.delete(index)
          const { cid } = blocks[index]!
          if (has[index]![column]) {
            if (wants.received(cid)) got.add(index)
            for (const set of out.values()) set.delete(index)
          } else {
            asked.get(peer)!.add(index)
            wants.missing(peer, cid)
          }
        }
      }
      for (const { who, most, goes } of turns) {
        const peer = peers[who]!
        if (goes) {
          wants.drop(peer)
          out.get(peer)!.clear()
        } else {
          ask(peer, most)
          if (most % 2) answer(peer, who)
        }
      }
      for (let round = 0; round < 40; round++)
        peers.forEach((peer, column) => {
          ask(peer, 12)
          answer(peer, column)
        })
      for (const index of blocks.keys()) assert.equal(got.has(index), has[index]!.some(Boolean))
      assert.equal(wants.size, blocks.length - got.size)
    }),
  )
})
