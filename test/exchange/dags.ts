// DAGs for tests of fetching: random leaves below dag-pb nodes, made so that two of them share nothing.
import * as dagPb from '@ipld/dag-pb'
import type { CID } from 'multiformats/cid'
import { seededRandom } from '../../src/base/random.ts'
import { Block, codecs } from '../../src/core/block.ts'

export interface Dag {
  root: CID
  /** All blocks: leaves first, in order, the root last. */
  blocks: Block[]
  leaves: Block[]
  bytes: number
}

const random = seededRandom(1)
const noise = Buffer.from(random.bytes(1 << 20))
let made = 0

/** A leaf that no other call gives. */
export function leafOf(sizeBytes: number): Block {
  const bytes = Buffer.alloc(sizeBytes, noise)
  bytes.writeUInt32BE(++made)
  return Block.of(codecs.raw, bytes)
}

export function nodeOf(children: CID[]): Block {
  const links = children.map((Hash) => ({ Name: '', Tsize: 0, Hash }))
  return Block.of(codecs.dagPb, dagPb.encode({ Data: Uint8Array.of(8, 2), Links: links }))
}

/** A balanced tree over so many leaves, `width` links a node. */
export function dagOf({ leaves: count, leafBytes = 1_000, width = 16 }: DagShape): Dag {
  const leaves = Array.from({ length: count }, () => leafOf(leafBytes))
  const blocks = [...leaves]
  let level = leaves
  do {
    const above: Block[] = []
    for (let at = 0; at < level.length; at += width)
      above.push(nodeOf(level.slice(at, at + width).map(({ cid }) => cid)))
    blocks.push(...above)
    level = above
  } while (level.length > 1)
  const bytes = blocks.reduce((sum, block) => sum + block.bytes.byteLength, 0)
  return { root: level[0]!.cid, blocks, leaves, bytes }
}

interface DagShape {
  leaves: number
  leafBytes?: number
  width?: number
}

/** A DAG that takes a while: 32 MiB in blocks of 1 MiB. */
export const largeDag = () => dagOf({ leaves: 32, leafBytes: 1 << 20, width: 32 })
