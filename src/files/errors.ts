// What can go wrong between a user's files and a DAG: names, permissions, full disks, and data that lies about itself.
import { CodedError, codeOf, sentenceOf } from '../base/errors.ts'

export type FilesErrorCode =
  | 'NOT_FOUND_PATH'
  | 'PERMISSION'
  | 'DISK_FULL'
  | 'DISK_FAILED'
  | 'NAME_INVALID'
  | 'SPECIAL_FILE'
  | 'FILE_CHANGED'
  | 'TOO_DEEP'
  | 'TARGET_EXISTS'
  | 'OPTION_CONFLICT'
  | 'PROFILE_UNKNOWN'
  | 'CODEC_UNSUPPORTED'
  | 'DAG_INVALID'
  | 'DAG_TOO_LARGE'
  | 'PATH_NOT_FOUND'
  | 'IS_DIRECTORY'
  | 'NOT_DIRECTORY'
  | 'NOT_FILE'
  | 'CAR_INVALID'
  | 'CAR_TRUNCATED'
  | 'MISMATCH'
  | 'HASH_UNSUPPORTED'
  | 'BLOCK_TOO_LARGE'

export class FilesError extends CodedError<FilesErrorCode> {}

/** An error of the file system as one of ours; `doing` completes "cannot … 'path'". */
export function diskError(error: unknown, doing: string, path: string): FilesError {
  const failed = (code: FilesErrorCode, reason: string, retryable = false) =>
    new FilesError(code, `cannot ${doing} '${path}': ${reason}`, { cause: error, retryable })
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return failed('NOT_FOUND_PATH', 'there is no such file or folder')
    case 'EACCES':
    case 'EPERM':
      return failed('PERMISSION', 'you do not have permission')
    case 'EROFS':
      return failed('PERMISSION', 'the disk is read-only')
    case 'ENOSPC':
    case 'EDQUOT':
      return failed('DISK_FULL', 'the disk is full')
    case 'ENAMETOOLONG':
      return failed('NAME_INVALID', 'the name is too long for this disk')
    case 'EEXIST':
    case 'EISDIR':
    case 'ENOTEMPTY':
      return failed(
        'TARGET_EXISTS',
        'something else is already there; a file or link is replaced only with --overwrite',
      )
    case 'ELOOP':
      return failed('TARGET_EXISTS', 'it is a symbolic link, which is not followed here')
    default:
      return failed('DISK_FAILED', sentenceOf(error), true)
  }
}
