// The narrow door to the file system: the few calls that this folder makes, as promises, with errors that name the path.
// Plain descriptors and callbacks instead of FileHandles: with many small files those cost more than the files.
import fs from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../base/errors.ts'
import { diskError } from './errors.ts'

// Windows has neither: there, opening a link or a pipe by name is as safe as it gets.
const noFollow = fs.constants.O_NOFOLLOW ?? 0
const noWait = fs.constants.O_NONBLOCK ?? 0

function call<T>(doing: string, path: string, start: (done: (error: unknown, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown, value?: T) => (error ? reject(diskError(error, doing, path)) : resolve(value as T))
    try {
      start(done)
    } catch (error) {
      done(error)
    }
  })
}

/** Opens for reading. Follows no link and never waits: a pipe in the place of a file opens at once, and is no file. */
export function openToRead(path: string): Promise<number> {
  return call<number>('read', path, (done) => fs.open(path, fs.constants.O_RDONLY | noFollow | noWait, done))
}

/** Creates a file that must not exist yet; errors name `target`, which people know. */
export function createNew(path: string, target: string): Promise<number> {
  const { O_WRONLY, O_CREAT, O_EXCL } = fs.constants
  return call<number>('write', target, (done) => fs.open(path, O_WRONLY | O_CREAT | O_EXCL | noFollow, 0o666, done))
}

export function closeFile(descriptor: number, path: string): Promise<void> {
  return call<void>('close', path, (done) => fs.close(descriptor, done))
}

export function describeOpen(descriptor: number, path: string): Promise<fs.Stats> {
  return call<fs.Stats>('read', path, (done) => fs.fstat(descriptor, done))
}

/** What is at the path itself, a link not followed; undefined if nothing. */
export function describe(path: string): Promise<fs.Stats | undefined> {
  return call<fs.Stats | undefined>('read', path, (done) =>
    fs.lstat(path, (error, stats) => done(codeOf(error) === 'ENOENT' ? undefined : error, stats)),
  )
}

/** Fills a new buffer of exactly `length` bytes; undefined if the file ends before. */
export async function readAt(
  descriptor: number,
  path: string,
  offset: number,
  length: number,
): Promise<Uint8Array | undefined> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let at = 0
  while (at < length) {
    const count = await call<number>('read', path, (done) =>
      fs.read(descriptor, bytes, at, length - at, offset + at, done),
    )
    if (count === 0) return undefined
    at += count
  }
  return bytes
}

export async function writeAt(descriptor: number, path: string, offset: number, bytes: Uint8Array): Promise<void> {
  let at = 0
  while (at < bytes.byteLength)
    at += await call<number>('write', path, (done) =>
      fs.write(descriptor, bytes, at, bytes.byteLength - at, offset + at, done),
    )
}

/** Resolves when the bytes of the file are on the disk. */
export function syncFile(descriptor: number, path: string): Promise<void> {
  return call<void>('write', path, (done) => fs.fdatasync(descriptor, done))
}

export function rename(from: string, to: string): Promise<void> {
  return call<void>('write', to, (done) => fs.rename(from, to, done))
}

export function remove(path: string): Promise<void> {
  return call<void>('remove', path, (done) => fs.unlink(path, done))
}

export function realPath(path: string): Promise<string> {
  return call<string>('read', path, (done) => fs.realpath.native(path, done))
}

/** The target of a link, as the bytes that it is. */
export function readLink(path: string): Promise<Uint8Array> {
  return call<Uint8Array>('read', path, (done) => fs.readlink(path, { encoding: 'buffer' }, done))
}

/** Throws TARGET_EXISTS if something is there already. */
export function makeLink(target: Uint8Array, path: string): Promise<void> {
  return call<void>('create', path, (done) => fs.symlink(Buffer.from(target), path, done))
}

/** Makes a folder; false if something is there already. */
export function makeFolder(path: string): Promise<boolean> {
  return call<boolean>('create', path, (done) =>
    fs.mkdir(path, (error) => (codeOf(error) === 'EEXIST' ? done(undefined, false) : done(error, true))),
  )
}

/** Makes a folder and those above it; links on the way are the user's own and are followed. */
export async function makeFolders(path: string): Promise<void> {
  await call<string | undefined>('create', path, (done) => fs.mkdir(path, { recursive: true }, done))
}

/** An entry of a folder, as far as it matters here. */
export type FolderEntry = Pick<fs.Dirent, 'name' | 'isFile' | 'isDirectory' | 'isSymbolicLink' | 'isSocket' | 'isFIFO'>

/** The entries of a folder, in no order, and the names of those that are not UTF-8: such a name could not be kept as it is. */
export async function readFolder(path: string): Promise<{ entries: FolderEntry[]; misnamed: string[] }> {
  const listed = await call<fs.Dirent[]>('read', path, (done) => fs.readdir(path, { withFileTypes: true }, done))
  // The replacement character stands for bytes that are not UTF-8, unless the name really has it.
  const isSure = (name: string) => !name.includes('\ufffd')
  const entries: FolderEntry[] = listed.filter(({ name }) => isSure(name))
  const misnamed: string[] = []
  if (entries.length === listed.length) return { entries, misnamed }
  for (const bytes of await call<Buffer[]>('read', path, (done) => fs.readdir(path, { encoding: 'buffer' }, done))) {
    const name = bytes.toString()
    if (Buffer.compare(Buffer.from(name), bytes) !== 0) misnamed.push(name)
    else if (!isSure(name)) {
      const stats = await describe(join(path, name))
      if (stats) entries.push(Object.assign(stats, { name }))
    }
  }
  return { entries, misnamed }
}
