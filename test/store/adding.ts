// A program to be killed: it adds small DAGs to the store of a home, pins them, unpins old ones and, if told so, collects
// all the while. It says each thing only when it is durable, and never ends by itself. Arguments: home, seed, whether to
// collect.
import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { seededRandom } from '../../src/base/random.ts'
import { openStore } from '../../src/store/open.ts'
import { deps, node, raw } from './stores.ts'

const [home = '', seed = '', collects] = process.argv.slice(2)
const say = (...words: unknown[]) => writeSync(1, `${words.join(' ')}\n`)
const random = seededRandom(Number(seed))
// Most are small, some are large, as in life.
const sizeOf = () => Math.floor(random.unit() ** 4 * 1_500_000)
const leafOf = (name: string) =>
  raw(
    createHash('shake256', { outputLength: sizeOf() + 1 })
      .update(`${seed} ${name}`)
      .digest(),
  )

const store = await openStore(deps, { directory: home })
if (collects === 'collects') void collect()
const pinned = [...store.pins.list()].map(({ cid }) => cid)
for (let round = 0; ; round++) {
  using lease = store.lease('adding')
  const writer = store.writer(lease)
  say('adding', round)
  const leaves = Array.from({ length: 1 + Math.floor(random.unit() * 12) }, (_, index) => leafOf(`${round} ${index}`))
  const root = node(
    leaves.map(({ cid }) => cid),
    `${seed} ${round}`,
  )
  for (const block of [...leaves, root, leafOf(`${round} of nobody`)]) await writer.put(block)
  await writer.flush()
  say('flushed', root.cid, ...leaves.map(({ cid }) => cid))
  await store.pins.add(root.cid, { recursive: true })
  pinned.push(root.cid)
  say('pinned', root.cid)
  if (pinned.length <= 8) continue
  const oldest = pinned.shift()!
  say('unpinning', oldest)
  await store.pins.remove(oldest)
  say('unpinned', oldest)
}

async function collect(): Promise<never> {
  for (;;) {
    say('collecting')
    const { blocks } = await store.gc()
    say('collected', blocks)
  }
}
