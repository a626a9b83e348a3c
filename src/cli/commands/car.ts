// `potluck export` and `potluck import`: content as CAR files, to and from every other IPFS program.
import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { codeOf, sentenceOf } from '../../base/errors.ts'
import { lastName } from '../../core/ref.ts'
import { formatSize } from '../../core/units.ts'
import { carRoots } from '../../files/car.ts'
import type { Peer } from '../../node/api.ts'
import { NodeError } from '../../node/errors.ts'
import type { Context } from '../context.ts'
import { define, type Register } from '../define.ts'

export const registerCar: Register = (parent) => {
  define(parent, {
    name: 'export',
    args: '<ref>',
    summary: 'write all of it to a CAR file (v1)',
    flags: [['-o, --output <file>', "the file; '-' is stdout (default: the last name of the REF, with .car)"]],
    examples: ['potluck export bafy… -o photos.car', 'potluck export bafy… -o - | ssh other potluck import -'],
    async action(context, [ref = ''], flags) {
      const target = (flags.output as string | undefined) ?? `${lastName(ref)}.car`
      await using peer = await context.anyPeer('export')
      if (target === '-') {
        for await (const bytes of peer.exportCar(ref, { signal: context.signal })) await context.output.bytes(bytes)
        return
      }
      const { cid, size } = await writeCar(context, peer, ref, target)
      await context.output.result({ cid, path: resolve(target), size }, `${target}  ${formatSize(size)}`)
    },
  })
  define(parent, {
    name: 'import',
    args: '<file...>',
    summary: "take the blocks of CAR files (v1 or v2) and keep their roots; '-' is stdin",
    flags: [['--no-pin', 'do not keep the roots from gc']],
    examples: ['potluck import photos.car', 'curl https://example.org/x.car | potluck import -'],
    async action(context, files, flags) {
      const { output, signal } = context
      await using peer = await context.anyPeer('import')
      for (const file of files) {
        const source = file === '-' ? process.stdin : await readable(file)
        for (const imported of await peer.importCar(source, {
          pin: flags.pin !== false,
          signal,
          onProgress: output.progress,
        }))
          await output.result(imported, `${imported.cid}  ${imported.blocks} blocks, ${formatSize(imported.bytes)}`)
      }
    },
  })
}

// Opened before the peer is asked, so that a missing file is told as what it is.
async function readable(file: string): Promise<AsyncIterable<Uint8Array>> {
  try {
    if ((await stat(file)).isDirectory()) throw new NodeError('REQUEST_INVALID', `${file} is a folder, not a CAR file`)
    return createReadStream(file, { highWaterMark: 1 << 20 })
  } catch (error) {
    if (error instanceof NodeError) throw error
    const why = codeOf(error) === 'ENOENT' ? 'there is no such file' : sentenceOf(error)
    throw new NodeError(codeOf(error) === 'ENOENT' ? 'FILE_MISSING' : 'REQUEST_INVALID', `${file}: ${why}`)
  }
}

/** What surely holds the header of a CAR with one root. */
const headerBytes = 4_096

// The file appears under its name only when it is whole. What is there and is no file (a pipe, /dev/null) is not replaced.
async function writeCar(
  context: Context,
  peer: Peer,
  ref: string,
  target: string,
): Promise<{ cid: string; size: number }> {
  const { signal, output } = context
  const special = await stat(target)
    .then((stats) => !stats.isFile())
    .catch(() => false)
  const partial = special ? target : join(dirname(resolve(target)), `.${basename(target)}.potluck-${process.pid}`)
  try {
    await using file = await open(partial, 'w')
    let size = 0
    let beginning: Uint8Array = new Uint8Array()
    for await (const bytes of peer.exportCar(ref, { signal, onProgress: output.progress })) {
      size += bytes.byteLength
      if (beginning.byteLength < headerBytes) beginning = Buffer.concat([beginning, bytes])
      await file.writeFile(bytes)
    }
    // A name says nothing of the CID that it stands for; the CAR does.
    const [root] = await carRoots(Readable.from([beginning]))
    if (special) return { cid: String(root), size }
    await file.sync()
    await rename(partial, target)
    return { cid: String(root), size }
  } catch (error) {
    if (!special) await rm(partial, { force: true })
    if (['ENOENT', 'EACCES', 'ENOSPC', 'EROFS', 'EISDIR', 'ENOTDIR'].includes(codeOf(error) ?? ''))
      throw new NodeError('OUTPUT_FAILED', `${target} cannot be written: ${sentenceOf(error)}`, { cause: error })
    throw error
  }
}
