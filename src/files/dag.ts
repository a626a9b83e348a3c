// A DAG as a whole, whatever its blocks mean: every block once, and how much that is.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { type Block, codecs } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReader, BlockStore } from '../core/ports.ts'
import { FilesError } from './errors.ts'
import { linksOf } from './links.ts'
import { type WalkRules, walk } from './walk.ts'

export interface DagSize {
  blocks: number
  /** Bytes of all blocks, each counted once. */
  dagBytes: number
}

/**
 * Every block at and below the roots, parents first, in depth, each once (see Seen). Throws CODEC_UNSUPPORTED,
 * DAG_INVALID, DAG_TOO_LARGE, and what the reader throws.
 */
export function walkDag(reader: BlockReader, roots: CID[], options: Abortable = {}): AsyncGenerator<Block, void> {
  const items = roots.map((cid) => ({ cid, depth: 0 }))
  const rules = onceEach({ isKnown: () => false, give: (_cid, block) => block as Block })
  return walk(reader, items, rules, options)
}

/** A reader that knows the sizes of its blocks is not asked to read leaves. Throws as `walkDag` does. */
export async function measureDag(
  reader: BlockReader & Partial<Pick<BlockStore, 'sizeOf'>>,
  root: CID,
  options: Abortable = {},
): Promise<DagSize> {
  const sizeOf = (cid: CID) => (cid.code === codecs.raw ? reader.sizeOf?.(cid) : undefined)
  const rules = onceEach({
    isKnown: (cid) => sizeOf(cid) !== undefined,
    give: (cid, block) => block?.bytes.byteLength ?? sizeOf(cid) ?? 0,
  })
  const size = { blocks: 0, dagBytes: 0 }
  for await (const bytes of walk(reader, [{ cid: root, depth: 0 }], rules, options)) {
    size.blocks++
    size.dagBytes += bytes
  }
  return size
}

/** Gives something for each block, once. A known one is not read, and has nothing below. */
function onceEach<Given>(known: {
  isKnown(cid: CID): boolean
  give(cid: CID, block: Block | undefined): Given
}): WalkRules<Item, Given> {
  const seen = new Seen()
  return {
    cidOf: ({ cid }) => (seen.has(cid) || known.isKnown(cid) ? undefined : cid),
    expand({ cid, depth }, block) {
      if (!(block || known.isKnown(cid)) || !seen.add(cid)) return {}
      if (depth > limits.dagDepthMax)
        throw new FilesError('DAG_INVALID', `block ${cid} is more than ${limits.dagDepthMax} levels below its root`)
      const below = block ? linksOf(block).map((cid) => ({ cid, depth: depth + 1 })) : []
      return { gives: [known.give(cid, block)], below: below.filter((item) => !seen.has(item.cid)) }
    },
  }
}

interface Item {
  cid: CID
  depth: number
}

// What a walk has met. Nodes must all be remembered, or a DAG of a few blocks that link to each other twice would have
// more ways through it than anyone can walk. Leaves are the mass, and forgetting one costs a repetition, nothing more.
class Seen {
  readonly #nodes = new Set<string>()
  readonly #leaves = new Set<string>()

  has(cid: CID): boolean {
    return (cid.code === codecs.raw ? this.#leaves : this.#nodes).has(keyOf(cid))
  }

  /** False if it was there before. */
  add(cid: CID): boolean {
    if (this.has(cid)) return false
    if (cid.code === codecs.raw) {
      if (this.#leaves.size < limits.walkLeavesMax) this.#leaves.add(keyOf(cid))
    } else if (this.#nodes.size < limits.walkNodesMax) this.#nodes.add(keyOf(cid))
    else throw new FilesError('DAG_TOO_LARGE', `the DAG has more than ${limits.walkNodesMax} nodes with links`)
    return true
  }
}

// The codec belongs to the key: the same bytes have links as dag-pb and none as raw.
function keyOf(cid: CID): string {
  return cid.code.toString(36) + Buffer.from(cid.multihash.bytes).toString('latin1')
}
