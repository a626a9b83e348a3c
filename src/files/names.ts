// Names from a DAG are a stranger's. Before one becomes a path it must be the name of one entry in one folder, on this
// system. Pure.
import { limits } from '../core/limits.ts'
import { FilesError } from './errors.ts'

/** Throws NAME_INVALID unless the name can be an entry of a folder on this platform. */
export function requireEntryName(name: string, platform: NodeJS.Platform): void {
  const problem = problemOf(name) ?? (platform === 'win32' ? windowsProblemOf(name) : undefined)
  if (problem)
    throw new FilesError(
      'NAME_INVALID',
      `the folder has an entry ${shown(name)}, ${problem}: it cannot be written here`,
    )
}

function problemOf(name: string): string | undefined {
  if (name === '') return 'which has no name'
  if (name === '.' || name === '..') return 'which would be another folder'
  if (name.includes('/') || name.includes('\0')) return 'whose name would lead elsewhere'
  const length = Buffer.byteLength(name)
  if (length > limits.nameBytesMax) return `whose name has ${length} bytes, more than ${limits.nameBytesMax}`
  return undefined
}

// https://learn.microsoft.com/windows/win32/fileio/naming-a-file
function windowsProblemOf(name: string): string | undefined {
  if (/[\\:*?"<>|\u0001-\u001f]/.test(name)) return 'whose name has characters that Windows does not allow'
  if (/[. ]$/.test(name)) return 'whose name ends in a way that Windows does not allow'
  if (/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name)) return 'whose name Windows keeps for a device'
  return undefined
}

function shown(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
}

/** Names with the same folded form are one file on disks that do not tell them apart (macOS, Windows). */
export function foldedName(name: string): string {
  return name.normalize('NFC').toLowerCase()
}
