// A home whose catalog was lost still has the files of its large blocks, and their names hold the multihashes: each is
// hashed and, if it is what its name says, taken into the new catalog. Small blocks and pins were in the catalog and are
// gone; the log says so.
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import type { Log } from '../base/log.ts'
import { codecs, matches } from '../core/block.ts'
import type { BlockFiles, FileName } from './block-files.ts'
import type { Catalog } from './catalog.ts'

export async function adoptFiles({
  catalog,
  files,
  log,
}: {
  catalog: Catalog
  files: BlockFiles
  log: Log
}): Promise<void> {
  let adopted = 0
  for await (const names of files.list()) {
    for (const name of names) if (await adopt(catalog, files, name)) adopted++
  }
  if (adopted > 0)
    log.warn(
      `the catalog was empty: ${adopted} blocks were found again by their files; pins and small blocks are lost, add or fetch them again before 'potluck gc'`,
    )
}

async function adopt(catalog: Catalog, files: BlockFiles, { key, fileId }: FileName): Promise<boolean> {
  const bytes = await files.read({ key, fileId })
  if (!bytes || !isWhole(key, bytes) || catalog.entry(key)) return false
  const { generation } = catalog
  await catalog.change(() =>
    catalog.set(key, { kind: 'file', fileId, sizeBytes: bytes.byteLength, generation, mark: 0 }),
  )
  return true
}

function isWhole(key: Uint8Array, bytes: Uint8Array): boolean {
  try {
    return matches(CID.createV1(codecs.raw, Digest.decode(key)), bytes)
  } catch {
    return false
  }
}
