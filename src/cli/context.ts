// What every command gets: the home, the output, the signal that ends it (SIGINT, SIGTERM or `--timeout`), and a peer: the
// running one if there is one, else, for commands that only need the store, the store itself.

import { existsSync } from 'node:fs'
import { systemClock } from '../base/clock.ts'
import { BaseError } from '../base/errors.ts'
import { parseTime } from '../core/units.ts'
import type { Peer } from '../node/api.ts'
import { exitCodes, NodeError } from '../node/errors.ts'
import { Home, homePath } from '../node/home.ts'
import { Output } from './output.ts'
import { noPeer, RemotePeer } from './remote-peer.ts'

/** Flags that every command takes. */
export interface GlobalOptions {
  home?: string
  json?: boolean
  quiet?: boolean
  timeout?: string
}

/** Signal reason when the user pressed Ctrl-C. */
export class Interrupted extends Error {
  constructor(signal: string) {
    super(`stopped by ${signal}`)
  }
}

export class Context {
  readonly home: Home
  readonly output: Output
  readonly signal: AbortSignal

  constructor(options: GlobalOptions) {
    this.home = new Home(homePath(options.home, process.env))
    this.output = new Output({ json: options.json ?? false, quiet: options.quiet ?? false })
    const controller = new AbortController()
    this.signal = controller.signal
    let abortedMs = 0
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => {
        // A terminal and a launcher may both pass on one Ctrl-C; a later one is from somebody who will not wait.
        if (controller.signal.aborted && systemClock.monotonicMs() - abortedMs > 500)
          process.exit(exitCodes.interrupted)
        if (!controller.signal.aborted) abortedMs = systemClock.monotonicMs()
        controller.abort(new Interrupted(name))
      })
    }
    if (options.timeout !== undefined) {
      const limitMs = parseTime(options.timeout)
      const late = () =>
        controller.abort(new BaseError('TIMED_OUT', `not done after ${options.timeout}`, { retryable: true }))
      systemClock.timer(limitMs, late)
    }
  }

  /** The running peer. Throws NO_PEER. */
  async runningPeer(): Promise<Peer> {
    const running = await this.#running()
    if (!running) throw new NodeError('NO_PEER', noPeer)
    return running
  }

  /** The running peer, or the store of this home. `doing` names the command for others that want the home meanwhile. */
  async anyPeer(doing: string): Promise<Peer> {
    const running = await this.#running()
    if (running) return running
    const { openPeer } = await import('../node/open.ts')
    return await openPeer({ home: this.home, online: false, doing, signal: this.signal })
  }

  async #running(): Promise<Peer | undefined> {
    // Without a home there is nothing to ask, and asking must not make one.
    if (!existsSync(this.home.path)) return undefined
    const api = await this.home.readApi()
    if (!api) return undefined
    const remote = new RemotePeer(api)
    return (await remote.answers({ signal: this.signal })) ? remote : undefined
  }
}
