// Writes new files whose bytes are on the disk when it returns. Where the system allows, bytes go past its page cache: filling
// the cache with what was only just received costs ten times the CPU of the write itself, and pushes out what the user
// works with. Such a write wants memory and lengths aligned to pages. WebAssembly memory is the one kind that JavaScript has
// whose address is known to be aligned, so a few slots of it are filled and written in turn, and the file is cut to its
// length afterwards. A file system that does not know direct writes gets ordinary ones, with the same promise.
import { constants, type FileHandle, open, rm } from 'node:fs/promises'
import { codeOf } from '../base/errors.ts'
import { limits } from '../core/limits.ts'

/** Direct writes begin, end and lie in memory at multiples of this; the sectors of every common disk divide it. */
const pageBytes = 4096
const slotBytes = 1024 * 1024

export class DurableFiles {
  /** Memory for direct writes; empty slots while the system does not have such writes. */
  readonly #free: (Uint8Array | undefined)[]
  readonly #waiting: (() => void)[] = []
  #direct: boolean

  constructor() {
    const slots = alignedSlots(limits.fileWritesMax)
    this.#direct = slots !== undefined
    this.#free = slots ?? new Array(limits.fileWritesMax).fill(undefined)
  }

  /** Makes a file with these bytes. Its name is durable once the folder has been synced. Leaves nothing behind when it throws. */
  async write(path: string, bytes: Uint8Array): Promise<void> {
    while (this.#free.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    const slot = this.#free.pop()
    try {
      if (slot && this.#direct && (await this.#writeDirect(path, bytes, slot))) return
      await create(path, 0, async (file) => {
        for (let at = 0; at < bytes.byteLength; ) at += (await file.write(bytes, at)).bytesWritten
      })
    } finally {
      this.#free.push(slot)
      this.#waiting.shift()?.()
    }
  }

  /** False if this file system does not have direct writes. */
  async #writeDirect(path: string, bytes: Uint8Array, slot: Uint8Array): Promise<boolean> {
    try {
      await create(path, constants.O_DIRECT, async (file) => {
        for (let at = 0; at < bytes.byteLength; at += slotBytes) {
          const part = bytes.subarray(at, at + slotBytes)
          slot.set(part)
          const padded = Math.ceil(part.byteLength / pageBytes) * pageBytes
          const { bytesWritten } = await file.write(slot, 0, padded, at)
          // A full disk ends a write early; the rest is written again to hear why.
          if (bytesWritten < padded) await file.write(slot, bytesWritten, padded - bytesWritten, at + bytesWritten)
        }
        if (bytes.byteLength % pageBytes !== 0) await file.truncate(bytes.byteLength)
      })
      return true
    } catch (error) {
      if (!['EINVAL', 'EOPNOTSUPP', 'ENOTSUP'].includes(codeOf(error) ?? '')) throw error
      this.#direct = false
      return false
    }
  }
}

async function create(path: string, flags: number, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  let made = false
  try {
    await using file = await open(path, flags | constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)
    made = true
    await fill(file)
    await file.datasync()
  } catch (error) {
    // Some file systems make the file before they refuse to open it for direct writes.
    if (made || codeOf(error) === 'EINVAL') await rm(path, { force: true }).catch(() => {})
    throw error
  }
}

function alignedSlots(count: number): Uint8Array[] | undefined {
  if (constants.O_DIRECT === undefined) return undefined
  try {
    const { buffer } = new WebAssembly.Memory({ initial: (count * slotBytes) / 65_536 })
    return Array.from({ length: count }, (_, index) => new Uint8Array(buffer, index * slotBytes, slotBytes))
  } catch {
    // It reserves gigabytes of address space, without using them, which a process may be forbidden to do.
    return undefined
  }
}
