// Content for one operation: blocks of the store and, when the peer is online, of whoever provides the root. Without a
// running peer a block that is not here cannot be had, and the error says so.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { codeOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { codecs } from '../core/block.ts'
import type { BlockReader, BlockStore, FetchReport, FetchSession, Lease, LinksOf } from '../core/ports.ts'
import type { Ref } from '../core/ref.ts'
import { addPath, addStream, discardingWriter } from '../files/add.ts'
import { profileNamed } from '../files/profiles.ts'
import { resolvePath } from '../files/resolve.ts'
import { type Written, writeTo } from '../files/write.ts'
import type { Added, AddOptions, GetOptions, LongOptions } from './api.ts'
import { NodeError } from './errors.ts'
import type { Online } from './online.ts'

export interface Content extends BlockReader, AsyncDisposable {
  /** Makes sure that every block at and below is in the store. */
  bring(cid: CID, options?: Abortable): Promise<void>
  report(): FetchReport
}

export function contentOf(
  deps: { store: BlockStore; linksOf: LinksOf; online: Online | undefined },
  { root, lease, signal, onProgress }: LongOptions & { root: CID; lease: Lease },
): Content {
  if (deps.online) return onlineContent(deps.online.organs.exchange.session(root, lease, { signal, onProgress }))
  return offlineContent(deps.store, deps.linksOf, lease)
}

function onlineContent(session: FetchSession): Content {
  return {
    get: (cid, options) => session.get(cid, options),
    bring: (cid, options) => session.fetchDag(cid, options),
    report: () => session.report(),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  }
}

function offlineContent(store: BlockStore, linksOf: LinksOf, lease: Lease): Content {
  const get = async (cid: CID, options?: Abortable) => {
    try {
      return await store.get(cid, options)
    } catch (error) {
      if (codeOf(error) !== 'NOT_FOUND') throw error
      const why = `${cid} is not in this store, and no peer is running: start one with 'potluck start'`
      throw new NodeError('NO_PEER', why, { cause: error })
    }
  }
  return {
    get,
    async bring(root, { signal } = {}) {
      await using writer = store.writer(lease)
      const seen = new Set<string>()
      const waiting = [root]
      for (let cid = waiting.pop(); cid; cid = waiting.pop()) {
        signal?.throwIfAborted()
        if (writer.touch(cid) && cid.code === codecs.raw) continue
        const block = await get(cid, { signal })
        for (const link of linksOf(block)) {
          const key = link.toString()
          if (link.code !== codecs.raw && seen.has(key)) continue
          seen.add(key)
          waiting.push(link)
        }
      }
      await writer.flush({ signal })
    },
    report: () => ({ blocks: 0, bytes: 0, sources: {} }),
    [Symbol.asyncDispose]: async () => {},
  }
}

/** What a REF stands for. Nothing is read for one without a path. */
export async function rootOf(content: Content, ref: Ref, signal: AbortSignal): Promise<CID> {
  return ref.path.length === 0 ? ref.root : (await resolvePath(content, ref, { signal })).cid
}

/** Adds a path of this machine, or a stream. All of it is durable when it resolves. `except` is never taken. */
export async function addContent(
  store: BlockStore,
  lease: Lease,
  source: string | AsyncIterable<Uint8Array>,
  options: AddOptions & { profile: string; except: string },
): Promise<Omit<Added, 'cid'> & { cid: CID }> {
  const { hidden = false, ignore = [], reference = false, onlyHash = false, except, signal, onProgress } = options
  await using writer = onlyHash ? discardingWriter : store.writer(lease)
  const common = { profile: profileNamed(options.profile), signal, onProgress }
  const added =
    typeof source === 'string'
      ? await addPath({ writer }, source, { ...common, reference, hidden, ignore, except })
      : await addStream({ writer }, source, common)
  await writer.flush({ signal })
  const { cid, sizeBytes: size, blocks, skipped, misnamed } = added
  return { cid, path: typeof source === 'string' ? source : '-', size, blocks, skipped, misnamed }
}

/** Brings what a REF means and writes it to `output`, or under `name` in the working folder. Throws what `writeTo` throws. */
export async function writeContent(
  content: Content,
  resolved: Ref,
  random: Random,
  { output, name, overwrite = false, signal, onProgress }: GetOptions & { name: string },
): Promise<{ cid: CID; written: Written }> {
  const target = await resolvePath(content, resolved, { signal })
  await content.bring(target.cid, { signal })
  const named = output ?? name
  // As `cp` does: a file given a folder goes into it under its own name.
  const path = target.type === 'file' && (await isFolder(named)) ? join(named, name) : named
  const written = await writeTo({ reader: content, random }, target.cid, path, { signal, onProgress, overwrite })
  return { cid: target.cid, written }
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
}
