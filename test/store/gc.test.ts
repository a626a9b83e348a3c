// Collection against a dumb oracle: whatever the order of puts, pins, leases and collections, what a pin or a lease needs is
// there, and what nothing needs goes.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { copyFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CID } from 'multiformats/cid'
import { CID as CIDs } from 'multiformats/cid'
import { type Block, codecs } from '../../src/core/block.ts'
import { both, node, putAll, raw, withStore } from './stores.ts'

const text = (cid: CID) => cid.toString()

both('two pinned roots share blocks: unpinning one keeps the other whole', ({ withStore }) =>
  withStore(async (store) => {
    const [shared, own, other] = [raw(randomBytes(100_000)), raw('own'), raw('other')]
    const [a, b] = [node([shared.cid, own.cid], 'a'), node([shared.cid, other.cid], 'b')]
    await putAll(store, [shared, own, other, a, b])
    await store.pins.add(a.cid, { recursive: true })
    await store.pins.add(b.cid, { recursive: true })
    assert.equal((await store.gc()).blocks, 0)
    assert.equal(await store.pins.remove(a.cid), true)
    const collected = await store.gc()
    assert.equal(collected.blocks, 2)
    for (const { cid } of [b, shared, other]) await store.get(cid)
    assert.equal(store.has(a.cid) || store.has(own.cid), false)
  }),
)

both('a block that is a leaf to one pin and a node to another keeps what is below it', ({ withStore }) =>
  withStore(async (store) => {
    const below = raw('below')
    const top = node([below.cid], 'top')
    const asLeaf = CIDs.createV1(codecs.raw, top.cid.multihash)
    const holder = node([asLeaf, top.cid], 'holder')
    await putAll(store, [below, top, holder])
    await store.pins.add(holder.cid, { recursive: true })
    await store.gc()
    assert.ok(store.has(below.cid))
  }),
)

both('pinning the bytes of a node as a leaf does not let go of what is below the node', ({ withStore }) =>
  withStore(async (store) => {
    const below = raw('below')
    const top = node([below.cid], 'top')
    await putAll(store, [below, top])
    await store.pins.add(top.cid, { recursive: true })
    const asLeaf = CIDs.createV1(codecs.raw, top.cid.multihash)
    await store.pins.add(asLeaf, { recursive: true })
    await store.gc()
    assert.ok(store.has(below.cid))
    assert.ok(await store.pins.remove(asLeaf))
    assert.ok(store.pins.get(top.cid))
  }),
)

test('a file that a crash left behind is removed', () =>
  withStore(async (store, directory) => {
    const block = raw(randomBytes(1 << 20))
    await putAll(store, [block])
    await store.pins.add(block.cid, { recursive: true })
    const [own = ''] = await blockFiles(directory)
    await copyFile(own, own.replace(/-[0-9a-f]{12}$/, '-0123456789ab'))
    await store.gc()
    assert.deepEqual(await blockFiles(directory), [own])
    await store.get(block.cid)
  }))

