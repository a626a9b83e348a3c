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

/** A failed write as one of ours: a full disk is told apart, because the user can do something about it. */
export function writeError(error: unknown, directory: string): StoreError {
  if (error instanceof StoreError) return error
  const full =
    ['ENOSPC', 'EDQUOT', 'MDB_MAP_FULL'].includes(codeOf(error) ?? '') ||
    /no space left|MDB_MAP_FULL/i.test(sentenceOf(error))
  if (full) {
    const why = `the disk of ${directory} is full; free some space ('potluck gc' may help) and try again`
    return new StoreError('STORE_FULL', why, { retryable: true, cause: error })
  }
  return new StoreError('STORE_FAILED', `cannot write to ${directory}: ${sentenceOf(error)}`, { cause: error })
}
