// The head of the catalog's file, looked at before the database maps it into memory: mapped, a head that is garbage or a file
// that was cut ends the whole process with a signal. Two pages at the start say by turns where the roots of the trees
// are. This finds what they can tell; damage further in is told by the database when it gets there.
//
// Source: MDB_meta, MDB_db and the page header in lmdb's mdb.c, format 2, on machines of 64 bits.
import { type FileHandle, open } from 'node:fs/promises'
import { codeOf } from '../base/errors.ts'

const magic = 0xbeefc0de
const formatVersion = 2
/** A page begins with its number, its transaction and its flags. */
const headerBytes = 24
const headBytes = headerBytes + 136
/** Greater than any; stands for the root of an empty tree. */
const noPage = 2n ** 64n - 1n

interface Head {
  pageBytes: number
  roots: bigint[]
  lastPage: bigint
  transaction: bigint
}

/**
 * What is wrong with the file; undefined if nothing that can be seen, or if there is no file yet. A file that ends before
 * its last page is made longer: that page may be unused, and if it is not, the database finds nothing there and says so.
 */
export async function headProblem(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, 'r+')
    const { size } = await file.stat()
    if (size === 0) return undefined
    const first = await readHead(file, 0)
    const second = first && (await readHead(file, first.pageBytes))
    if (!first || second?.pageBytes !== first.pageBytes) return 'its first pages are damaged'
    const { pageBytes, roots, lastPage } = first.transaction > second.transaction ? first : second
    const pages = BigInt(Math.floor(size / pageBytes))
    for (const root of roots.filter((root) => root !== noPage)) {
      if (root >= pages) return 'its end is missing'
      if (!(await isNode(file, root, pageBytes))) return 'a root of its trees is damaged'
    }
    // Unused pages at the end are few.
    if (lastPage >= 2n * pages) return 'most of it is missing'
    if (lastPage >= pages) await file.truncate(Number(lastPage + 1n) * pageBytes)
    return undefined
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** True if the page is what its place says, and the branch or the leaf of a tree. */
async function isNode(file: FileHandle, page: bigint, pageBytes: number): Promise<boolean> {
  const { buffer } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, Number(page) * pageBytes)
  return buffer.readBigUInt64LE(0) === page && [1, 2].includes(buffer.readUInt16LE(18))
}

async function readHead(file: FileHandle, at: number): Promise<Head | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, at)
  if (bytesRead < headBytes) return undefined
  const page = buffer.subarray(headerBytes)
  // The upper half of the version holds flags.
  if (page.readUInt32LE(0) !== magic || page.readUInt16LE(4) !== formatVersion) return undefined
  const pageBytes = page.readUInt32LE(24)
  if (pageBytes < 256 || pageBytes > 65_536 || (pageBytes & (pageBytes - 1)) !== 0) return undefined
  return {
    pageBytes,
    roots: [page.readBigUInt64LE(64), page.readBigUInt64LE(112)],
    lastPage: page.readBigUInt64LE(120),
    transaction: page.readBigUInt64LE(128),
  }
}
