// What benchmarks work on: one large file and a folder of many small ones, random so that nothing is found twice, and the
// ceiling of storing them, which is what `cp` and `sync` take for the same bytes.

import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../base/clock.ts'

const run = promisify(execFile)

const smallFileBytes = 4_096

/** Writes a file of random bytes and returns its path. */
export async function largeFile(directory: string, sizeBytes: number): Promise<string> {
  const path = join(directory, 'large')
  await using file = await open(path, 'w')
  const buffer = new Uint8Array(1 << 20)
  for (let at = 0; at < sizeBytes; at += buffer.byteLength)
    await file.writeFile(randomFillSync(buffer).subarray(0, Math.min(buffer.byteLength, sizeBytes - at)))
  await file.sync()
  return path
}

/** Makes a folder of `count` files of 4 KiB, a hundred folders of them, and returns its path. */
export async function smallFiles(directory: string, count: number): Promise<string> {
  const root = join(directory, 'small')
  const buffer = new Uint8Array(smallFileBytes)
  for (let index = 0; index < count; index++) {
    const folder = join(root, `folder-${index % 100}`)
    if (index < 100) await mkdir(folder, { recursive: true })
    await writeFile(join(folder, `file-${index}`), randomFillSync(buffer))
  }
  await run('sync', ['-f', root])
  return root
}

/** Seconds that `cp` and `sync` take for the same bytes. */
export async function copySeconds(source: string, target: string): Promise<number> {
  const startedMs = systemClock.monotonicMs()
  await run('cp', ['-r', source, target])
  await run('sync', ['-f', target])
  return (systemClock.monotonicMs() - startedMs) / 1000
}
