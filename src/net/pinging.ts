// Whether connections still carry anything: one Worker that pings each of them now and then, a new one at once, and closes
// those that stay silent. Who loses power, or is forgotten by a NAT, says no goodbye. libp2p's own monitor pings all of them
// together every ten seconds, each over a stream of its own, which costs both sides some milliseconds, so that among
// hundreds of peers it took more than everything else. Here the muxer pings; relays that this peer lives by are asked often,
// others seldom, and all of them after a sleep of the machine, when any may have died.
import type { Connection } from '@libp2p/interface'
import { withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { times } from '../core/times.ts'

/** As much of a connection as is looked at here. */
export type Line = Pick<Connection, 'id' | 'status' | 'abort'> & { rtt?: number | undefined }

export interface PingingDeps<L extends Line> {
  lines: () => L[]
  /** Whether this peer is lost to others when the line is. */
  isVital: (line: L) => boolean
  /** Sends something there and back, and says how many milliseconds that took. Throws when the line is broken. */
  ping: (line: L, signal: AbortSignal) => Promise<number>
  clock: Clock
  log: Log
}

export class Pinging<L extends Line> implements Worker {
  readonly name = 'checking connections'
  readonly #deps: PingingDeps<L>
  /** Monotonic time at which each line was last asked, by its id. */
  #askedMs = new Map<string, number>()
  readonly #asking = new Set<string>()
  #closed = 0
  #stepWallMs: number | undefined

  constructor(deps: PingingDeps<L>) {
    this.#deps = deps
  }

  status(): string {
    return `looks after ${this.#askedMs.size} connections; closed ${this.#closed} that were silent`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { lines, isVital, clock } = this.#deps
    const nowMs = clock.monotonicMs()
    const open = lines().filter(({ status }) => status === 'open')
    const slept = clock.nowMs() - (this.#stepWallMs ?? clock.nowMs()) > times.sleptMs
    this.#stepWallMs = clock.nowMs()
    const before = this.#askedMs
    this.#askedMs = new Map(
      open.map(({ id }) => [id, (slept ? undefined : before.get(id)) ?? Number.NEGATIVE_INFINITY]),
    )
    for (const line of open) {
      if (this.#asking.has(line.id)) continue
      const everyMs = isVital(line) ? times.pingVitalEveryMs : times.pingEveryMs
      if (nowMs - this.#askedMs.get(line.id)! < everyMs) continue
      this.#askedMs.set(line.id, nowMs)
      void this.#ask(line, signal)
    }
    return { next: 'later', delayMs: times.pingLookMs }
  }

  async #ask(line: L, signal: AbortSignal): Promise<void> {
    const { isVital, ping, clock, log } = this.#deps
    const limitMs = isVital(line) ? times.pingVitalMs : times.pingMs
    this.#asking.add(line.id)
    try {
      line.rtt = await withDeadline(clock, limitMs, 'waiting for a ping', (each) => ping(line, each), { signal })
    } catch (error) {
      if (signal.aborted || line.status !== 'open') return
      this.#closed++
      log.debug(`a connection that did not answer is closed: ${sentenceOf(error)}`)
      line.abort(error as Error)
    } finally {
      this.#asking.delete(line.id)
    }
  }
}

/**
 * A ping of the muxer, which costs twelve bytes each way and no stream; the time that it takes, in milliseconds. It reaches
 * into the connection of libp2p, which does not show it.
 */
export async function pingOver({ clock }: { clock: Clock }, line: Connection, signal: AbortSignal): Promise<number> {
  const { muxer } = line as unknown as { muxer?: { ping?(options: { signal: AbortSignal }): Promise<number> } }
  if (typeof muxer?.ping !== 'function') throw new TypeError('a connection of libp2p is not what it was')
  const sentMs = clock.monotonicMs()
  await muxer.ping({ signal })
  return clock.monotonicMs() - sentMs
}
