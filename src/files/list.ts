// The entries of a directory, whether it is one block or a HAMT, one by one: a folder of a million files is listed in the
// memory of a few blocks. Entries of a HAMT come in the order of their hashes.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { type Block, codecs } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReader } from '../core/ports.ts'
import type { Link } from './dag-pb.ts'
import { FilesError } from './errors.ts'
import { levelsMax, slotDigits } from './hamt.ts'
import { type UnixfsNode, unixfsOf } from './unixfs.ts'
import { type Expanded, walk } from './walk.ts'

export type ContentType = 'file' | 'directory' | 'symlink' | 'node'

export interface Entry {
  /** Relative to the listed directory, levels separated by `/`. */
  name: string
  cid: CID
  type: ContentType
  /** Bytes of content, as the entry's root block claims; undefined for directories and nodes that are not UnixFS. */
  sizeBytes: number | undefined
}

export interface ListOptions extends Abortable {
  /** Also what is in the directories below, each after its directory. */
  recursive?: boolean
}

/** Something on the way to entries: a block with links, or a link that is an entry. */
interface Item {
  cid: CID
  /** Of the entry, or of the directory that the shard is part of. */
  path: string
  /** The directory's depth below the listed one, and the shard's within its directory. */
  depth: number
  shardDepth: number
  kind: 'entry' | 'shard'
  tsize: number
}

/** The entries of a directory with their types. Throws NOT_DIRECTORY, DAG_INVALID, DAG_TOO_LARGE, and what the reader throws. */
export async function* listDirectory(
  reader: BlockReader,
  cid: CID,
  { recursive = false, signal }: ListOptions = {},
): AsyncGenerator<Entry, void> {
  const rules = {
    // A raw block is a file, and the link says how long; anything else must be seen.
    cidOf: (item: Item) => (item.kind === 'entry' && item.cid.code === codecs.raw ? undefined : item.cid),
    expand: (item: Item, block: Block | undefined): Expanded<Item, Entry> => {
      if (!block) return { gives: [{ name: item.path, cid: item.cid, type: 'file', sizeBytes: item.tsize }] }
      if (item.kind === 'shard') return { below: itemsIn(block, item) }
      const entry = { name: item.path, cid: item.cid, ...contentOf(unixfsOf(block)) }
      if (entry.type !== 'directory' || !recursive) return { gives: [entry] }
      return { gives: [entry], below: itemsIn(block, { ...item, depth: item.depth + 1, shardDepth: 0 }) }
    },
  }
  const root = await reader.get(cid, { signal })
  yield* walk<Item, Entry>(reader, itemsIn(root, rootItem), rules, { signal })
}

/** The links of one directory, without looking at what they lead to. Throws as `listDirectory` does. */
export function linksIn(reader: BlockReader, root: Block, options: Abortable = {}): AsyncGenerator<Link, void> {
  const rules = {
    cidOf: (item: Item) => (item.kind === 'shard' ? item.cid : undefined),
    expand: (item: Item, block: Block | undefined): Expanded<Item, Link> =>
      block ? { below: itemsIn(block, item) } : { gives: [{ name: item.path, cid: item.cid, tsize: item.tsize }] },
  }
  return walk<Item, Link>(reader, itemsIn(root, rootItem), rules, options)
}

/** What a node is to a person. */
export function contentOf(node: UnixfsNode): { type: ContentType; sizeBytes: number | undefined } {
  switch (node.type) {
    case 'file':
      return { type: 'file', sizeBytes: node.sizeBytes }
    case 'symlink':
      return { type: 'symlink', sizeBytes: node.target.byteLength }
    case 'directory':
    case 'shard':
      return { type: 'directory', sizeBytes: undefined }
    case 'node':
      return { type: 'node', sizeBytes: undefined }
  }
}

const rootItem = { path: '', depth: 0, shardDepth: 0 }

function itemsIn(block: Block, at: { path: string; depth: number; shardDepth: number }): Item[] {
  const node = unixfsOf(block)
  if (at.depth > limits.pathDepthMax)
    throw new FilesError('DAG_INVALID', `the folder has more than ${limits.pathDepthMax} levels`)
  const inside = (name: string) => (at.path === '' ? name : `${at.path}/${name}`)
  if (node.type === 'directory' && at.shardDepth === 0)
    return node.links.map(({ name, cid, tsize }) => ({ ...at, cid, tsize, path: inside(name), kind: 'entry' as const }))
  if (node.type !== 'shard') throw notDirectory(block, at.shardDepth)
  if (at.shardDepth >= levelsMax(node.slotBits))
    throw new FilesError('DAG_INVALID', `block ${block.cid} is deeper in its folder than hashes reach`)
  const digits = slotDigits(node.slotBits)
  return node.links.map(({ name, cid, tsize }) =>
    name.length > digits
      ? { ...at, cid, tsize, path: inside(name.slice(digits)), kind: 'entry' as const }
      : { ...at, cid, tsize, shardDepth: at.shardDepth + 1, kind: 'shard' as const },
  )
}

function notDirectory(block: Block, shardDepth: number): FilesError {
  return shardDepth === 0
    ? new FilesError('NOT_DIRECTORY', `${block.cid} is not a folder`)
    : new FilesError('DAG_INVALID', `block ${block.cid} is not the part of a folder that it should be`)
}
