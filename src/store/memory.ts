// The store over a disk in memory, for simulations: catalog, writer, pins, references and collection are those of the real
// store, and only the disk below is another. So it keeps the promises of the real one, its loss of unflushed blocks
// included, and keeps nothing when the process ends.
import type { Clock } from '../base/clock.ts'
import { systemClock } from '../base/clock.ts'
import type { LinksOf, Table } from '../core/ports.ts'
import { Catalog } from './catalog.ts'
import { type Commit, MemoryDisk, openMemoryDisk } from './memory-disk.ts'
import { Store } from './open.ts'
import { CatalogTable } from './table.ts'

const place = 'memory'

/**
 * Opens the store of a disk. A write of blocks, pins or tables resolves only after `commit` has; until then it can be
 * seen in this store, and is lost if `commit` throws or the disk crashes. Open one store of a disk at a time.
 */
export async function openMemoryStore({
  disk,
  linksOf,
  clock = systemClock,
  commit = async () => {},
}: {
  disk: MemoryDisk
  linksOf: LinksOf
  clock?: Clock
  commit?: Commit
}): Promise<Store> {
  const { environment, files } = openMemoryDisk(disk, commit)
  return new Store({ clock, linksOf }, new Catalog(environment, place), files)
}

/** A table by itself, on a disk of its own. */
export function memoryTable({ commit = async () => {} }: { commit?: Commit } = {}): Table {
  const { environment } = openMemoryDisk(new MemoryDisk(), commit)
  return new CatalogTable(new Catalog(environment, place), place)
}
