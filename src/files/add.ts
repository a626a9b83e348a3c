// Adding: files, folders and streams become UnixFS DAGs whose blocks go to a writer. What a CID means depends on the
// bytes, the names and the profile alone, so the same folder has the same CID here, on another machine and in Kubo.
// Links inside a folder are kept as links and never followed. Nothing is flushed here: the caller commits.
import { basename, join, resolve, sep } from 'node:path'
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { limits } from '../core/limits.ts'
import type { BlockWriter } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'
import { AddRun, addFile } from './add-file.ts'
import { type Link, type PackedLink, packed } from './dag-pb.ts'
import { directoryBlocks } from './directory.ts'
import { describe, readFolder, readLink, realPath } from './disk.ts'
import { FilesError } from './errors.ts'
import { ignoring } from './ignore.ts'
import { Lanes } from './lanes.ts'
import { FileLayout } from './layout.ts'
import type { Profile } from './profiles.ts'
import { Source } from './pull.ts'
import { type Part, partOf, symlinkBlock } from './unixfs.ts'

export interface StreamOptions extends Abortable, Reporting {
  profile: Profile
}

export interface AddOptions extends StreamOptions {
  /** Leave the bytes of leaves in the user's files. Needs a profile with raw leaves. */
  reference?: boolean
  /** Take entries of folders whose names begin with a dot. A path that is named itself is always taken. */
  hidden?: boolean
  /** Globs of entries to leave out, as in a .gitignore. */
  ignore?: string[]
  /** A folder that is never taken, nor what is in it: the peer's own home, which holds its secrets. */
  except?: string
  /** Put the result in a directory of its own, under its name. */
  wrap?: boolean
}

export interface Added {
  cid: CID
  /** As it was given; `-` for a stream. */
  path: string
  /** Bytes of content. */
  sizeBytes: number
  /** Bytes of all blocks, those that are in the DAG several times counted each time. */
  dagBytes: number
  /** Blocks given to the writer. */
  blocks: number
  /** Files and symbolic links. */
  files: number
  /** Entries passed over: sockets, pipes and devices have no content, and the excepted folder is not for others. */
  skipped: number
  /** Entries left out because their names are not UTF-8, which could not be kept. Folders count as one. */
  misnamed: number
}

/** Takes blocks and keeps none: for learning a CID without storing anything. */
export const discardingWriter: BlockWriter = {
  put: async () => {},
  putReference: async () => {},
  touch: () => false,
  flush: async () => {},
  [Symbol.asyncDispose]: async () => {},
}

/**
 * Adds a file or a whole folder; a link that is named itself is followed. Throws NOT_FOUND_PATH, PERMISSION, FILE_CHANGED,
 * SPECIAL_FILE, NAME_INVALID, OPTION_CONFLICT, TOO_DEEP, and what the writer throws. Blocks put before that stay put.
 */
export async function addPath(deps: { writer: BlockWriter }, path: string, options: AddOptions): Promise<Added> {
  if (options.reference && !options.profile.rawLeaves)
    throw new FilesError(
      'OPTION_CONFLICT',
      `references need raw leaves, which profile ${options.profile.name} does not have; use another profile`,
    )
  const place = await realPath(resolve(path))
  const except = options.except && (await realPath(options.except))
  if (except && `${place}${sep}`.startsWith(`${except}${sep}`))
    throw new FilesError(
      'SPECIAL_FILE',
      `'${path}' is in the home of this peer, which holds its secrets; it is not added`,
    )
  const stats = await describe(place)
  if (!stats) throw new FilesError('FILE_CHANGED', `'${path}' vanished while it was being added`)
  if (!stats.isFile() && !stats.isDirectory())
    throw new FilesError(
      'SPECIAL_FILE',
      `'${path}' is a device, a pipe or a socket; to add what comes out of it, add '-'`,
    )
  await using lanes = new Lanes(limits.filesInFlightMax, options)
  const totalBytes = stats.isFile() ? stats.size : undefined
  const run = new AddRun(deps.writer, { ...options, signal: lanes.signal, totalBytes })
  const root = stats.isDirectory()
    ? await new Tree(run, lanes, options, except).add(place)
    : await addFile(run, place, { reference: options.reference ?? false })
  return added(run, path, options.wrap ? await wrapped(run, root, path) : root)
}

