// Opens a peer on this machine: takes the lock of its home, reads what the user set, opens the store and, for an online
// peer, the network. This is where the real ports come from.
import type { Abortable } from '../base/abort.ts'
import { systemClock } from '../base/clock.ts'
import { type Log, silentLog } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import { linksOf } from '../files/links.ts'
import { openStore } from '../store/open.ts'
import { type Config, mergeConfig, readSettings } from './config.ts'
import type { Home } from './home.ts'
import { LocalPeer } from './local-peer.ts'
import { lockHome } from './lock.ts'
import { makeReserve, withReserve } from './reserve.ts'

export interface OpenOptions extends Abortable {
  home: Home
  /** False: only the store, for a moment. */
  online: boolean
  /** Which command holds the home, for others that want it. */
  doing: string
  /** Settings that go before config.json. */
  flags?: Partial<Config>
  log?: Log
}

/** A command holds the home for moments, a second one can wait for it; a peer that starts should not hang for long. */
const lockWaitMs = 10_000

/** Throws ALREADY_RUNNING, HOME_BUSY, HOME_INVALID, CONFIG_INVALID, and what store and network throw. */
export async function openPeer({
  home,
  online,
  doing,
  flags = {},
  log = silentLog,
  signal,
}: OpenOptions): Promise<LocalPeer> {
  await using scope = new Scope()
  await home.make()
  const deps = { home, clock: systemClock, random: systemRandom, log, linksOf, hubPort: { port: undefined } }
  scope.defer(await withReserve(home, () => lockHome(deps, { doing, waitMs: lockWaitMs, signal })))
  await makeReserve(deps)
  const config = mergeConfig(flags, await readSettings(home))
  const store = scope.use(await openStore(deps, { directory: home.path }))
  const peer = new LocalPeer({ ...deps, store }, config, scope.move())
  if (!online) return peer
  scope.use(peer)
  await peer.goOnline()
  scope.move()
  return peer
}
