// `potluck add`: files, folders and streams into the store. Paths are made absolute here, because the running peer, which
// reads them, works in another folder.
import { resolve } from 'node:path'
import { formatSize } from '../../core/units.ts'
import type { Added, AddOptions } from '../../node/api.ts'
import { NodeError } from '../../node/errors.ts'
import { requireName } from '../../records/names.ts'
import { define, type Register } from '../define.ts'
import { copiesText, keepFlags, keepOptions } from '../pin-text.ts'

interface AddFlags {
  reference?: boolean
  profile?: string
  offload?: boolean
  pin: boolean
  onlyHash?: boolean
  hidden?: boolean
  ignore?: string[]
  name?: string
}

export const registerAdd: Register = (parent) =>
  define(parent, {
    name: 'add',
    args: '<path...>',
    summary: "add files and whole folders; '-' is stdin; prints a CID for each",
    flags: [
      ...keepFlags,
      [
        '--offload',
        'keep no copy here once others hold all that are wanted; exit code 4, and it stays, if they cannot',
      ],
      ['--reference', 'leave the bytes in your files and remember where they are (they must not change)'],
      ['--profile <name>', 'unixfs-v1-2025 (default) or unixfs-v0-2015, for the CIDs of older Kubo'],
      ['--name <name>', 'set this name to what was added, for all members; one path only'],
      ['--no-pin', 'do not keep it from gc, do not announce it; works without a running peer'],
      ['--only-hash', 'print the CID and store nothing; works without a running peer'],
      ['--hidden', 'take files whose names begin with a dot'],
      ['--ignore <glob...>', 'leave out entries that match, such as node_modules or *.tmp'],
    ],
    examples: [
      'potluck add photos letter.pdf',
      "potluck add project --ignore node_modules '*.log'",
      'tar c src | potluck add -',
      'potluck add site --name team/site     then: potluck get team/site',
      'potluck add photos --copies 3 --wait 2     return when two members hold it',
      'potluck add film.mov --offload             give it to the others, and free the space here',
      'potluck add build.tar --expires 30d',
      'potluck add --reference /srv/videos    share a folder without a second copy',
    ],
    async action(context, paths, given) {
      const flags = given as unknown as AddFlags
      const { output, signal } = context
      const { pin, onlyHash, name, ...rest } = flags
      if (name !== undefined) requireNamable(name, paths, flags)
      const wish = keepOptions(given)
      const needsPeer = (pin && !onlyHash) || name !== undefined
      await using peer = needsPeer ? await context.runningPeer() : await context.anyPeer('add')
      const options: AddOptions = { pin, onlyHash, ...only(rest), ...wish, signal, onProgress: output.progress }
      let misnamed = 0
      for (const path of paths) {
        const added = await peer.add(path === '-' ? process.stdin : resolve(path), options)
        if (name !== undefined) await peer.names.set(name, added.cid, { signal })
        misnamed += added.misnamed
        const document = { ...added, path, ...(name !== undefined && { name }) }
        const named = name === undefined ? '' : `  named ${name}`
        // Without waiting nobody has confirmed anything yet.
        const waited = wish.wait !== undefined || flags.offload
        const copies = waited && isPinned(added) ? `  ${copiesText(added)}` : ''
        await output.result(document, `${added.cid}  ${path}  (${formatSize(added.size)})${copies}${named}`)
        if (added.note) output.say(added.note)
        if (added.skipped > 0)
          output.say(
            `${added.skipped} entries of ${path} were left out: pipes, sockets, devices or the home of this peer`,
          )
      }
      if (misnamed > 0) throw new NodeError('ADD_INCOMPLETE', incomplete(misnamed))
    },
  })

function isPinned(added: Added): added is Added & { copies: number; held: number } {
  return added.copies !== undefined && added.held !== undefined
}

// Unlike a pipe, such a file has content, so that whoever relies on the exit code must hear of it.
function incomplete(misnamed: number): string {
  const what = misnamed === 1 ? '1 file or folder was' : `${misnamed} files or folders were`
  return `everything else was added, but ${what} left out: names that are not UTF-8 cannot be kept; rename them and add again`
}

function requireNamable(name: string, paths: string[], { onlyHash }: AddFlags): void {
  requireName(name)
  if (paths.length > 1) throw new NodeError('REQUEST_INVALID', '--name takes one path: a name stands for one thing')
  if (onlyHash) throw new NodeError('REQUEST_INVALID', '--only-hash stores nothing that --name could stand for')
}

function only({ reference, profile, hidden, ignore, offload }: Partial<AddFlags>): AddOptions {
  return { reference, profile, hidden, ignore, offload }
}
