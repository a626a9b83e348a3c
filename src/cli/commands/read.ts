// `potluck get`, `cat`, `ls` and `find`: content out of the store, or from whoever has it.
import { resolve } from 'node:path'
import { lastName } from '../../core/ref.ts'
import { formatSize, formatTime, parseSize } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import { define, type Register } from '../define.ts'

export const registerRead: Register = (parent) => {
  registerGet(parent)
  registerCat(parent)
  registerLs(parent)
  registerFind(parent)
}

const registerGet: Register = (parent) =>
  define(parent, {
    name: 'get',
    args: '<ref>',
    summary: 'fetch a file or folder, verify every byte, and write it here',
    flags: [
      ['-o, --output <path>', 'where to write (default: the last name of the REF)'],
      ['--overwrite', 'replace files that are there with other content'],
    ],
    examples: ['potluck get bafy… -o photos', 'potluck get team/handbook', 'potluck get /ipns/k51…/2024'],
    async action(context, [ref = ''], flags) {
      const { output, signal } = context
      const target = resolve((flags.output as string | undefined) ?? lastName(ref))
      await using peer = await context.anyPeer('get')
      const got = await peer.get(ref, {
        output: target,
        overwrite: flags.overwrite === true,
        signal,
        onProgress: output.progress,
      })
      const sources = Object.keys(got.sources).length
      const from = sources === 0 ? 'all of it was here' : `from ${sources} ${sources === 1 ? 'peer' : 'peers'}`
      const rate = got.seconds > 0 ? `, ${formatSize(got.size / got.seconds)}/s` : ''
      await output.result(
        got,
        `${got.path}  ${formatSize(got.size)} in ${formatTime(got.seconds * 1000)}${rate}, ${from}`,
      )
    },
  })

const registerCat: Register = (parent) =>
  define(parent, {
    name: 'cat',
    args: '<ref>',
    summary: 'print the bytes of a file',
    flags: [
      ['--offset <size>', 'skip this many bytes'],
      ['--length <size>', 'print at most this many bytes'],
    ],
    examples: ['potluck cat bafy…/notes.txt', 'potluck cat bafy… --offset 1GiB --length 1MiB | xxd'],
    async action(context, [ref = ''], flags) {
      const { output, signal } = context
      const size = (name: string) => (flags[name] === undefined ? undefined : parseSize(flags[name] as string))
      await using peer = await context.anyPeer('cat')
      for await (const bytes of peer.cat(ref, { offset: size('offset'), length: size('length'), signal }))
        await output.bytes(bytes)
    },
  })

const registerLs: Register = (parent) =>
  define(parent, {
    name: 'ls',
    args: '<ref>',
    summary: 'list a folder: CID, size and name of each entry',
    flags: [['-r, --recursive', 'folders below too']],
    examples: ['potluck ls bafy…', 'potluck --json ls -r bafy…/2024'],
    async action(context, [ref = ''], flags) {
      const { output, signal } = context
      await using peer = await context.anyPeer('ls')
      for await (const entry of peer.ls(ref, { recursive: flags.recursive === true, signal })) {
        // One line an entry: a name with a line end in it could pass for another entry.
        const shown = entry.name.replaceAll('\n', '\\u000a')
        const name = entry.type === 'directory' ? `${shown}/` : shown
        await output.result(
          entry,
          `${entry.cid}  ${(entry.size === null ? '-' : formatSize(entry.size)).padStart(10)}  ${name}`,
        )
      }
    },
  })

const registerFind: Register = (parent) =>
  define(parent, {
    name: 'find',
    args: '<ref>',
    summary: 'say who provides it, and by which way each was found: own, ring, peers, dht',
    examples: ['potluck find bafy…', 'potluck --json find bafy…'],
    async action(context, [ref = ''], _flags) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      let count = 0
      for await (const found of peer.find(ref, { signal, onProgress: output.progress })) {
        count++
        await output.result(found, `${found.peerId}  ${found.via}  ${found.addresses.join(' ')}`)
      }
      if (count === 0)
        throw new NodeError('NOT_PROVIDED', `nobody that can be reached says it has ${ref}`, { retryable: true })
    },
  })
