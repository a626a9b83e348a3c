// Stores for the tests: on the disk, in folders of their own that are removed afterwards, and in memory. What is true of one
// is true of the other.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as dagPb from '@ipld/dag-pb'
import { CID } from 'multiformats/cid'
import type { Abortable } from '../../src/base/abort.ts'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Block, codecs } from '../../src/core/block.ts'
import { linksOf } from '../../src/files/links.ts'
import { openMemoryStore } from '../../src/store/memory.ts'
import { MemoryDisk } from '../../src/store/memory-disk.ts'
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

/** A place for one store: it can be opened, closed and opened again. */
export interface Place {
  open(): Promise<Store>
  /** A folder for other files of the test. */
  directory: string
}

export interface StoreKind {
  kind: 'on the disk' | 'in memory'
  withPlace(work: (place: Place) => Promise<void>): Promise<void>
  withStore(work: (store: Store, directory: string) => Promise<void>): Promise<void>
}

function storeKind(kind: StoreKind['kind'], opener: (directory: string) => () => Promise<Store>): StoreKind {
  const withPlace = (work: (place: Place) => Promise<void>) =>
    withFolder((directory) => work({ directory, open: opener(directory) }))
  return {
    kind,
    withPlace,
    withStore: (work) =>
      withPlace(async ({ open, directory }) => {
        await using store = await open()
        await work(store, directory)
      }),
  }
}

const onDisk = storeKind('on the disk', (directory) => () => openStore(deps, { directory }))

export const storeKinds: StoreKind[] = [
  onDisk,
  storeKind('in memory', () => {
    const disk = new MemoryDisk()
    return () => openMemoryStore({ ...deps, disk })
  }),
]

export const { withStore } = onDisk

/** One test for each kind of store. */
export function both(name: string, work: (kind: StoreKind) => Promise<void>): void {
  for (const each of storeKinds) test(`${name} (${each.kind})`, () => work(each))
}

export const raw = (bytes: Uint8Array | string) => Block.of(codecs.raw, Buffer.from(bytes as string))

/** A node that links to these blocks; `salt` makes it another one. */
export function node(children: CID[], salt = ''): Block {
  const links = children.map((Hash) => ({ Name: '', Tsize: 0, Hash }))
  return Block.of(codecs.dagPb, dagPb.encode({ Data: Buffer.from(salt), Links: links }))
}

export async function putAll(store: Store, blocks: Block[], options: Abortable = {}): Promise<void> {
  using lease = store.lease('test')
  await using writer = store.writer(lease)
  for (const block of blocks) await writer.put(block, options)
  await writer.flush(options)
}

export const missing = CID.parse('bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e')