/** Adds what comes out of a stream as one file. */
export async function addStream(
  deps: { writer: BlockWriter },
  pieces: AsyncIterable<Uint8Array>,
  options: StreamOptions,
): Promise<Added> {
  const run = new AddRun(deps.writer, options)
  const layout = new FileLayout(options.profile)
  const { chunkBytes } = options.profile
  const source = new Source(pieces)
  let chunk = Buffer.allocUnsafeSlow(chunkBytes)
  let used = 0
  const putChunk = async (bytes: Uint8Array) => run.putAll(layout.add(await run.putLeaf(bytes, run.sizeBytes, '-')))
  try {
    for (let piece = await source.next(options); piece; piece = await source.next(options)) {
      for (let at = 0; at < piece.byteLength; ) {
        const part = piece.subarray(at, at + chunkBytes - used)
        chunk.set(part, used)
        at += part.byteLength
        used += part.byteLength
        if (used < chunkBytes) continue
        await putChunk(chunk)
        chunk = Buffer.allocUnsafeSlow(chunkBytes)
        used = 0
      }
    }
  } finally {
    source.release()
  }
  // A copy, so that a small file does not keep a large buffer alive.
  if (used > 0 || run.sizeBytes === 0) await putChunk(new Uint8Array(chunk.subarray(0, used)))
  const { root, done } = layout.finish()
  await run.putAll(done)
  run.files++
  return added(run, '-', root)
}

function added(run: AddRun, path: string, root: Part): Added {
  const { blocks, files, sizeBytes, skipped, misnamed } = run
  return { cid: root.cid, path, sizeBytes, dagBytes: root.tsize, blocks, files, skipped, misnamed }
}

async function wrapped(run: AddRun, { cid, tsize }: Part, path: string): Promise<Part> {
  const name = basename(resolve(path))
  if (name === '') throw new FilesError('NAME_INVALID', `'${path}' has no name to wrap it under`)
  return await putDirectory(run, [packed({ name, cid, tsize })])
}

async function putDirectory(run: AddRun, entries: PackedLink[]): Promise<Part> {
  const blocks = directoryBlocks(run.profile, entries)
  let next = blocks.next()
  for (; !next.done; next = blocks.next()) await run.put(next.value)
  return next.value
}

/** A folder whose entries are not all known yet. */
interface OpenFolder {
  path: string
  /** Relative to the added folder; empty for that itself. */
  relative: string
  name: string
  parent: OpenFolder | undefined
  entries: PackedLink[]
  /** Entries still on their way, and one more while the folder is being walked. */
  waiting: number
}

// One walker goes through the tree in depth and starts a task for each file. Whoever brings the last entry of a folder
// makes the folder's blocks, within its own lane, and so on upwards: folders never pile up, whatever their shape.
class Tree {
  readonly #run: AddRun
  readonly #lanes: Lanes
  readonly #options: AddOptions
  readonly #except: string | undefined
  readonly #ignored: (path: string, isFolder: boolean) => boolean
  #root: Part | undefined

  /** `except` is a real path. */
  constructor(run: AddRun, lanes: Lanes, options: AddOptions, except: string | undefined) {
    this.#run = run
    this.#lanes = lanes
    this.#options = options
    this.#except = except
    this.#ignored = ignoring(options.ignore ?? [])
  }

  async add(path: string): Promise<Part> {
    await this.#walk({ path, relative: '', name: '', parent: undefined, entries: [], waiting: 1 }, 0)
    await this.#lanes.idle()
    return this.#root!
  }

  async #walk(folder: OpenFolder, depth: number): Promise<void> {
    if (depth > limits.pathDepthMax)
      throw new FilesError('TOO_DEEP', `'${folder.path}' is more than ${limits.pathDepthMax} folders deep`)
    const { entries, misnamed } = await readFolder(folder.path)
    for (const name of misnamed) this.#run.skipMisnamed(join(folder.path, name))
    for (const entry of entries) {
      this.#lanes.signal.throwIfAborted()
      const { name } = entry
      const path = join(folder.path, name)
      const relative = folder.relative === '' ? name : `${folder.relative}/${name}`
      if (name.startsWith('.') && !this.#options.hidden) continue
      if (this.#ignored(relative, entry.isDirectory())) continue
      if (path === this.#except) this.#run.skip(path, 'the home of this peer')
      else if (entry.isDirectory()) {
        folder.waiting++
        await this.#walk({ path, relative, name, parent: folder, entries: [], waiting: 1 }, depth + 1)
      } else if (entry.isFile() || entry.isSymbolicLink()) {
        folder.waiting++
        await this.#lanes.start(async () => {
          const { cid, tsize } = entry.isFile() ? await this.#file(path) : await this.#link(path)
          await this.#settle(folder, { name, cid, tsize })
        })
      } else this.#run.skip(path, entry.isSocket() ? 'a socket' : entry.isFIFO() ? 'a pipe' : 'a device')
    }
    await this.#settle(folder)
  }

  #file(path: string): Promise<Part> {
    return addFile(this.#run, path, { reference: this.#options.reference ?? false })
  }

  async #link(path: string): Promise<Part> {
    const block = symlinkBlock(this.#run.profile, await readLink(path))
    await this.#run.put(block)
    this.#run.files++
    return partOf(block, 0)
  }

  async #settle(folder: OpenFolder, entry?: Link): Promise<void> {
    if (entry) folder.entries.push(packed(entry))
    folder.waiting--
    if (folder.waiting > 0) return
    const part = await putDirectory(this.#run, folder.entries)
    if (folder.parent) await this.#settle(folder.parent, { name: folder.name, cid: part.cid, tsize: part.tsize })
    else this.#root = part
  }
}
