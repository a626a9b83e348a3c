// What can go wrong between blocks and the disk. Errors of the file system and of the database end here: nobody above
// sees one.
import { CodedError, codeOf, sentenceOf } from '../base/errors.ts'

export type StoreErrorCode =
  | 'NOT_FOUND'
  | 'CORRUPT'
  | 'REFERENCE_CHANGED'
  | 'STORE_FULL'
  | 'STORE_FAILED'
  | 'HOME_TOO_NEW'
  | 'CATALOG_DAMAGED'

export class StoreError extends CodedError<StoreErrorCode> {}

/** True for a block that is not there, or not what it was: it can be had again from elsewhere. */
export function isUnreadable(error: unknown): boolean {
  return ['NOT_FOUND', 'CORRUPT', 'REFERENCE_CHANGED'].includes(codeOf(error) ?? '')
}

/** What to do about a catalog that cannot be read. */
export function catalogDamaged(path: string, why: string, cause?: unknown): StoreError {
  const out = `if the disk is sound, restore it from a backup, or move the folder away: large blocks are then found again by their files, but pins and small blocks are lost`
  return new StoreError('CATALOG_DAMAGED', `the catalog ${path} cannot be read: ${why}; ${out}`, { cause })
}

/** What the database throws when it meets something that it cannot have written, and whenever it is used after that. */
export function isDamage(error: unknown): boolean {
  return /^MDB_(CORRUPTED|PAGE_NOTFOUND|BAD_TXN|PANIC|INVALID|BAD_VALSIZE|PROBLEM)/.test(sentenceOf(error))
}

/** A failed write as one of ours: a full disk is told apart, because the user can do something about it. */
export function writeError(error: unknown, directory: string): StoreError {
  if (error instanceof StoreError) return error
  if (isDamage(error)) return catalogDamaged(directory, sentenceOf(error), error)
  const full =
    ['ENOSPC', 'EDQUOT', 'MDB_MAP_FULL'].includes(codeOf(error) ?? '') ||
    /no space left|MDB_MAP_FULL/i.test(sentenceOf(error))
  if (full) {
    const why = `the disk of ${directory} is full; free some space ('potluck gc' may help) and try again`
    return new StoreError('STORE_FULL', why, { retryable: true, cause: error })
  }
  return new StoreError('STORE_FAILED', `cannot write to ${directory}: ${sentenceOf(error)}`, { cause: error })
}