async function blockFiles(directory: string): Promise<string[]> {
  const entries = await readdir(join(directory, 'blocks'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

both('a pinned DAG with a missing node stops the sweep and is named', ({ withStore }) =>
  withStore(async (store) => {
    const hidden = raw('hidden')
    const middle = node([hidden.cid], 'middle')
    const root = node([middle.cid], 'root')
    await putAll(store, [hidden, root])
    await store.pins.add(root.cid, { recursive: true })
    const collected = await store.gc()
    assert.deepEqual(collected.incomplete.map(text), [text(root.cid)])
    assert.equal(collected.blocks, 0)
    assert.ok(store.has(hidden.cid))
  }),
)

both('a direct pin keeps one block', ({ withStore }) =>
  withStore(async (store) => {
    const leaf = raw('leaf')
    const root = node([leaf.cid])
    await putAll(store, [leaf, root])
    await store.pins.add(root.cid, { recursive: false })
    await store.gc()
    assert.deepEqual([store.has(root.cid), store.has(leaf.cid)], [true, false])
  }),
)

both('a lease that ends during a collection has its late pin respected', ({ withStore }) =>
  withStore(async (store) => {
    const blocks = Array.from({ length: 3_000 }, (_, index) => raw(`block ${index}`))
    const first = node(
      blocks.slice(0, 1000).map(({ cid }) => cid),
      'first',
    )
    await putAll(store, [...blocks, first])
    await store.pins.add(first.cid, { recursive: true })
    const lease = store.lease('adding')
    const writer = store.writer(lease)
    const late = raw('late')
    const root = node([late.cid], 'late root')
    await writer.put(late)
    await writer.put(root)
    await writer.flush()
    const collecting = store.gc()
    await store.pins.add(root.cid, { recursive: true })
    lease[Symbol.dispose]()
    await collecting
    assert.ok(store.has(late.cid) && store.has(root.cid))
    // What was written in the generation of the lease waits for a collection that begins after it.
    assert.equal((await store.gc()).blocks, 2_000)
    assert.ok(store.has(late.cid) && store.has(root.cid))
  }),
)

both('adding again what a collection is about to take keeps it', ({ withStore }) =>
  withStore(async (store) => {
    const blocks = Array.from({ length: 2_000 }, (_, index) => raw(`again ${index}`))
    await putAll(store, blocks)
    const collecting = store.gc()
    const lease = store.lease('adding')
    const writer = store.writer(lease)
    for (const block of blocks) await writer.put(block)
    await writer.flush()
    await collecting
    for (const { cid } of blocks) assert.ok(store.has(cid))
    lease[Symbol.dispose]()
    assert.equal((await store.gc()).blocks, 2_000)
  }),
)

// A small world: six leaves, and nodes above them and above each other.
const leaves = Array.from({ length: 6 }, (_, index) => raw(index % 2 ? randomBytes(40_000) : `leaf ${index}`))
const nodes: Block[] = []
for (let index = 0; index < 6; index++) {
  const below = [leaves[index]!, leaves[(index * 3) % 6]!, ...nodes.slice(-2)]
  nodes.push(
    node(
      below.map(({ cid }) => cid),
      `node ${index}`,
    ),
  )
}
const world = [...leaves, ...nodes]

function reachable(root: Block): Block[] {
  const index = nodes.indexOf(root)
  if (index < 0) return [root]
  const below = [leaves[index]!, leaves[(index * 3) % 6]!, ...nodes.slice(0, index).slice(-2)]
  return [root, ...below.flatMap(reachable)]
}

both('any order of puts, pins, unpins and collections agrees with the oracle', async ({ withStore }) => {
  const step = fc.record({
    what: fc.constantFrom('put', 'pin', 'unpin', 'gc', 'lease', 'release'),
    which: fc.nat(world.length - 1),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) =>
      withStore(async (store) => {
        const pinned = new Set<Block>()
        let leased = new Set<Block>()
        let lease = store.lease('first')
        for (const { what, which } of steps) {
          const block = world[which]!
          const all = reachable(block)
          if (what === 'put' || what === 'pin') {
            const writer = store.writer(lease)
            for (const one of all) await writer.put(one)
            await writer.flush()
            for (const one of all) leased.add(one)
            if (what === 'pin') await store.pins.add(block.cid, { recursive: true })
            if (what === 'pin') pinned.add(block)
          } else if (what === 'unpin') {
            assert.equal(await store.pins.remove(block.cid), pinned.delete(block))
          } else if (what === 'gc') {
            await store.gc()
            const needed = new Set([...leased, ...[...pinned].flatMap(reachable)])
            for (const one of world) if (needed.has(one)) assert.ok(store.has(one.cid), `${text(one.cid)} is needed`)
          } else {
            lease[Symbol.dispose]()
            lease = store.lease(what)
            leased = new Set()
          }
        }
        lease[Symbol.dispose]()
        await store.gc()
        const needed = new Set([...pinned].flatMap(reachable))
        for (const one of world) assert.equal(store.has(one.cid), needed.has(one))
      }),
    ),
    { numRuns: 40 },
  )
})
