// The balanced layout of a file: leaves in order become a tree whose inner nodes are full from the left. Pure and
// incremental: parts go in one by one, inner nodes come out when nothing can be added to them any more, so that a file
// of any size is laid out with one unfinished node per level in memory.
import type { Block } from '../core/block.ts'
import type { Profile } from './profiles.ts'
import { fileBlock, type Part, partOf } from './unixfs.ts'

export class FileLayout {
  readonly #profile: Profile
  /** The unfinished node of each level; leaves are level 0. */
  readonly #levels: Part[][] = []

  constructor(profile: Profile) {
    this.#profile = profile
  }

  /** Takes the next leaf; gives the inner nodes that it completed. */
  add(leaf: Part): Block[] {
    const done: Block[] = []
    this.#addAt(0, leaf, done)
    return done
  }

  /** Ends the file, which has at least one leaf: the root, and the inner nodes still missing. */
  finish(): { root: Part; done: Block[] } {
    const done: Block[] = []
    for (let level = 0; ; level++) {
      const parts = this.#levels[level] ?? []
      if (level === this.#levels.length - 1 && parts.length === 1) return { root: parts[0]!, done }
      this.#addAt(level + 1, this.#close(level, done), done)
    }
  }

  // A full node is closed only when the next part arrives: the last one may turn out to be the root.
  #addAt(level: number, part: Part, done: Block[]): void {
    if (!this.#levels[level]) this.#levels[level] = []
    if (this.#levels[level].length === this.#profile.linksMax) this.#addAt(level + 1, this.#close(level, done), done)
    this.#levels[level].push(part)
  }

  #close(level: number, done: Block[]): Part {
    const parts = this.#levels[level]!
    this.#levels[level] = []
    const block = fileBlock(this.#profile, parts)
    done.push(block)
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0)
    return partOf(block, sizeBytes, parts)
  }
}
