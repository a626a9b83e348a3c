// The API as a table: one row per operation, with its JSON schema, so that routing, validation and the OpenAPI document
// come from one place. A row calls one method of Peer and adds nothing to it.
import { isAbsolute } from 'node:path'
import { limits } from '../core/limits.ts'
import type { LongOptions, Peer } from '../node/api.ts'
import { NodeError } from '../node/errors.ts'

type Args = Record<string, unknown>

/** One JSON result, a stream of them, or bytes. */
export type Answer = Promise<unknown> | AsyncIterable<unknown>

export interface Operation {
  /** Path below `/api/v1/`. */
  path: string
  summary: string
  /** `json`: NDJSON lines of progress and results. `bytes`: the body is the content. */
  gives: 'json' | 'bytes'
  /** `json`: arguments in a JSON body. `bytes`: arguments in the query, content in the body. */
  takes: 'json' | 'bytes'
  /** JSON schema properties of the arguments. */
  properties: Record<string, { type?: string; description: string; items?: { type: string }; anyOf?: object[] }>
  required: string[]
  run(peer: Peer, args: Args, options: LongOptions, body: AsyncIterable<Uint8Array>): Answer
}

const text = (description: string) => ({ type: 'string', description })
const flag = (description: string) => ({ type: 'boolean', description })
const count = (description: string) => ({ type: 'integer', minimum: 0, description })
const copies = (description: string) => ({
  type: 'integer',
  minimum: 1,
  maximum: limits.copiesMax,
  description,
})
const texts = (description: string) => ({ type: 'array', items: { type: 'string' }, description })

const ref = { ref: text('CID, CID/a/b, /ipfs/CID/a/b, /ipns/NAME/a/b or a name') }
const wishes = {
  copies: copies('members that shall hold it; may be more than there are'),
  wait: copies('return when so many members hold all of it'),
  expiresMs: count('when the pin ends: wall time, milliseconds since 1970'),
}
const addFlags = {
  ...wishes,
  offload: flag('keep no copy here once the others hold it'),
  profile: text('unixfs-v1-2025 or unixfs-v0-2015'),
  pin: flag('keep the content and announce it; default true'),
  onlyHash: flag('compute the CID and store nothing'),
}

type Row = Omit<Operation, 'gives' | 'takes' | 'required'> & Partial<Pick<Operation, 'gives' | 'takes' | 'required'>>

const row = (given: Row): Operation => ({ gives: 'json', takes: 'json', required: [], ...given })

const level = {
  anyOf: [{ type: 'string' }, { type: 'integer', minimum: 1 }],
  description: 'one, quorum, all, a number',
}
const name = { name: text('a name, such as team/handbook') }
const prefix = { prefix: text('how the names begin; default: all') }
const strict = { strict: flag('count owners only') }
const writing = { w: level, ...strict, ifVersion: text('write only if this is the present version') }

const nameOperations: Operation[] = [
  row({
    path: 'name/get',
    summary: 'The value of a name',
    properties: { ...name, r: level, ...strict },
    required: ['name'],
    run: (peer, args, options) => peer.names.get(args.name as string, { ...args, ...options }),
  }),
  row({
    path: 'name/set',
    summary: 'Set a name to a CID or text',
    properties: {
      ...name,
      value: text('a CID or text'),
      ...writing,
      merge: flag('in place of all conflicting values'),
    },
    required: ['name', 'value'],
    run: (peer, args, options) => peer.names.set(args.name as string, args.value as string, { ...args, ...options }),
  }),
  row({
    path: 'name/rm',
    summary: 'Remove a name',
    properties: { ...name, ...writing },
    required: ['name'],
    run: (peer, args, options) => peer.names.remove(args.name as string, { ...args, ...options }),
  }),
  row({
    path: 'name/ls',
    summary: 'Names that begin with a prefix',
    properties: prefix,
    run: (peer, args, options) => peer.names.list(args.prefix as string | undefined, options),
  }),
  row({
    path: 'name/watch',
    summary: 'Changes of names, until the request is closed',
    properties: prefix,
    run: (peer, args, options) => peer.names.watch(args.prefix as string | undefined, options),
  }),
  row({
    path: 'name/history',
    summary: 'Values that were replaced, newest first',
    properties: name,
    required: ['name'],
    run: (peer, args, options) => peer.names.history(args.name as string, options),
  }),
  row({
    path: 'name/publish',
    summary: "IPNS: point this peer's name at content",
    properties: { ...ref, lifetimeMs: count('milliseconds for which the record is valid; default 48 h') },
    required: ['ref'],
    run: (peer, { ref, ...args }, options) => peer.names.publish(ref as string, { ...args, ...options }),
  }),
  row({
    path: 'name/resolve',
    summary: 'IPNS: what the name of a key points at',
    properties: { name: text('k51…, 12D3KooW… or /ipns/…') },
    required: ['name'],
    run: (peer, args, options) => peer.names.resolve(args.name as string, options),
  }),
]

const memberOperations: Operation[] = [
  row({
    path: 'members',
    summary: 'Who belongs to this cluster',
    properties: {},
    run: (peer, _args, options) => peer.members(options),
  }),
  row({
    path: 'leave',
    summary: 'Hand everything off and leave the cluster',
    properties: {},
    run: (peer, _args, options) => peer.leave(options),
  }),
  row({
    path: 'forget',
    summary: 'Drop a lost member for good',
    properties: { peer: text('its PeerId') },
    required: ['peer'],
    run: (peer, args, options) => peer.forget(args.peer as string, options),
  }),
]
// The peer works in a folder of its own, which is nobody else's.
function absolute(path: unknown): string {
  if (typeof path === 'string' && isAbsolute(path)) return path
  throw new NodeError('REQUEST_INVALID', `'${path}' must be an absolute path`)
}

