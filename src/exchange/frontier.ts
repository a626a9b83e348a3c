// The links of a DAG that a fetch has found and not followed yet. Depth first, so that it stays short; a node is given once
// however often it is linked, a leaf each time. It knows nothing of what is here or elsewhere.
import type { CID } from 'multiformats/cid'
import { type Block, codecs } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { LinksOf } from '../core/ports.ts'
import { ExchangeError } from './errors.ts'

export class Frontier {
  readonly #root: CID
  readonly #linksOf: LinksOf
  readonly #seen = new Set<string>()
  /** The deepest level last, each in reverse so that the next is at the end. */
  readonly #levels: CID[][]

  constructor(root: CID, { linksOf }: { linksOf: LinksOf }) {
    this.#root = root
    this.#linksOf = linksOf
    this.#levels = [[root]]
  }

  /** A node is here: what it links to is to be followed next. */
  expand(node: Block): void {
    this.#levels.push(this.#linksOf(node).reverse())
  }

  /** The next to follow; undefined if there is none until another node is here. Throws PEER_BROKEN for a DAG without end. */
  next(): CID | undefined {
    for (;;) {
      while (this.#levels.at(-1)?.length === 0) this.#levels.pop()
      const cid = this.#levels.at(-1)?.pop()
      if (!cid || cid.code === codecs.raw) return cid
      if (this.#levels.length > limits.dagDepthMax)
        throw new ExchangeError(
          'PEER_BROKEN',
          `the DAG of ${this.#root} is more than ${limits.dagDepthMax} levels deep`,
        )
      const name = cid.toString()
      if (this.#seen.has(name)) continue
      this.#seen.add(name)
      return cid
    }
  }
}
