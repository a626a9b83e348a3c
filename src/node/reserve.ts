// A file in the home that holds nothing but room. On a disk that is full not even the lock can be written, so not even `gc`
// could run that frees it: then the file goes, and what cannot wait has its place. It is made again once there is
// room for more than it. Nothing depends on it being there.
import { open, rm, stat, statfs } from 'node:fs/promises'
import { codeOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import type { Roots } from '../replicas/words.ts'
import type { Home } from './home.ts'

const name = 'reserve'
const pieceBytes = 65_536

/** Runs the work and, if the disk is too full for it, once more in the room of the reserve. */
export async function withReserve<T>(home: Home, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!saysFull(error) || !(await giveUp(home))) throw error
    return await work()
  }
}

/** Roots that can be let go of however full the disk is: what they keep is often what fills it. */
export function removable(roots: Roots, home: Home): Roots {
  return { ...roots, remove: (cid) => withReserve(home, () => roots.remove(cid)) }
}

/** Makes the reserve if it is not there and the disk has room for it twice. */
export async function makeReserve({ home, random }: { home: Home; random: Random }): Promise<void> {
  const path = home.at(name)
  try {
    const present = await stat(path).catch(() => undefined)
    if (present?.size === limits.reserveBytes) return
    const { bavail, bsize } = await statfs(home.path)
    if (bavail * bsize < 2 * limits.reserveBytes) return
    await using file = await open(path, 'w', 0o600)
    // Chance, since a file system that compresses keeps no room for anything else.
    for (let at = 0; at < limits.reserveBytes; at += pieceBytes) await file.write(random.bytes(pieceBytes))
  } catch {
    await giveUp(home)
  }
}

/** False if there is nothing to give up. */
async function giveUp(home: Home): Promise<boolean> {
  return await rm(home.at(name)).then(
    () => true,
    () => false,
  )
}

function saysFull(error: unknown): boolean {
  const codes = [error, (error as Error).cause].map(codeOf)
  return codes.some((code) => code !== undefined && ['ENOSPC', 'EDQUOT', 'STORE_FULL'].includes(code))
}
