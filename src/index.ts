// potluck as a library: the same peer that `potluck start` runs, in your own process.
import type { Log } from './base/log.ts'
import { type Config, parseSetting } from './node/config.ts'
import { Home, homePath } from './node/home.ts'
import type { LocalPeer } from './node/local-peer.ts'
import { openPeer } from './node/open.ts'

export type { Progress } from './core/progress.ts'
export type {
  Added,
  AddOptions,
  CatOptions,
  CheckResult,
  Collected,
  Entry,
  Found,
  GetOptions,
  Got,
  Imported,
  ImportOptions,
  Joined,
  KeepOptions,
  MemberInfo,
  NameReadOptions,
  NameWriteOptions,
  Peer,
  PeerConnection,
  PeerNames,
  PinInfo,
  PinOptions,
  PlaceInfo,
  PreviewInfo,
  PreviewOptions,
  Status,
  Verified,
} from './node/api.ts'
export { describeError, exitCodes } from './node/errors.ts'
export { version } from './node/version.ts'

export interface CreatePeerOptions extends Partial<Config> {
  /** The folder of the peer; made if missing. Default: `$POTLUCK_HOME`, else `~/.potluck`. */
  home?: string
  /** Gets a line per event worth knowing. Default: none. */
  log?: Log
  signal?: AbortSignal
}

/**
 * Opens a peer and connects it. Settings go before the home's config.json. Close it with `await using`, or by calling
 * `peer[Symbol.asyncDispose]()`.
 *
 * Throws errors with a `code`: ALREADY_RUNNING, HOME_BUSY, HOME_INVALID, CONFIG_INVALID, PORT_IN_USE and others.
 */
export async function createPeer({ home, log, signal, ...settings }: CreatePeerOptions = {}): Promise<LocalPeer> {
  const opened = new Home(homePath(home, process.env))
  const entries = Object.entries(settings).filter(([, value]) => value !== undefined)
  const flags = Object.fromEntries(entries.map(([key, value]) => [key, parseSetting(key, value, 'createPeer')]))
  return await openPeer({ home: opened, online: true, doing: 'start', flags, ...(log && { log }), signal })
}
