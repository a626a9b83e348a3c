// The peers of a swarm that run in this process: real hosts on loopback, in one private network, with their state in
// memory. They do the steps of a plan when those are due, and say what became of each. A peer that is killed says goodbye
// to nobody, as when its process dies; that its machine loses power, so that not even the connections break, is not shown.
import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { withDeadline } from '../base/abort.ts'
import { type Clock, sleep, systemClock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import { silentLog } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { type Host, openHost } from '../net/host.ts'
import { newIdentity } from '../net/identity.ts'
import { LookupPath } from '../net/lookup-path.ts'
import type { Secrets } from '../net/secrets.ts'
import { memoryTable } from '../store/memory.ts'
import { contentKey, type Step } from './swarm-plan.ts'

/** What became of a step. */
export type Outcome =
  | { do: 'start'; peer: PeerId; address: string; tookMs: number }
  | { do: 'kill'; peer: PeerId }
  | AskOutcome

export interface AskOutcome {
  do: 'announce' | 'find' | 'closest'
  peer: PeerId
  content: number
  /** Found the announcer; told half of the servers; had an answer. */
  ok: boolean
  tookMs: number
  asked: number
  failed: number
  hops?: number
  /** The servers that a lookup for them gave, nearest first. */
  found?: PeerId[]
  /** Why it was not ok. */
  why?: string
}

/** What the peers of this process cost together, and know. */
export interface Gauge {
  peers: number
  rssBytes: number
  /** Before the first peer was started. */
  emptyRssBytes: number
  heapBytes: number
  /** Since the process began. */
  cpuMs: number
  connections: number
  /** Entries in all routing tables. */
  known: number
  /** How late timers fired since the gauge before, at 99 of 100: what the machine adds to every step of a lookup. */
  lateMs: number
  /** Open file descriptors; 0 where the system does not tell. */
  files: number
}

const rawCodec = 0x55
const lateResolutionMs = 10

export class SwarmPeers implements AsyncDisposable {
  readonly #secrets: Secrets
  readonly #seed: number
  readonly #clock: Clock
  readonly #hosts = new Map<PeerId, Host>()
  readonly #closing = new Set<Promise<unknown>>()
  readonly #emptyRssBytes = process.memoryUsage.rss()
  readonly #late = monitorEventLoopDelay({ resolution: lateResolutionMs })

  constructor({ clock = systemClock }: { clock?: Clock }, { secrets, seed }: { secrets: Secrets; seed: number }) {
    this.#clock = clock
    this.#secrets = secrets
    this.#seed = seed
    this.#late.enable()
  }

  /** Does each step when it is due, whatever becomes of the others; resolves when all are done. */
  async run(steps: readonly Step[]): Promise<Outcome[]> {
    const startedMs = this.#clock.monotonicMs()
    const running: Promise<Outcome>[] = []
    for (const step of steps) {
      const waitMs = startedMs + step.atMs - this.#clock.monotonicMs()
      if (waitMs > 0) await sleep(this.#clock, waitMs)
      const one = this.#do(step)
      one.catch(() => {})
      running.push(one)
    }
    return await Promise.all(running)
  }

  /** Starts what is counted since the last one anew. */
  gauge(): Gauge {
    const lateMs = Math.max(0, this.#late.percentile(99) / 1e6 - lateResolutionMs)
    this.#late.reset()
    const hosts = [...this.#hosts.values()]
    const { user, system } = process.cpuUsage()
    const sum = (of: (host: Host) => number) => hosts.reduce((total, host) => total + of(host), 0)
    return {
      peers: hosts.length,
      rssBytes: process.memoryUsage.rss(),
      emptyRssBytes: this.#emptyRssBytes,
      heapBytes: process.memoryUsage().heapUsed,
      cpuMs: (user + system) / 1_000,
      connections: sum((host) => host.status().connections),
      known: sum((host) => host.dht.size()),
      lateMs,
      files: openFiles(),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#late.disable()
    for (const peer of this.#hosts.keys()) this.#kill(peer)
    await Promise.all(this.#closing)
  }

  async #do(step: Step): Promise<Outcome> {
    if (step.do === 'start') return await this.#start(step.bootstrap)
    if (step.do === 'kill') {
      this.#kill(step.peer)
      return { do: 'kill', peer: step.peer }
    }
    const path = new LookupPath()
    const startedMs = this.#clock.monotonicMs()
    const { peer, content } = step
    const host = this.#hosts.get(peer)
    let result: Pick<AskOutcome, 'ok' | 'why' | 'found'>
    try {
      if (!host) throw new Error('this peer does not run')
      result = await withDeadline(this.#clock, times.lookUpMs, 'the lookup', (signal) =>
        this.#ask(host, step, { path, signal }),
      )
    } catch (error) {
      result = { ok: false, why: sentenceOf(error) }
    }
    const tookMs = this.#clock.monotonicMs() - startedMs
    const { asked, failed, hops } = path
    return { do: step.do, peer, content, ...result, tookMs, asked, failed, ...(hops !== undefined && { hops }) }
  }

  async #ask(
    { dht }: Host,
    step: Step & { do: AskOutcome['do'] },
    options: { path: LookupPath; signal: AbortSignal },
  ): Promise<Pick<AskOutcome, 'ok' | 'why' | 'found'>> {
    const key = contentKey(this.#seed, step.content)
    if (step.do === 'find') {
      for await (const { peer } of dht.findProviders(CID.createV1(rawCodec, Digest.decode(key)), options))
        if (peer === step.announcer) return { ok: true }
      return { ok: false, why: 'the search ended without the announcer' }
    }
    const servers = await dht.closest(key, options)
    if (step.do === 'closest') return { ok: true, found: servers.map(({ peer }) => peer) }
    const { signal } = options
    const told = await Promise.allSettled(servers.map((server) => dht.addProviders(server, [key], { signal })))
    const failures = told.filter((result) => result.status === 'rejected')
    const enough = failures.length * 2 <= servers.length
    return enough ? { ok: true } : { ok: false, why: sentenceOf(failures[0]!.reason) }
  }

  async #start(bootstrap: string[]): Promise<Outcome> {
    const startedMs = this.#clock.monotonicMs()
    const host = await openHost(
      { clock: this.#clock, random: systemRandom, log: silentLog, datastore: memoryTable() },
      {
        identity: newIdentity(),
        listen: ['/ip4/127.0.0.1/tcp/0'],
        bootstrap,
        network: { kind: 'private', secrets: this.#secrets },
        mdns: false,
      },
    )
    const peer = host.network.self
    this.#hosts.set(peer, host)
    const tookMs = this.#clock.monotonicMs() - startedMs
    return { do: 'start', peer, address: host.network.addresses()[0]!, tookMs }
  }

  #kill(peer: PeerId): void {
    const host = this.#hosts.get(peer)
    if (!host) return
    this.#hosts.delete(peer)
    // All connections break at once; what stops after that has nobody left to talk to.
    host.changeSecrets(this.#secrets, { only: [] })
    const closing = Promise.resolve(host[Symbol.asyncDispose]()).catch(() => {})
    this.#closing.add(closing)
    void closing.then(() => this.#closing.delete(closing))
  }
}

function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}
