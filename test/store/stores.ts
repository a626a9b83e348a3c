// Stores for the tests: in folders of their own, removed afterwards.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as dagPb from '@ipld/dag-pb'
import { CID } from 'multiformats/cid'
import type { Abortable } from '../../src/base/abort.ts'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Block, codecs } from '../../src/core/block.ts'
import { linksOf } from '../../src/files/links.ts'
import { openStore, type Store } from '../../src/store/open.ts'

export const deps = { clock: systemClock, random: systemRandom, log: silentLog, linksOf }

/** Runs `work` with a folder that is removed afterwards. */
export async function withFolder(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'potluck-store-'))
  try {
    await work(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

export function withStore(work: (store: Store, directory: string) => Promise<void>): Promise<void> {
  return withFolder(async (directory) => {
    await using store = await openStore(deps, { directory })
    await work(store, directory)
  })
}

export const raw = (bytes: Uint8Array | string) => Block.of(codecs.raw, Buffer.from(bytes as string))

/** A node that links to these blocks; `salt` makes it another one. */
export function node(children: CID[], salt = ''): Block {
  const links = children.map((Hash) => ({ Name: '', Tsize: 0, Hash }))
  return Block.of(codecs.dagPb, dagPb.encode({ Data: Buffer.from(salt), Links: links }))
}

export async function putAll(store: Store, blocks: Block[], options: Abortable = {}): Promise<void> {
  using lease = store.lease('test')
  const writer = store.writer(lease)
  for (const block of blocks) await writer.put(block, options)
  await writer.flush(options)
}

export const missing = CID.parse('bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e')
