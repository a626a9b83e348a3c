// The links of a DAG that a fetch has found and not followed yet: deepest first, so that a wide DAG does not pile up, and
// within a level in order. Pure. It holds a limited number of links; past that it keeps only which nodes they are in and
// how far it came, and asks for the node again when its turn comes, which by then is in the store.
import type { CID } from 'multiformats/cid'
import { limits } from '../core/limits.ts'

export interface Link {
  cid: CID
  /** What the node says about the size of what is below the link. */
  claimedBytes: number | undefined
}

/** A node whose links are not all followed. */
export interface OpenNode {
  readonly cid: CID
  readonly depth: number
  /** Undefined if they had to be let go. */
  links: Link[] | undefined
  followed: number
}

export type Step = { follow: Link; depth: number } | { load: OpenNode }

/** The nodes of one depth; the first `loaded` have their links. */
interface Level {
  nodes: OpenNode[]
  head: number
  loaded: number
}

export class Frontier {
  readonly #linksMax: number
  readonly #levels: Level[] = []
  #linksLoaded = 0
  #nodes = 0

  constructor({ linksMax = limits.fetchLinksMax }: { linksMax?: number } = {}) {
    this.#linksMax = linksMax
  }

  /** Nodes that it remembers. */
  get nodes(): number {
    return this.#nodes
  }

  /** A node whose links are to be followed; its depth is that of its links, 1 for those of the root. */
  add(cid: CID, depth: number, links: Link[]): void {
    if (links.length === 0) return
    for (let missing = this.#levels.length; missing <= depth; missing++)
      this.#levels.push({ nodes: [], head: 0, loaded: 0 })
    const level = this.#levels[depth]!
    const node: OpenNode = { cid, depth, links: undefined, followed: 0 }
    level.nodes.push(node)
    this.#nodes++
    if (level.loaded === level.nodes.length - level.head - 1) this.load(node, links)
  }

  /** The links of a node that `next` asked for. */
  load(node: OpenNode, links: Link[]): void {
    node.links = links
    this.#levels[node.depth]!.loaded++
    this.#linksLoaded += links.length
    this.#unloadSome()
  }

  /** What to do next; undefined when every link has been followed. */
  next(): Step | undefined {
    const level = this.#deepest()
    const node = level?.nodes[level.head]
    if (!level || !node) return undefined
    if (!node.links) return { load: node }
    const follow = node.links[node.followed++]
    if (node.followed >= node.links.length) this.#finish(level, node.links)
    return follow ? { follow, depth: node.depth } : this.next()
  }

  #deepest(): Level | undefined {
    for (let level = this.#levels.at(-1); level; level = this.#levels.at(-1)) {
      if (level.head < level.nodes.length) return level
      this.#levels.pop()
    }
    return undefined
  }

  #finish(level: Level, links: Link[]): void {
    this.#nodes--
    level.loaded--
    this.#linksLoaded -= links.length
    level.head++
    if (level.head < 1_024) return
    level.nodes = level.nodes.slice(level.head)
    level.head = 0
  }

  // Those are let go whose turn comes last: the last of the shallowest level. The very next node keeps its links.
  #unloadSome(): void {
    const deepest = this.#deepest()
    for (const level of this.#levels) {
      while (this.#linksLoaded > this.#linksMax && level.loaded > (level === deepest ? 1 : 0)) {
        const node = level.nodes[level.head + --level.loaded]!
        this.#linksLoaded -= node.links?.length ?? 0
        node.links = undefined
      }
    }
  }
}
