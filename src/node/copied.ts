// Whether a home is a copy: what a backup brought back, or what somebody duplicated. Such a one does not know what the other has
// written since, and must not go on counting under the same name: its writes would be taken for old ones, and lost. So where the
// catalog lies on its disk is noted, and a home that finds itself elsewhere takes a new name for its records. So does one whose
// identity, which is written once, was written again: a backup was copied over its files. A catalog alone that was written over
// in place, or a whole disk that was set back, is not noticed. One that is taken for a copy and is none only counts anew.
import { stat } from 'node:fs/promises'
import type { Log } from '../base/log.ts'
import type { Table } from '../core/ports.ts'
import { renewStore } from '../records/dots.ts'
import type { Home } from './home.ts'

const placeRow = 'place'

/** Throws what keeps the catalog from being looked at or written. */
export async function noticeCopy(
  { home, log }: { home: Home; log: Log },
  tables: { home: Table; records: Table },
): Promise<void> {
  const { ino, birthtimeNs } = await stat(home.at('catalog/data.mdb'), { bigint: true })
  const { ctimeNs } = await stat(home.at('identity.key'), { bigint: true })
  const place = Buffer.from(`${ino} ${birthtimeNs} ${ctimeNs}`)
  const noted = tables.home.get(placeRow)
  if (noted && place.equals(noted)) return
  if (noted) {
    log.warn('this home seems to be a copy, or restored from one: its records are counted anew')
    await renewStore(tables.records)
  }
  // Last, or a crash in between would hide it.
  await tables.home.write([{ put: placeRow, value: place }])
}
