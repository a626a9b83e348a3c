// The API as a table: one row per operation, with its JSON schema, so that routing, validation and the OpenAPI document
// come from one place. A row calls one method of Peer and adds nothing to it.
import { isAbsolute } from 'node:path'
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
  properties: Record<string, { type: string; description: string; items?: { type: string } }>
  required: string[]
  run(peer: Peer, args: Args, options: LongOptions, body: AsyncIterable<Uint8Array>): Answer
}

const text = (description: string) => ({ type: 'string', description })
const flag = (description: string) => ({ type: 'boolean', description })
const count = (description: string) => ({ type: 'integer', minimum: 0, description })
const texts = (description: string) => ({ type: 'array', items: { type: 'string' }, description })

const ref = { ref: text('CID, CID/a/b or /ipfs/CID/a/b') }
const addFlags = {
  profile: text('unixfs-v1-2025 or unixfs-v0-2015'),
  pin: flag('keep the content and announce it; default true'),
  onlyHash: flag('compute the CID and store nothing'),
}

type Row = Omit<Operation, 'gives' | 'takes' | 'required'> & Partial<Pick<Operation, 'gives' | 'takes' | 'required'>>

const row = (given: Row): Operation => ({ gives: 'json', takes: 'json', required: [], ...given })

// The peer works in a folder of its own, which is nobody else's.
function absolute(path: unknown): string {
  if (typeof path === 'string' && isAbsolute(path)) return path
  throw new NodeError('REQUEST_INVALID', `'${path}' must be an absolute path`)
}

export const operations: Operation[] = [
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
    properties: ref,
    required: ['ref'],
    run: (peer, args, options) => peer.pinAdd(args.ref as string, options),
  }),
  row({
    path: 'pin/rm',
    summary: 'Let it go at the next gc',
    properties: ref,
    required: ['ref'],
    run: (peer, args, options) => peer.pinRemove(args.ref as string, options),
  }),
  row({
    path: 'pin/ls',
    summary: 'What is pinned',
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
    properties: {},
    run: (peer, _args, options) => peer.invite(options),
  }),
  row({
    path: 'join',
    summary: 'Join the cluster of an invite line',
    properties: { line: text('what `potluck invite` printed') },
    required: ['line'],
    run: (peer, args, options) => peer.join(args.line as string, options),
  }),
  row({
    path: 'status',
    summary: 'This peer, or one pin',
    properties: ref,
    run: (peer, args, options) => peer.status(args.ref as string | undefined, options),
  }),
  row({
    path: 'config',
    summary: 'What is set; with a value, set it for the next start',
    properties: { key: text('a key'), value: text('its new value') },
    run: (peer, args) => peer.config(args.key as string | undefined, args.value as string | undefined),
  }),
]
