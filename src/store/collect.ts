// Garbage collection, beside everything else that goes on. Marking walks every pinned DAG and writes the number of this
// collection into the entries that it reaches; sweeping removes entries that were neither reached nor written since the
// oldest lease that was held when the collection began. A generation counter, raised at the start, tells the two apart:
//
//   - whatever is written or touched after the start carries the new generation and stays;
//   - whatever a lease of the start protects carries at least the lease's generation and stays, even if the lease ends
//     meanwhile, because its pin may have come too late for the marking;
//   - the rest is reached from a pin, or nobody's.
//
// The mark is a field of its own: a block that somebody writes during the collection is of the new generation, but what
// is below it has not been walked. A block of a pinned DAG that cannot be read hides what is below it, so then nothing
// is swept at all, and the result names the pins.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { codecs, inlineBytes } from '../core/block.ts'
import type { BlockReader, LinksOf } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import type { BlockFiles, FileName } from './block-files.ts'
import { type Catalog, nameOf } from './catalog.ts'
import type { Pins } from './pins.ts'

export interface Collected {
  /** Blocks deleted, and their bytes. */
  blocks: number
  bytes: number
  /** Blocks that stay. */
  kept: number
  /** Pinned roots with blocks that are missing or unreadable. */
  incomplete: CID[]
}

export interface CollectDeps {
  catalog: Catalog
  files: BlockFiles
  pins: Pins
  reader: BlockReader
  linksOf: LinksOf
  /** The generation of the oldest lease; undefined if there is none. */
  oldestLease: () => number | undefined
}

/** Marks or sweeps this many entries in one transaction: long ones would hold up writers. */
const batchBlocks = 1_000

// One multihash may be a leaf under one CID and a node with links under another: reached as a leaf, it has not been walked.
function markOf(collection: number, leaf: boolean): number {
  return 2 * collection + (leaf ? 0 : 1)
}

/** Collects once. May be stopped at any moment: a collection that did not end changed nothing that matters. */
export async function collect(deps: CollectDeps, options: Abortable & Reporting): Promise<Collected> {
  const { catalog, oldestLease } = deps
  const threshold = Math.min(catalog.generation + 1, oldestLease() ?? Number.POSITIVE_INFINITY)
  const collection = catalog.generation + 1
  catalog.generation = collection
  await catalog.change(() => {})
  const marking = new Marking(deps, collection, options)
  const incomplete: CID[] = []
  let hidden = false
  for (const { cid, recursive } of deps.pins.list()) {
    const state = await marking.reach(cid, recursive)
    if (state !== 'whole') incomplete.push(cid)
    if (state === 'hidden') hidden = true
  }
  await marking.write()
  const swept = hidden ? { blocks: 0, bytes: 0 } : await sweep(deps, { collection, threshold, ...options })
  return { ...swept, kept: catalog.counts.blocks, incomplete }
}

class Marking {
  readonly #deps: CollectDeps
  readonly #collection: number
  readonly #options: Abortable & Reporting
  #reached = new Map<string, { key: Uint8Array; mark: number }>()
  #count = 0

  constructor(deps: CollectDeps, collection: number, options: Abortable & Reporting) {
    this.#deps = deps
    this.#collection = collection
    this.#options = options
  }

  /** `missing`: a leaf is gone. `hidden`: a block that has others below it is gone. */
  async reach(root: CID, recursive: boolean): Promise<'whole' | 'missing' | 'hidden'> {
    const { catalog, reader, linksOf } = this.#deps
    const { signal, onProgress } = this.#options
    let state: 'whole' | 'missing' | 'hidden' = 'whole'
    const waiting = [root]
    for (let cid = waiting.pop(); cid; cid = waiting.pop()) {
      signal?.throwIfAborted()
      if (inlineBytes(cid) && cid.code === codecs.raw) continue
      const key = cid.multihash.bytes
      const leaf = cid.code === codecs.raw || !recursive
      if (!inlineBytes(cid)) {
        const entry = catalog.entry(key)
        if (!entry) {
          if (!leaf || state === 'whole') state = leaf ? 'missing' : 'hidden'
          continue
        }
        const mark = markOf(this.#collection, leaf)
        const reached = this.#reached.get(nameOf(key))
        if (entry.mark >= mark || (reached && reached.mark >= mark)) continue
        this.#reached.set(nameOf(key), { key, mark })
        onProgress?.({ phase: 'marking', done: ++this.#count, total: catalog.counts.blocks, unit: 'blocks' })
        if (this.#reached.size >= batchBlocks) await this.write()
      }
      if (leaf) continue
      try {
        for (const link of linksOf(await reader.get(cid, { signal }))) waiting.push(link)
      } catch {
        signal?.throwIfAborted()
        state = 'hidden'
      }
    }
    return state
  }

  async write(): Promise<void> {
    const { catalog } = this.#deps
    const reached = [...this.#reached.values()]
    await catalog.change(() => {
      for (const { key, mark } of reached) {
        const entry = catalog.entry(key)
        if (entry) catalog.set(key, { ...entry, mark })
      }
    })
    this.#reached.clear()
  }
}

async function sweep(
  { catalog, files }: CollectDeps,
  { collection, threshold, signal, onProgress }: { collection: number; threshold: number } & Abortable & Reporting,
): Promise<{ blocks: number; bytes: number }> {
  let [blocks, bytes] = [0, 0]
  const total = catalog.counts.blocks
  let seen = 0
  for (let from: Uint8Array | undefined; ; ) {
    signal?.throwIfAborted()
    const batch = catalog.entries(from, batchBlocks)
    if (batch.length === 0) break
    from = batch.at(-1)!.key
    // Looked at again inside the transaction: a writer may have asked for the block since.
    const removed = await catalog.change(() => {
      const names: FileName[] = []
      for (const { key } of batch) {
        const entry = catalog.entry(key)
        if (!entry || entry.mark >= markOf(collection, true) || entry.generation >= threshold || catalog.isHeld(key))
          continue
        catalog.remove(key, entry)
        blocks++
        bytes += entry.kind === 'reference' ? 0 : entry.sizeBytes
        if (entry.kind === 'file') names.push({ key, fileId: entry.fileId })
      }
      return names
    })
    await files.remove(removed)
    seen += batch.length
    onProgress?.({ phase: 'sweeping', done: seen, total, unit: 'blocks' })
  }
  return { blocks, bytes }
}
