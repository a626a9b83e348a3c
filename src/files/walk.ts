// Going through a tree of blocks in order, while the next blocks are already on their way. Items wait on a stack; each is
// expanded, when its turn comes, into what it gives and the items below it. Memory is bounded by the stack's limit and by
// the few blocks ahead; leaving early cancels what was asked ahead.
import type { CID } from 'multiformats/cid'
import { type Abortable, linkedController } from '../base/abort.ts'
import type { Block } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReader } from '../core/ports.ts'
import { FilesError } from './errors.ts'

export interface Expanded<Item, Given> {
  gives?: Given[]
  below?: Item[]
}

export interface WalkRules<Item, Given> {
  /** The block that the item needs; undefined if it needs none. Asked once, some time before `expand`. */
  cidOf(item: Item): CID | undefined
  expand(item: Item, block: Block | undefined): Expanded<Item, Given>
}

interface Waiting<Item> {
  item: Item
  asked: boolean
  block: Promise<Block> | undefined
}

/** Everything that the items give, in depth, in order. Throws what the reader and the rules throw, and DAG_TOO_LARGE. */
export async function* walk<Item, Given>(
  reader: BlockReader,
  items: Item[],
  rules: WalkRules<Item, Given>,
  { signal }: Abortable = {},
): AsyncGenerator<Given, void> {
  const { controller, detach } = linkedController(signal)
  const stack = items.toReversed().map(waiting)
  const askAhead = () => {
    const last = Math.max(0, stack.length - limits.readAheadBlocks)
    for (let index = stack.length - 1; index >= last; index--) {
      const next = stack[index]!
      if (next.asked) continue
      next.asked = true
      const cid = rules.cidOf(next.item)
      next.block = cid && reader.get(cid, { signal: controller.signal })
      next.block?.catch(() => {})
    }
  }
  try {
    while (stack.length > 0) {
      controller.signal.throwIfAborted()
      askAhead()
      const { item, block } = stack.pop()!
      const { gives, below } = rules.expand(item, block && (await block))
      if (gives) yield* gives
      if (!below) continue
      if (stack.length + below.length > limits.walkItemsMax)
        throw new FilesError(
          'DAG_TOO_LARGE',
          `the DAG has more than ${limits.walkItemsMax} links to follow at one time`,
        )
      for (let index = below.length - 1; index >= 0; index--) stack.push(waiting(below[index]!))
    }
  } finally {
    detach()
    controller.abort(new DOMException('the walk ended', 'AbortError'))
  }
}

function waiting<Item>(item: Item): Waiting<Item> {
  return { item, asked: false, block: undefined }
}
