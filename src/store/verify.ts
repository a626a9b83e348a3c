// Verification: every block is read again and compared with its hash. What rotted is moved aside, so that the block counts
// as missing and can be fetched again; files that no entry names are removed.
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import type { Abortable } from '../base/abort.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import { codecs } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReader } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import type { BlockFiles, FileName } from './block-files.ts'
import type { Catalog } from './catalog.ts'

/** A block that cannot be read as what it is. The codec of its CID is raw: the store does not know which it had. */
export interface Problem {
  cid: CID
  problem: string
}

export interface Verified {
  blocks: number
  bytes: number
  problems: Problem[]
}

/** A stretch of blocks that was read again; `upTo` is the key of its last one, undefined if there was none left. */
export type Examined = Verified & { upTo: Uint8Array | undefined }

interface VerifyDeps {
  catalog: Catalog
  files: BlockFiles
  reader: BlockReader
}

const batchBlocks = 256
/** Blocks read at a time. */
const together = 4

/** Reads some blocks again, those with the keys that follow `after`: `limits.scrubStepBytes`, and a few more. */
export async function examine(
  { catalog, reader }: Omit<VerifyDeps, 'files'>,
  after: Uint8Array | undefined,
  { signal }: Abortable,
): Promise<Examined> {
  const examined: Examined = { blocks: 0, bytes: 0, problems: [], upTo: undefined }
  const check = async (key: Uint8Array) => {
    const cid = CID.createV1(codecs.raw, Digest.decode(key))
    try {
      // Reading verifies, and moves aside what does not match.
      await reader.get(cid, { signal })
    } catch (error) {
      signal?.throwIfAborted()
      if (codeOf(error) !== 'NOT_FOUND' || catalog.entry(key))
        examined.problems.push({ cid, problem: sentenceOf(error) })
    }
  }
  const batch = catalog.entries(after, batchBlocks)
  for (let at = 0; at < batch.length && examined.bytes < limits.scrubStepBytes; at += together) {
    signal?.throwIfAborted()
    const some = batch.slice(at, at + together)
    await Promise.all(some.map(({ key }) => check(key)))
    examined.blocks += some.length
    for (const { entry } of some) examined.bytes += entry.sizeBytes
    examined.upTo = some.at(-1)!.key
  }
  return examined
}

/** Reads all blocks again. */
export async function verify(deps: VerifyDeps, { signal, onProgress }: Abortable & Reporting): Promise<Verified> {
  const verified: Verified = { blocks: 0, bytes: 0, problems: [] }
  const { inlineBytes, fileBytes, referencedBytes } = deps.catalog.counts
  const total = inlineBytes + fileBytes + referencedBytes
  for (let after: Uint8Array | undefined; ; ) {
    const { blocks, bytes, problems, upTo } = await examine(deps, after, { signal })
    if (!upTo) break
    after = upTo
    verified.blocks += blocks
    verified.bytes += bytes
    verified.problems.push(...problems)
    onProgress?.({ phase: 'verifying', done: verified.bytes, total, unit: 'bytes' })
  }
  await sweepOrphans(deps, { signal })
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
