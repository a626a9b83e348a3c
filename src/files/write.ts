// Writing content to the disk, from a DAG that nobody vouches for. Nothing is ever written outside the target: names are
// checked, folders are entered only if they are folders and not links, links are made last and never followed, and a
// file takes its place by a rename, which replaces a link and not what it points to. A link may point anywhere: it is
// data, and writes nothing. Doing it again continues: what is there with the right content is left alone.
import { dirname, join, resolve } from 'node:path'
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import type { Random } from '../base/random.ts'
import { type Block, matches } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { BlockReader } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import { closeFile, describe, makeFolder, makeFolders, makeLink, openToRead, readAt, readLink, remove } from './disk.ts'
import { diskError, FilesError } from './errors.ts'
import { Lanes } from './lanes.ts'
import { linksIn } from './list.ts'
import { foldedName, requireEntryName } from './names.ts'
import { fileOf, leavesOf } from './read.ts'
import { Slots } from './slots.ts'
import { removeLeftovers, temporaryPath, writeWhole } from './temporary.ts'
import { type UnixfsNode, unixfsOf } from './unixfs.ts'

export interface WriteOptions extends Abortable, Reporting {
  /** Replace files and links that are there with other content. Folders are never replaced, and extra files stay. */
  overwrite?: boolean
}

export interface Written {
  /** Absolute path of the target. */
  path: string
  /** Bytes of content, what was there already included. */
  sizeBytes: number
  /** Files and symbolic links. */
  files: number
  /** Those of them that were there already. */
  kept: number
}

interface WriteDeps {
  reader: BlockReader
  random: Random
}

/**
 * Writes a file, a folder or a symbolic link so that it is at `targetPath`; folders above it are made. Throws
 * TARGET_EXISTS, NAME_INVALID, PERMISSION, DISK_FULL, NOT_FILE, DAG_INVALID, and what the reader throws. What was written
 * before that stays, and is kept when it is done again.
 */
export async function writeTo(deps: WriteDeps, cid: CID, targetPath: string, options: WriteOptions): Promise<Written> {
  await using lanes = new Lanes(limits.filesInFlightMax, options)
  const root = await deps.reader.get(cid, { signal: lanes.signal })
  return await new Writing(deps, lanes, options).run(root, resolve(targetPath))
}

interface Folder {
  cid: CID
  path: string
}

/** A folder that is being filled: what else might be in the place of an entry. */
interface Place {
  /** True if this run made the folder, so that nothing of anyone else's is in it. */
  fresh: boolean
}

class Writing {
  readonly #reader: BlockReader
  readonly #random: Random
  readonly #lanes: Lanes
  readonly #options: WriteOptions
  readonly #bytesInFlight = new Slots(limits.fileBytesInFlightMax)
  readonly #folders: Folder[] = []
  readonly #symlinks: { path: string; target: Uint8Array }[] = []
  /** Of a single file; what a folder holds is not known before its end. */
  #totalBytes: number | undefined
  #sizeBytes = 0
  #files = 0
  #kept = 0
  #folds: boolean | undefined

  constructor({ reader, random }: WriteDeps, lanes: Lanes, options: WriteOptions) {
    this.#reader = reader
    this.#random = random
    this.#lanes = lanes
    this.#options = options
  }

