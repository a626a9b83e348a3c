// Files of large blocks: `blocks/SHARD/HASH-ID`. The id is new for every write, so that a file which is being deleted can
// never be one that was just written for the same block. For the same reason bytes go straight to the final name: a file
// counts only once the catalog names it, and one that no entry names is an orphan, which `sweepOrphans` removes.
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { limits } from '../core/limits.ts'
import { DurableFiles } from './durable-files.ts'

/** Where a block's file lies: its key in the catalog and its id. */
export interface FileName {
  key: Uint8Array
  fileId: string
}

export interface BlockFiles {
  /** Writes and syncs the bytes; the folder entry is durable after `syncShards`. Returns the id of the file. */
  write(key: Uint8Array, bytes: Uint8Array): Promise<string>
  /** Makes the names of written files durable. */
  syncShards(names: FileName[]): Promise<void>
  /** The files are in the catalog, or given up. */
  settle(names: FileName[]): void
  /** Undefined if there is no such file. */
  read(name: FileName): Promise<Uint8Array | undefined>
  remove(names: FileName[]): Promise<void>
  /** Moves a damaged file out of the way, for whoever wants to look at it. */
  quarantine(name: FileName): Promise<void>
  /** Every file that is there, shard by shard. */
  list(): AsyncIterable<FileName[]>
  /** Written and not yet in the catalog. */
  isUnderway(name: FileName): boolean
}

export class DiskFiles implements BlockFiles {
  readonly #directory: string
  readonly #quarantine: string
  readonly #random: Random
  readonly #durable = new DurableFiles()
  readonly #shards = new Map<string, Promise<void>>()
  /** Makes the names of all shards durable that have been used so far; undefined while some is not. */
  #shardNamesSynced: Promise<void> | undefined
  /** Written and not yet in the catalog: no orphans. */
  readonly #underway = new Set<string>()

  constructor(deps: { random: Random }, home: string) {
    this.#directory = join(home, 'blocks')
    this.#quarantine = join(home, 'quarantine')
    this.#random = deps.random
  }

  async make(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    await syncFolder(dirname(this.#directory))
  }

  async write(key: Uint8Array, bytes: Uint8Array): Promise<string> {
    const fileId = Buffer.from(this.#random.bytes(6)).toString('hex')
    await this.#makeShard(shardOf(key))
    this.#underway.add(fileId)
    try {
      await this.#durable.write(this.#path({ key, fileId }), bytes)
    } catch (error) {
      this.#underway.delete(fileId)
      throw error
    }
    return fileId
  }

  async syncShards(names: FileName[]): Promise<void> {
    await this.#syncShardNames()
    const shards = new Set(names.map(({ key }) => shardOf(key)))
    await Promise.all(Array.from(shards, (shard) => syncFolder(join(this.#directory, shard))))
  }

  settle(names: FileName[]): void {
    for (const { fileId } of names) this.#underway.delete(fileId)
  }

  async read(name: FileName): Promise<Uint8Array | undefined> {
    try {
      await using file = await open(this.#path(name), 'r')
      const { size } = await file.stat()
      // One that has grown past any block has rotted, and reading some of it shows that as well.
      const bytes = Buffer.allocUnsafeSlow(Math.min(size, limits.blockBytesMax + 1))
      const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, 0)
      return bytes.subarray(0, bytesRead)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async remove(names: FileName[]): Promise<void> {
    for (let at = 0; at < names.length; at += 64)
      await Promise.all(names.slice(at, at + 64).map((name) => rm(this.#path(name), { force: true })))
  }

  async quarantine(name: FileName): Promise<void> {
    await mkdir(this.#quarantine, { recursive: true, mode: 0o700 })
    const target = join(this.#quarantine, fileName(name))
    await rename(this.#path(name), target).catch((error) => {
      if (codeOf(error) !== 'ENOENT') throw error
    })
  }

  // Files with other names are not ours and are passed over.
  async *list(): AsyncGenerator<FileName[]> {
    for (const shard of await readdir(this.#directory)) {
      const names = await readdir(join(this.#directory, shard)).catch(() => [] as string[])
      yield names.map(parseFileName).filter((name) => name !== undefined)
    }
  }

  isUnderway({ fileId }: FileName): boolean {
    return this.#underway.has(fileId)
  }

  #syncShardNames(): Promise<void> {
    const synced = this.#shardNamesSynced ?? syncFolder(this.#directory)
    this.#shardNamesSynced = synced
    synced.catch(() => {
      if (this.#shardNamesSynced === synced) this.#shardNamesSynced = undefined
    })
    return synced
  }

  #makeShard(shard: string): Promise<void> {
    let made = this.#shards.get(shard)
    if (!made) {
      made = mkdir(join(this.#directory, shard), { recursive: true, mode: 0o700 }).then(() => {
        // Also for one that was there: whoever made it may have died before its name was durable.
        this.#shardNamesSynced = undefined
      })
      made.catch(() => this.#shards.delete(shard))
      this.#shards.set(shard, made)
    }
    return made
  }

  #path(name: FileName): string {
    return join(this.#directory, shardOf(name.key), fileName(name))
  }
}

// The multihash itself may begin alike for all blocks (its code and length), so the shard comes from its end.
function shardOf(key: Uint8Array): string {
  return Buffer.from(key.subarray(-1)).toString('hex')
}

function fileName({ key, fileId }: FileName): string {
  return `${Buffer.from(key).toString('base64url')}-${fileId}`
}

function parseFileName(text: string): FileName | undefined {
  const match = /^([\w-]+)-([0-9a-f]{12})$/.exec(text)
  return match ? { key: new Uint8Array(Buffer.from(match[1]!, 'base64url')), fileId: match[2]! } : undefined
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}
