// `potluck name`: names that all members keep, read and written with as many of them as the caller asks for. A conflict is
// shown with all its values, and a version goes with every value, so that a script can write only over what it has seen.
import { limits } from '../../core/limits.ts'
import { parseTime } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import { type NameInfo, parseLevel, requireValue } from '../../records/names.ts'
import { define, type Register } from '../define.ts'

interface Flags {
  r?: string
  w?: string
  strict?: boolean
  ifVersion?: string
  merge?: string
}

const readFlags: [string, string][] = [
  ['-r <level>', 'wait for so many answers: one, quorum, all or a number (default: a quorum of what can be reached)'],
  ['--strict', 'count owners only; a minority shows what it has, marked as possibly stale'],
]

const writeFlags: [string, string][] = [
  ['-w <level>', 'wait for so many durable copies: one, quorum, all or a number (default: one is enough)'],
  ['--strict', 'count owners only, and need a quorum of them: a minority is refused (exit code 4)'],
  ['--if-version <version>', "write only if this is still the version ('none': only if there is no value); strict"],
]

export const registerNames: Register = (parent) => {
  const name = parent.command('name').description('names for content and small texts, kept by all members')
  registerSetAndGet(name)
  registerIpns(name)
  define(name, {
    name: 'ls',
    args: '[prefix]',
    summary: 'names that begin with the prefix',
    examples: ['potluck name ls', 'potluck --json name ls team/'],
    async action(context, [prefix = '']) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      for await (const info of peer.names.list(prefix, { signal })) await output.result(info, line(info))
    },
  })
  define(name, {
    name: 'rm',
    args: '<name>',
    summary: 'remove a name; history keeps what it was',
    flags: writeFlags,
    examples: ['potluck name rm team/handbook'],
    async action(context, [given = ''], flags) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const info = await peer.names.remove(given, { ...writing(flags), signal })
      await output.result(info, `${info.name}  removed  (${info.acks} of ${info.wanted})`)
    },
  })
  define(name, {
    name: 'watch',
    args: '[prefix]',
    summary: 'every change of names that begin with the prefix, as it happens, until Ctrl-C',
    examples: ['potluck name watch', 'potluck --json name watch team/ | while read -r change; do …; done'],
    async action(context, [prefix = '']) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      for await (const info of peer.names.watch(prefix, { signal })) await output.result(info, line(info))
    },
  })
  define(name, {
    name: 'history',
    args: '<name>',
    summary: 'values that were replaced, newest first, as far as they are kept',
    examples: ['potluck name history team/handbook'],
    async action(context, [given = '']) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      for await (const past of peer.names.history(given, { signal }))
        await output.result(past, `${past.at}  ${past.value ?? '(removed)'}  by ${past.author}`)
    },
  })
}

function registerSetAndGet(name: Parameters<Register>[0]): void {
  define(name, {
    name: 'set',
    args: '<name> [value]',
    summary: "set a name to a CID or any text up to 64 KiB; '-' is stdin",
    flags: [...writeFlags, ['--merge <value>', 'after a conflict: this value in place of all that are there']],
    examples: [
      'potluck name set team/handbook bafy…',
      'potluck name set config/motd - < motd.txt',
      'potluck name set team/handbook bafy… --strict',
      'potluck name set team/handbook --merge bafy…',
    ],
    async action(context, [given = '', text], flags) {
      const { output, signal } = context
      const { merge } = flags as Flags
      if ((text === undefined) === (merge === undefined))
        throw new NodeError('REQUEST_INVALID', 'give a value: potluck name set NAME VALUE, or NAME --merge VALUE')
      const value = await givenValue(merge ?? text!)
      await using peer = await context.runningPeer()
      const options = { ...writing(flags), merge: merge !== undefined, signal }
      const info = await peer.names.set(given, value, options)
      await output.result(info, line(info))
    },
  })
  define(name, {
    name: 'get',
    args: '<name>',
    summary: 'the value of a name, and what conflicts with it',
    flags: readFlags,
    examples: ['potluck name get team/handbook', 'potluck --json name get team/handbook -r all'],
    async action(context, [given = ''], flags) {
      const { output, signal } = context
      const { r, strict } = flags as Flags
      await using peer = await context.runningPeer()
      const options = { ...(r !== undefined && { r: parseLevel(r) }), ...(strict && { strict }), signal }
      const info = await peer.names.get(given, options)
      requireValue(info)
      await output.result(info, line(info))
      if (info.stale) output.say('fewer peers answered than a quorum: there may be a newer value')
    },
  })
}

function registerIpns(name: Parameters<Register>[0]): void {
  define(name, {
    name: 'publish',
    args: '<ref>',
    summary: "IPNS: point the name that is this peer's key at content, for everybody in the network",
    flags: [['--lifetime <time>', 'how long the name holds after this peer was last there (default: 48h)']],
    examples: [
      'potluck name publish bafy…',
      'potluck name publish /ipfs/bafy…/2024 --lifetime 7d',
      'potluck get $(potluck name publish team/handbook)',
    ],
    async action(context, [ref = ''], { lifetime }) {
      const { output, signal } = context
      const lifetimeMs = lifetime === undefined ? undefined : parseTime(lifetime as string)
      await using peer = await context.runningPeer()
      const { servers, ...published } = await peer.names.publish(ref, { lifetimeMs, signal })
      await output.result(published, published.name)
      if (servers === 0) output.say('no other peer has it yet; it is published as soon as one takes it')
    },
  })
  define(name, {
    name: 'resolve',
    args: '<name>',
    summary: 'IPNS: what the name of a key points at now: k51…, 12D3KooW… or /ipns/…',
    examples: ['potluck name resolve k51…', 'potluck ls /ipns/k51…/2024'],
    async action(context, [given = '']) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      const info = await peer.names.resolve(given, { signal })
      await output.result(info, info.value)
    },
  })
}

function writing(flags: Record<string, unknown>) {
  const { w, strict, ifVersion } = flags as Flags
  return { ...(w !== undefined && { w: parseLevel(w) }), strict, ifVersion }
}

function line({ name, value, conflicts, acks, wanted }: NameInfo): string {
  const counted = wanted > 0 ? `  (${acks} of ${wanted})` : ''
  const others = conflicts.map((other) => `\n  conflicts with  ${other ?? '(removed)'}`).join('')
  const advice = conflicts.length > 0 ? `\n  choose with 'potluck name set ${name} --merge VALUE'` : ''
  return `${name}  ${value ?? '(removed)'}${counted}${others}${advice}`
}

// One byte more than allowed is enough to be refused with the right sentence.
async function givenValue(text: string): Promise<string> {
  if (text !== '-') return text
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of process.stdin) {
    pieces.push(piece)
    bytes += piece.byteLength
    if (bytes > limits.recordValueBytesMax) break
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces))
  } catch {
    throw new NodeError('REQUEST_INVALID', "the value is not text in UTF-8; 'potluck add -' keeps any bytes")
  }
}