  async run(root: Block, path: string): Promise<Written> {
    const node = unixfsOf(root)
    if (node.type === 'node')
      throw new FilesError('NOT_FILE', `${root.cid} is neither a file nor a folder; export it as a CAR instead`)
    if (node.type === 'directory' || node.type === 'shard') {
      // The target itself may be a link to a folder: the user named it, the DAG did not.
      await makeFolders(path)
      await this.#fill(root, path, { fresh: false })
    } else {
      if (node.type === 'file') this.#totalBytes = node.sizeBytes
      await makeFolders(dirname(path))
      await removeLeftovers(dirname(path))
      await this.#entry(root, node, path, { fresh: false })
    }
    await this.#fillFolders()
    for (const { path, target } of this.#symlinks) await this.#symlink(path, target)
    return { path, sizeBytes: this.#sizeBytes, files: this.#files, kept: this.#kept }
  }

  async #fillFolders(): Promise<void> {
    for (;;) {
      const folder = this.#folders.pop()
      if (folder) {
        const fresh = await this.#enter(folder.path)
        await this.#fill(await this.#reader.get(folder.cid, { signal: this.#lanes.signal }), folder.path, { fresh })
      } else {
        // Files under way may still turn out to be folders.
        await this.#lanes.idle()
        if (this.#folders.length === 0) return
      }
    }
  }

  /** Makes a folder inside the target; true if it is new. Every folder above it has been through this. */
  async #enter(path: string): Promise<boolean> {
    if (await makeFolder(path)) return true
    const stats = await describe(path)
    if (!stats?.isDirectory())
      throw new FilesError(
        'TARGET_EXISTS',
        `cannot make the folder '${path}': ${stats?.isSymbolicLink() ? 'a symbolic link' : 'a file'} is in its place`,
      )
    return false
  }

  async #fill(directory: Block, path: string, place: Place): Promise<void> {
    if (!place.fresh) await removeLeftovers(path)
    const names = new Set<string>()
    const folded = new Set<string>()
    for await (const { name, cid } of linksIn(this.#reader, directory, { signal: this.#lanes.signal })) {
      requireEntryName(name, process.platform)
      // Two entries of one name, or of names that this disk does not tell apart: one would be lost.
      if (names.has(name))
        throw new FilesError('DAG_INVALID', `folder ${directory.cid} has two entries ${JSON.stringify(name)}`)
      if (folded.has(foldedName(name)) && (await this.#foldsNames(path)))
        throw new FilesError('NAME_INVALID', `'${join(path, name)}' and another file would be one file on this disk`)
      names.add(name)
      folded.add(foldedName(name))
      await this.#lanes.start(async () => {
        const block = await this.#reader.get(cid, { signal: this.#lanes.signal })
        await this.#entry(block, unixfsOf(block), join(path, name), place)
      })
    }
  }

  /** True if the disk takes names for one that differ in case, or in how an accent is written. Tried once, when it matters. */
  async #foldsNames(folder: string): Promise<boolean> {
    if (this.#folds === undefined) {
      const probe = temporaryPath(join(folder, '\u00c9'), this.#random)
      await writeWhole({ random: this.#random }, probe, [])
      const twins = ['\u00e9', 'E\u0301'].map((letter) => probe.replace('\u00c9', letter))
      const found = await Promise.all(twins.map(describe))
      await remove(probe)
      this.#folds = found.some((stats) => stats !== undefined)
    }
    return this.#folds
  }

  async #entry(block: Block, node: UnixfsNode, path: string, place: Place): Promise<void> {
    switch (node.type) {
      case 'file':
        return await this.#file(block, path, place)
      case 'directory':
      case 'shard':
        if (this.#folders.length >= limits.walkItemsMax)
          throw new FilesError('DAG_TOO_LARGE', `the DAG has more than ${limits.walkItemsMax} folders side by side`)
        this.#folders.push({ cid: block.cid, path })
        return
      case 'symlink':
        if (this.#symlinks.length >= limits.exportSymlinksMax)
          throw new FilesError('DAG_TOO_LARGE', `the DAG has more than ${limits.exportSymlinksMax} symbolic links`)
        this.#symlinks.push({ path, target: node.target })
        return
      case 'node':
        throw new FilesError('NOT_FILE', `${block.cid}, which would be '${path}', is neither a file nor a folder`)
    }
  }

  async #file(root: Block, path: string, place: Place): Promise<void> {
    const { sizeBytes, links } = fileOf(root)
    // A file of one block is in memory already; a larger one is read ahead by so many blocks.
    const giveBack = links.length > 0 ? await this.#bytesInFlight.take(sizeBytes) : undefined
    try {
      if (!place.fresh && (await this.#isThere(root, path, sizeBytes))) {
        this.#kept++
        this.#done(sizeBytes, path)
      } else await writeWhole({ random: this.#random }, path, this.#contentOf(root, path))
      this.#files++
    } finally {
      giveBack?.()
    }
  }

  async *#contentOf(root: Block, path: string): AsyncGenerator<Uint8Array> {
    const { data, links } = fileOf(root)
    if (links.length === 0) {
      yield data
      return this.#done(data.byteLength, path)
    }
    for await (const { bytes, length } of leavesOf(this.#reader, root.cid, { signal: this.#lanes.signal })) {
      yield bytes!
      this.#done(length, path)
    }
  }

  /** True if the file is there with this content; throws TARGET_EXISTS if something else is, and may not be replaced. */
  async #isThere(root: Block, path: string, sizeBytes: number): Promise<boolean> {
    const stats = await describe(path)
    if (!stats) return false
    if (stats.isFile() && stats.size === sizeBytes && (await this.#isSame(root, path))) return true
    if (stats.isDirectory()) throw new FilesError('TARGET_EXISTS', `cannot write '${path}': a folder is in its place`)
    if (this.#options.overwrite) return false
    throw new FilesError(
      'TARGET_EXISTS',
      `'${path}' is already there with other content; it is replaced only with --overwrite`,
    )
  }

  // Raw leaves are compared by hash, without fetching them: an interrupted download costs only what is missing.
  async #isSame(root: Block, path: string): Promise<boolean> {
    const { signal } = this.#lanes
    const descriptor = await openToRead(path)
    try {
      for await (const leaf of leavesOf(this.#reader, root.cid, { skipRaw: true, signal })) {
        if (leaf.length > limits.blockBytesMax) return false
        const own = await readAt(descriptor, path, leaf.offset, leaf.length)
        if (!own || !(leaf.bytes ? Buffer.compare(own, leaf.bytes) === 0 : matches(leaf.cid, own))) return false
      }
      return true
    } finally {
      await closeFile(descriptor, path)
    }
  }

  async #symlink(path: string, target: Uint8Array): Promise<void> {
    this.#lanes.signal.throwIfAborted()
    if (target.byteLength === 0 || target.includes(0))
      throw new FilesError('DAG_INVALID', `the symbolic link '${path}' has a target that no link can have`)
    const stats = await describe(path)
    if (stats?.isSymbolicLink() && Buffer.compare(await readLink(path), target) === 0) this.#kept++
    else {
      if (stats && (!this.#options.overwrite || stats.isDirectory()))
        throw diskError(Object.assign(new Error(), { code: 'EEXIST' }), 'make the link', path)
      if (stats) await remove(path)
      await makeLink(target, path)
    }
    this.#files++
  }

  #done(sizeBytes: number, path: string): void {
    this.#sizeBytes += sizeBytes
    this.#options.onProgress?.({
      phase: 'writing',
      done: this.#sizeBytes,
      total: this.#totalBytes,
      unit: 'bytes',
      note: path,
    })
  }
}
