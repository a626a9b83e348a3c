// DAGs made by hand, honest or not, for tests of what reads them.
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import type { CID } from 'multiformats/cid'
import { Block, codecs } from '../../src/core/block.ts'
import type { MemoryBlocks } from '../twins/memory-blocks.ts'

export interface HandLink {
  name?: string
  cid: CID
  tsize?: number
}

/** A dag-pb block around a UnixFS message, with links in the order given, stored. */
export async function putNode(
  blocks: MemoryBlocks,
  unixfs: ConstructorParameters<typeof UnixFS>[0] | undefined,
  links: HandLink[] = [],
): Promise<CID> {
  const node = {
    ...(unixfs && { Data: new UnixFS(unixfs).marshal() }),
    Links: links.map(({ name = '', cid, tsize = 0 }) => ({ Hash: cid, Name: name, Tsize: tsize })),
  }
  return await put(blocks, Block.of(codecs.dagPb, dagPb.encode(node)))
}

export function putRaw(blocks: MemoryBlocks, content: string | Uint8Array): Promise<CID> {
  return put(blocks, Block.of(codecs.raw, Buffer.from(content)))
}

export async function put(blocks: MemoryBlocks, block: Block): Promise<CID> {
  await blocks.put(block)
  return block.cid
}

/** A directory of these entries, which may be anything. */
export function putFolder(blocks: MemoryBlocks, entries: [name: string, cid: CID][]): Promise<CID> {
  const links = entries.map(([name, cid]) => ({ name, cid }))
  return putNode(
    blocks,
    { type: 'directory' },
    links.toSorted((one, other) => Buffer.compare(Buffer.from(one.name), Buffer.from(other.name))),
  )
}

export function putSymlink(blocks: MemoryBlocks, target: string): Promise<CID> {
  return putNode(blocks, { type: 'symlink', data: Buffer.from(target) })
}
