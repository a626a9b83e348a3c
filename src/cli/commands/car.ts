// `potluck export` and `potluck import`: content as CAR files, to and from every other IPFS program.
import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { codeOf, sentenceOf } from '../../base/errors.ts'
import { parseRef } from '../../core/ref.ts'
import { formatSize } from '../../core/units.ts'
import type { Peer } from '../../node/api.ts'
import { NodeError } from '../../node/errors.ts'
import type { Context } from '../context.ts'
import { define, type Register } from '../define.ts'

export const registerCar: Register = (parent) => {
  define(parent, {
    name: 'export',
    args: '<ref>',
    summary: 'write all of it to a CAR file (v1)',
    flags: [['-o, --output <file>', "the file; '-' is stdout (default: CID.car)"]],
    examples: ['potluck export bafy… -o photos.car', 'potluck export bafy… -o - | ssh other potluck import -'],
    async action(context, [ref = ''], flags) {
      const { root } = parseRef(ref)
      const target = (flags.output as string | undefined) ?? `${root}.car`
      await using peer = await context.anyPeer('export')
      const sizeBytes = await writeCar(context, peer, ref, target)
      if (target !== '-')
        await context.output.result(
          { cid: root.toString(), path: resolve(target), size: sizeBytes },
          `${target}  ${formatSize(sizeBytes)}`,
        )
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

// The file appears under its name only when it is whole. What is there and is no file (a pipe, /dev/null) is not replaced.
async function writeCar(context: Context, peer: Peer, ref: string, target: string): Promise<number> {
  const { output, signal } = context
  let sizeBytes = 0
  if (target === '-') {
    for await (const bytes of peer.exportCar(ref, { signal })) {
      sizeBytes += bytes.byteLength
      await output.bytes(bytes)
    }
    return sizeBytes
  }
  const special = await stat(target)
    .then((stats) => !stats.isFile())
    .catch(() => false)
  const partial = special ? target : join(dirname(resolve(target)), `.${basename(target)}.potluck-${process.pid}`)
  try {
    await using file = await open(partial, 'w')
    for await (const bytes of peer.exportCar(ref, { signal, onProgress: output.progress })) {
      sizeBytes += bytes.byteLength
      await file.writeFile(bytes)
    }
    if (special) return sizeBytes
    await file.sync()
    await rename(partial, target)
    return sizeBytes
  } catch (error) {
    if (!special) await rm(partial, { force: true })
    if (['ENOENT', 'EACCES', 'ENOSPC', 'EROFS', 'EISDIR', 'ENOTDIR'].includes(codeOf(error) ?? ''))
      throw new NodeError('OUTPUT_FAILED', `${target} cannot be written: ${sentenceOf(error)}`, { cause: error })
    throw error
  }
}
