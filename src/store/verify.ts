// Verification: every block is read again and compared with its hash. What rotted is moved aside, so that the block counts
// as missing and can be fetched again; files that no entry names are removed.
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import type { Abortable } from '../base/abort.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import { codecs } from '../core/block.ts'
import type { BlockReader } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import type { BlockFiles, FileName } from './block-files.ts'
import type { Catalog } from './catalog.ts'

export interface Verified {
  blocks: number
  bytes: number
  problems: { cid: CID; problem: string }[]
}

const batchBlocks = 256
/** Blocks read at a time. */
const together = 4

export async function verify(
  deps: { catalog: Catalog; files: BlockFiles; reader: BlockReader },
  { signal, onProgress }: Abortable & Reporting,
): Promise<Verified> {
  const { catalog, files, reader } = deps
  const verified: Verified = { blocks: 0, bytes: 0, problems: [] }
  const { inlineBytes, fileBytes, referencedBytes } = catalog.counts
  const total = inlineBytes + fileBytes + referencedBytes
  const check = async (key: Uint8Array, sizeBytes: number) => {
    const cid = CID.createV1(codecs.raw, Digest.decode(key))
    try {
      // Reading verifies, and moves aside what does not match.
      await reader.get(cid, { signal })
    } catch (error) {
      signal?.throwIfAborted()
      if (codeOf(error) !== 'NOT_FOUND' || catalog.entry(key))
        verified.problems.push({ cid, problem: sentenceOf(error) })
    }
    verified.blocks++
    verified.bytes += sizeBytes
    onProgress?.({ phase: 'verifying', done: verified.bytes, total, unit: 'bytes' })
  }
  for (let from: Uint8Array | undefined; ; ) {
    const batch = catalog.entries(from, batchBlocks)
    if (batch.length === 0) break
    from = batch.at(-1)!.key
    for (let at = 0; at < batch.length; at += together) {
      signal?.throwIfAborted()
      await Promise.all(batch.slice(at, at + together).map(({ key, entry }) => check(key, entry.sizeBytes)))
    }
  }
  await sweepOrphans({ catalog, files }, { signal })
  return verified
}

/** Removes files that no entry names and no writer is about to: what a crash or a failed write left behind. */
export async function sweepOrphans(
  { catalog, files }: { catalog: Catalog; files: BlockFiles },
  { signal }: Abortable,
): Promise<void> {
  for await (const names of files.list()) {
    signal?.throwIfAborted()
    const orphans = names.filter((name) => !files.isUnderway(name) && !isNamed(catalog, name))
    await files.remove(orphans)
  }
}

function isNamed(catalog: Catalog, { key, fileId }: FileName): boolean {
  const entry = catalog.entry(key)
  return entry?.kind === 'file' && entry.fileId === fileId
}
