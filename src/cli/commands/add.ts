// `potluck add`: files, folders and streams into the store. Paths are made absolute here, because the running peer, which
// reads them, works in another folder.
import { resolve } from 'node:path'
import { formatSize } from '../../core/units.ts'
import type { AddOptions } from '../../node/api.ts'
import { define, type Register } from '../define.ts'

interface AddFlags {
  reference?: boolean
  profile?: string
  pin: boolean
  onlyHash?: boolean
  hidden?: boolean
  ignore?: string[]
}

export const registerAdd: Register = (parent) =>
  define(parent, {
    name: 'add',
    args: '<path...>',
    summary: "add files and whole folders; '-' is stdin; prints a CID for each",
    flags: [
      ['--reference', 'leave the bytes in your files and remember where they are (they must not change)'],
      ['--profile <name>', 'unixfs-v1-2025 (default) or unixfs-v0-2015, for the CIDs of older Kubo'],
      ['--no-pin', 'do not keep it from gc, do not announce it; works without a running peer'],
      ['--only-hash', 'print the CID and store nothing; works without a running peer'],
      ['--hidden', 'take files whose names begin with a dot'],
      ['--ignore <glob...>', 'leave out entries that match, such as node_modules or *.tmp'],
    ],
    examples: [
      'potluck add photos letter.pdf',
      "potluck add project --ignore node_modules '*.log'",
      'tar c src | potluck add -',
      'potluck add --reference /srv/videos    share a folder without a second copy',
    ],
    async action(context, paths, given) {
      const flags = given as unknown as AddFlags
      const { output, signal } = context
      const { pin, onlyHash, ...rest } = flags
      const needsPeer = pin && !onlyHash
      await using peer = needsPeer ? await context.runningPeer() : await context.anyPeer('add')
      const options: AddOptions = { pin, onlyHash, ...only(rest), signal, onProgress: output.progress }
      for (const path of paths) {
        const added = await peer.add(path === '-' ? process.stdin : resolve(path), options)
        const document = { ...added, path }
        await output.result(document, `${added.cid}  ${path}  (${formatSize(added.size)})`)
        if (added.skipped > 0)
          output.say(
            `${added.skipped} entries of ${path} were left out: pipes, sockets, devices or the home of this peer`,
          )
      }
    },
  })

function only({ reference, profile, hidden, ignore }: Omit<AddFlags, 'pin' | 'onlyHash'>): AddOptions {
  return { reference, profile, hidden, ignore }
}
