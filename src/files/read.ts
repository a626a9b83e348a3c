// The bytes of a file, in order, any range of it. Only the blocks that hold the range are asked for, a few of them ahead.
// Nodes claim the sizes of what is below them; every claim is checked against what comes, so that a DAG that lies is an
// error and never shifted or endless bytes.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { type Block, codecs } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReader } from '../core/ports.ts'
import { FilesError } from './errors.ts'
import { type UnixfsNode, unixfsOf } from './unixfs.ts'
import { type Expanded, walk } from './walk.ts'

export interface ReadOptions extends Abortable {
  /** First byte; at or past the end there is nothing to read. */
  offset?: number | undefined
  /** Bytes, fewer if the file ends before. */
  length?: number | undefined
}

/** A run of content that lies in one block. */
export interface Leaf {
  cid: CID
  /** In the file. */
  offset: number
  length: number
  /** Undefined if the leaf is raw and was not to be loaded. */
  bytes: Uint8Array | undefined
}

interface Piece {
  cid: CID
  offset: number
  /** What the parent claims; the root has nobody to claim anything. */
  sizeBytes: number | undefined
  depth: number
}

/**
 * The content of a file. The pieces are the caller's to read, not to change. Throws IS_DIRECTORY, NOT_FILE, DAG_INVALID,
 * and what the reader throws.
 */
export async function* readFile(reader: BlockReader, cid: CID, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of leavesOf(reader, cid, options)) yield bytes!
}

/** The leaves of a file that hold the range, clipped to it. Raw leaves below the root are loaded unless told otherwise. */
export function leavesOf(
  reader: BlockReader,
  cid: CID,
  options: ReadOptions & { skipRaw?: boolean } = {},
): AsyncGenerator<Leaf> {
  const from = Math.max(0, options.offset ?? 0)
  const to = from + Math.max(0, options.length ?? Number.POSITIVE_INFINITY)
  const skipped = (piece: Piece) =>
    options.skipRaw === true && piece.sizeBytes !== undefined && piece.cid.code === codecs.raw
  const rules = {
    cidOf: (piece: Piece) => (skipped(piece) ? undefined : piece.cid),
    expand: (piece: Piece, block: Block | undefined) =>
      block
        ? expand(piece, fileNode(piece, block), from, to)
        : { gives: [{ cid: piece.cid, offset: piece.offset, length: piece.sizeBytes!, bytes: undefined }] },
  }
  return walk<Piece, Leaf>(reader, [{ cid, offset: 0, sizeBytes: undefined, depth: 0 }], rules, options)
}

type FileNode = Extract<UnixfsNode, { type: 'file' }>

/** The block as a file. Throws IS_DIRECTORY, NOT_FILE, DAG_INVALID. */
export function fileOf(block: Block): FileNode {
  const node = unixfsOf(block)
  if (node.type === 'file') return node
  if (node.type === 'directory' || node.type === 'shard')
    throw new FilesError('IS_DIRECTORY', `${block.cid} is a folder, not a file`)
  throw new FilesError(
    'NOT_FILE',
    `${block.cid} is ${node.type === 'symlink' ? 'a symbolic link' : 'data'}, not a file`,
  )
}

function fileNode(piece: Piece, block: Block): FileNode {
  if (piece.sizeBytes === undefined) return fileOf(block)
  const node = unixfsOf(block)
  if (node.type !== 'file' || node.sizeBytes !== piece.sizeBytes)
    throw new FilesError('DAG_INVALID', `block ${block.cid} is not the ${piece.sizeBytes} bytes of a file it should be`)
  if (piece.depth > limits.fileDepthMax)
    throw new FilesError('DAG_INVALID', `block ${block.cid} is more than ${limits.fileDepthMax} levels below its file`)
  return node
}

function expand(piece: Piece, node: FileNode, from: number, to: number): Expanded<Piece, Leaf> {
  const { cid, depth } = piece
  const below: Piece[] = []
  let offset = piece.offset + node.data.byteLength
  for (const [index, sizeBytes] of node.linkSizes.entries()) {
    if (sizeBytes > 0 && offset < to && offset + sizeBytes > from)
      below.push({ cid: node.links[index]!.cid, offset, sizeBytes, depth: depth + 1 })
    offset += sizeBytes
  }
  const start = Math.max(from, piece.offset)
  const end = Math.min(to, piece.offset + node.data.byteLength)
  if (start >= end) return { below }
  const bytes = node.data.subarray(start - piece.offset, end - piece.offset)
  return { gives: [{ cid, offset: start, length: bytes.byteLength, bytes }], below }
}