export const operations: Operation[] = [
  ...nameOperations,
  ...memberOperations,
  row({
    path: 'add',
    summary: 'Add a file or folder of this machine',
    properties: {
      path: text('absolute path'),
      ...addFlags,
      reference: flag('leave the bytes in the file'),
      hidden: flag('take entries whose names begin with a dot'),
      ignore: texts('globs of entries to leave out'),
    },
    required: ['path'],
    run: (peer, { path, ...args }, options) => peer.add(absolute(path), { ...args, ...options }),
  }),
  row({
    path: 'add-stream',
    summary: 'Add the body as one file',
    takes: 'bytes',
    properties: addFlags,
    run: (peer, args, options, body) => peer.add(body, { ...args, ...options }),
  }),
  row({
    path: 'get',
    summary: 'Fetch, verify and write to a path of this machine',
    properties: { ...ref, output: text('absolute path'), overwrite: flag('replace files with other content') },
    required: ['ref', 'output'],
    run: (peer, { ref, output, ...args }, options) =>
      peer.get(ref as string, { ...args, output: absolute(output), ...options }),
  }),
  row({
    path: 'cat',
    summary: 'The bytes of a file',
    gives: 'bytes',
    properties: { ...ref, offset: count('bytes to skip'), length: count('bytes to give at most') },
    required: ['ref'],
    run: (peer, args, options) => peer.cat(args.ref as string, { ...args, ...options }),
  }),
  row({
    path: 'ls',
    summary: 'The entries of a folder',
    properties: { ...ref, recursive: flag('folders below too') },
    required: ['ref'],
    run: (peer, args, options) => peer.ls(args.ref as string, { ...args, ...options }),
  }),
  row({
    path: 'find',
    summary: 'Who provides it',
    properties: ref,
    required: ['ref'],
    run: (peer, args, options) => peer.find(args.ref as string, options),
  }),
  row({
    path: 'pin/add',
    summary: 'Fetch all of it and keep it',
    properties: { ...ref, ...wishes },
    required: ['ref'],
    run: (peer, { ref, ...args }, options) => peer.pinAdd(ref as string, { ...args, ...options }),
  }),
  row({
    path: 'pin/rm',
    summary: 'Let it go, everywhere',
    properties: ref,
    required: ['ref'],
    run: (peer, args, options) => peer.pinRemove(args.ref as string, options),
  }),
  row({
    path: 'pin/ls',
    summary: 'All pins of the cluster, and what this peer keeps alone',
    properties: {},
    run: (peer, _args, options) => peer.pinList(options),
  }),
  row({
    path: 'gc',
    summary: 'Delete what no pin needs',
    properties: {},
    run: (peer, _args, options) => peer.gc(options),
  }),
  row({
    path: 'verify',
    summary: 'Re-hash every block',
    properties: {},
    run: (peer, _args, options) => peer.verify(options),
  }),
  row({
    path: 'export',
    summary: 'All of it as CAR v1',
    gives: 'bytes',
    properties: ref,
    required: ['ref'],
    run: (peer, args, options) => peer.exportCar(args.ref as string, options),
  }),
  row({
    path: 'import',
    summary: 'Take the blocks of a CAR (v1 or v2)',
    takes: 'bytes',
    properties: { pin: flag('pin the roots; default true') },
    run: (peer, args, options, body) => peer.importCar(body, { ...args, ...options }),
  }),
  row({
    path: 'peers',
    summary: 'Connected peers',
    properties: {},
    run: (peer, _args, options) => peer.peers(options),
  }),
  row({
    path: 'connect',
    summary: 'Connect to a peer',
    properties: { address: text('multiaddr') },
    required: ['address'],
    run: (peer, args, options) => peer.connect(args.address as string, options),
  }),
  row({
    path: 'invite',
    summary: 'A line that lets another machine join',
    properties: { hub: flag('for a machine that relays and reads nothing') },
    run: (peer, args, options) => peer.invite({ ...args, ...options }),
  }),
  row({
    path: 'join',
    summary: 'Join the cluster of an invite line',
    properties: { line: text('what `potluck invite` printed') },
    required: ['line'],
    run: (peer, args, options) => peer.join(args.line as string, options),
  }),
  row({
    path: 'rotate',
    summary: "Replace the cluster's secret",
    properties: { exclude: texts('PeerIds of members to shut out') },
    run: (peer, args, options) => peer.rotate({ ...args, ...options }),
  }),
  row({
    path: 'status',
    summary: 'This peer, or one pin, or what a change of members would move',
    properties: { ...ref, preview: text('leave, forget=PEER or zone=NAME; without a ref') },
    run: (peer, { ref, preview }, options) => {
      if (preview === undefined) return peer.status(ref as string | undefined, options)
      if (ref !== undefined) throw new NodeError('REQUEST_INVALID', 'a preview is of all pins, not of one')
      return peer.status({ preview: preview as string, ...options })
    },
  }),
  row({
    path: 'doctor',
    summary: 'What is wrong with this peer, and how to mend it',
    properties: {},
    run: (peer, _args, options) => peer.doctor(options),
  }),
  row({
    path: 'config',
    summary: 'What is set; with a value, set it for the next start',
    properties: { key: text('a key'), value: text('its new value') },
    run: (peer, args) => peer.config(args.key as string | undefined, args.value as string | undefined),
  }),
]
