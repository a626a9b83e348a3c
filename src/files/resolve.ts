// From a REF to what it names, one name at a time: through directories, HAMTs (a few blocks, however many entries) and
// maps and lists of dag-cbor. Symbolic links are content and are not followed.
import { decode as decodeCbor } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { type Block, codecs } from '../core/block.ts'
import type { BlockReader } from '../core/ports.ts'
import { formatRef, type Ref } from '../core/ref.ts'
import type { Link } from './dag-pb.ts'
import { FilesError } from './errors.ts'
import { nameHash, slotAt, slotDigits } from './hamt.ts'
import { decodedAs } from './links.ts'
import { type ContentType, contentOf } from './list.ts'
import { unixfsOf } from './unixfs.ts'

export interface Resolved {
  cid: CID
  /** The root block of what was found. */
  block: Block
  type: ContentType
  /** Bytes of content, as the block claims; undefined for directories and nodes that are not UnixFS. */
  sizeBytes: number | undefined
}

/** Throws PATH_NOT_FOUND naming the part that is missing, CODEC_UNSUPPORTED, DAG_INVALID, and what the reader throws. */
export async function resolvePath(reader: BlockReader, ref: Ref, options: Abortable = {}): Promise<Resolved> {
  let block = await reader.get(ref.root, options)
  for (let depth = 0; depth < ref.path.length; ) {
    const { cid, used } = await follow(reader, block, { root: ref.root, path: ref.path }, depth, options)
    block = await reader.get(cid, options)
    depth += used
  }
  return { cid: block.cid, block, ...contentOf(unixfsOf(block)) }
}

/** The link that the next names lead to, and how many names that took. */
async function follow(
  reader: BlockReader,
  block: Block,
  ref: Ref,
  depth: number,
  options: Abortable,
): Promise<{ cid: CID; used: number }> {
  const parent = formatRef({ root: ref.root, path: ref.path.slice(0, depth) })
  if (block.cid.code === codecs.dagCbor) return followCbor(block, ref.path.slice(depth), parent)
  if (block.cid.code !== codecs.dagPb && block.cid.code !== codecs.raw)
    throw new FilesError(
      'CODEC_UNSUPPORTED',
      `${parent} has codec 0x${block.cid.code.toString(16)}, in which potluck cannot follow a path`,
    )
  const name = ref.path[depth]!
  const node = unixfsOf(block)
  if (node.type === 'file') throw notFound(`there is no '${name}' in ${parent}: it is a file, not a folder`)
  if (node.type === 'symlink')
    throw notFound(`there is no '${name}' in ${parent}: it is a symbolic link, which paths do not follow`)
  const link =
    node.type === 'shard'
      ? await findInShards(reader, block, name, options)
      : node.links.find((link) => link.name === name)
  if (!link) throw notFound(`there is no '${name}' in ${parent}`)
  return { cid: link.cid, used: 1 }
}

async function findInShards(
  reader: BlockReader,
  root: Block,
  name: string,
  options: Abortable,
): Promise<Link | undefined> {
  const hash = nameHash(name)
  let block = root
  for (let depth = 0; ; depth++) {
    const node = unixfsOf(block)
    const slot = node.type === 'shard' ? slotAt(hash, depth, node.slotBits) : undefined
    if (node.type !== 'shard' || slot === undefined)
      throw new FilesError('DAG_INVALID', `block ${block.cid} is not the part of a folder that it should be`)
    const link = node.links.find((link) => link.name.slice(0, slotDigits(node.slotBits)) === slot)
    if (!link || link.name !== slot) return link?.name === slot + name ? link : undefined
    block = await reader.get(link.cid, options)
  }
}

function followCbor(block: Block, names: string[], parent: string): { cid: CID; used: number } {
  let value: unknown = decodedAs(block, decodeCbor)
  for (const [index, name] of names.entries()) {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array || !Object.hasOwn(value, name))
      throw notFound(`there is no '${name}' in ${[parent, ...names.slice(0, index)].join('/')}`)
    value = (value as Record<string, unknown>)[name]
    const cid = CID.asCID(value)
    if (cid) return { cid, used: index + 1 }
  }
  throw notFound(`${[parent, ...names].join('/')} is a value inside ${block.cid}, not content of its own`)
}

function notFound(sentence: string): FilesError {
  return new FilesError('PATH_NOT_FOUND', sentence)
}
