// Blocks in a Map: the reader and the writer at their plainest, for tests of what stands above a store. It promises what
// the ports promise and nothing about disks. `asked` tells which blocks were read, in order.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../../src/base/abort.ts'
import { CodedError } from '../../src/base/errors.ts'
import { Block, inlineBytes } from '../../src/core/block.ts'
import type { BlockReader, BlockReference, BlockWriter } from '../../src/core/ports.ts'

export class MemoryBlocksError extends CodedError<'NOT_FOUND'> {}

export class MemoryBlocks implements BlockReader, BlockWriter {
  readonly #blocks = new Map<string, Uint8Array>()
  readonly references: { cid: CID; reference: BlockReference }[] = []
  readonly asked: CID[] = []

  get size(): number {
    return this.#blocks.size
  }

  has(cid: CID): boolean {
    return inlineBytes(cid) !== undefined || this.#blocks.has(keyOf(cid))
  }

  async get(cid: CID, { signal }: Abortable = {}): Promise<Block> {
    signal?.throwIfAborted()
    this.asked.push(cid)
    const bytes = inlineBytes(cid) ?? this.#blocks.get(keyOf(cid))
    if (!bytes) throw new MemoryBlocksError('NOT_FOUND', `block ${cid} is not here`)
    return Block.verify(cid, bytes)
  }

  async put(block: Block, { signal }: Abortable = {}): Promise<void> {
    signal?.throwIfAborted()
    this.#blocks.set(keyOf(block.cid), block.bytes)
  }

  async putReference(block: Block, reference: BlockReference, options: Abortable = {}): Promise<void> {
    this.references.push({ cid: block.cid, reference })
    await this.put(block, options)
  }

  touch(cid: CID): boolean {
    return this.has(cid)
  }

  async flush(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  delete(cid: CID): void {
    this.#blocks.delete(keyOf(cid))
  }
}

function keyOf(cid: CID): string {
  return Buffer.from(cid.multihash.bytes).toString('latin1')
}
