// Files under way. A file is written beside its target under a temporary name that says which process writes it, made
// durable, and renamed: the target is whole or absent, whatever happens. What a killed process left is recognized by its
// name and removed by the next one that writes to the folder.
import { basename, dirname, join } from 'node:path'
import { codeOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import { closeFile, createNew, readFolder, remove, rename, syncFile, writeAt } from './disk.ts'

/** Temporary files that this process is writing now. */
const underWay = new Set<string>()

/**
 * Writes a file whole or not at all; replaces what is at the path, unless that is a folder (TARGET_EXISTS). Throws
 * DISK_FULL, PERMISSION, and what `pieces` throws.
 */
export async function writeWhole(
  { random }: { random: Random },
  path: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const temporary = temporaryPath(path, random)
  underWay.add(temporary)
  try {
    const descriptor = await createNew(temporary, path)
    try {
      await writeAll(descriptor, path, pieces)
      await syncFile(descriptor, path)
    } finally {
      await closeFile(descriptor, path)
    }
    await rename(temporary, path)
  } catch (error) {
    await remove(temporary).catch(() => {})
    throw error
  } finally {
    underWay.delete(temporary)
  }
}

/** Writes the pieces one after another in the file, a few at the same time: the next is verified while the disk works. */
async function writeAll(
  descriptor: number,
  path: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const writes: Promise<void>[] = []
  try {
    let offset = 0
    for await (const bytes of pieces) {
      const write = writeAt(descriptor, path, offset, bytes)
      write.catch(() => {})
      writes.push(write)
      offset += bytes.byteLength
      if (writes.length > limits.fileChunksAhead) await writes.shift()
    }
    await Promise.all(writes)
  } finally {
    // The descriptor stays open until nobody writes to it.
    await Promise.allSettled(writes)
  }
}

const pattern = /^\..*\.potluck-(\d+)-[0-9a-f]{16}$/s

/** The name of the target, so that people know what it is, cut so that the whole is not too long for a name. */
export function temporaryPath(path: string, random: Random): string {
  const suffix = `.potluck-${process.pid}-${Buffer.from(random.bytes(8)).toString('hex')}`
  let name = basename(path)
  while (Buffer.byteLength(name) + suffix.length + 1 > limits.nameBytesMax) name = [...name].slice(0, -8).join('')
  return join(dirname(path), `.${name}${suffix}`)
}

/** Removes the temporary files in a folder whose writers are gone. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const entry of (await readFolder(folder)).entries) {
    const writer = entry.isFile() ? pattern.exec(entry.name)?.[1] : undefined
    const path = join(folder, entry.name)
    if (writer === undefined || underWay.has(path) || isOtherProcess(Number(writer))) continue
    await remove(path).catch(() => {})
  }
}

/** True if the number is that of another process that runs now. In a container ours may be that of a dead one. */
function isOtherProcess(id: number): boolean {
  if (id === process.pid) return false
  try {
    return process.kill(id, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}
