// All hubs that this peer may ask over HTTP: those that the user has set, and connected ones that tell where their index is.
// They are asked together; one that fails or lies costs its own answers and is left alone for a while. Nothing here keeps a
// connection, and a peer without hubs loses nothing else.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import { merged } from '../base/merged.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Network } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { formatTime } from '../core/units.ts'
import { type HubClientDeps, hubPeers, hubProviders } from './hub-client.ts'
import { askHubPort, hubProtocol, hubUrl } from './hub-door.ts'

export interface HubIndexDeps extends HubClientDeps {
  network: Pick<Network, 'self' | 'connected' | 'open'>
  log: Log
}

export interface HubIndexOptions {
  /** Base URLs, such as `https://hub.example`. */
  hubs: readonly string[]
  kind: 'private' | 'open'
}

/** How a hub is, for people. */
export interface HubState {
  url: string
  /** Whether the user has set it, or it is connected and told of itself. */
  from: 'config' | 'connection'
  isWell: boolean
  /** One sentence. */
  sentence: string
}

type Hub = Pick<HubState, 'url' | 'from'>

export class HubIndex {
  readonly #deps: HubIndexDeps
  readonly #options: HubIndexOptions
  readonly #ports = new Lru<PeerId, number>(limits.hubsRemembered)
  /** Until when a hub that failed is left alone. */
  readonly #restUntilMs = new Lru<string, number>(limits.hubsRemembered)

  constructor(deps: HubIndexDeps, options: HubIndexOptions) {
    this.#deps = deps
    this.#options = options
  }

  /** True if there may be somebody to ask. */
  get isWorthAsking(): boolean {
    return this.#options.hubs.length > 0 || this.#connectedHubs().length > 0
  }

  /** What the hubs say, as they say it. Never throws for a hub's sake. */
  async *providers(cid: CID, { signal }: Abortable = {}): AsyncGenerator<PeerInfo> {
    const asked = new Set<string>()
    yield* merged(this.#hubs({ signal }).map((hub) => this.#ask(hub, cid, asked, { signal })))
  }

  /** Asks every hub for this peer itself, and says of each how it is. */
  async check({ signal }: Abortable = {}): Promise<HubState[]> {
    const { clock, network } = this.#deps
    const hubs = new Map((await Promise.all(this.#hubs({ signal }))).map((hub) => [hub?.url, hub]))
    const states = [...hubs.values()]
      .filter((hub) => hub !== undefined)
      .map(async (hub): Promise<HubState> => {
        const startedMs = clock.monotonicMs()
        try {
          await Array.fromAsync(hubPeers(this.#deps, hub.url, network.self, { signal }))
          const tookMs = clock.monotonicMs() - startedMs
          return {
            ...hub,
            isWell: true,
            sentence: `the hub ${hub.url} answers in ${formatTime(tookMs)}${this.#inClear(hub)}`,
          }
        } catch (error) {
          signal?.throwIfAborted()
          return { ...hub, isWell: false, sentence: sentenceOf(error) }
        }
      })
    return await Promise.all(states)
  }

  async *#ask(
    finding: Promise<Hub | undefined>,
    cid: CID,
    asked: Set<string>,
    { signal }: Abortable,
  ): AsyncGenerator<PeerInfo> {
    const { clock, log } = this.#deps
    const url = (await finding)?.url
    if (url === undefined || asked.has(url) || (this.#restUntilMs.get(url) ?? 0) > clock.monotonicMs()) return
    asked.add(url)
    try {
      yield* hubProviders(this.#deps, url, cid, { signal })
    } catch (error) {
      if (signal?.aborted) return
      log.debug(sentenceOf(error))
      this.#restUntilMs.set(url, clock.monotonicMs() + times.hubRestMs)
      // It may have come back with another port.
      for (const { peer } of this.#connectedHubs()) this.#ports.delete(peer)
    }
  }

  /** Each hub as soon as it is known where it is, those that the user has set first. */
  #hubs({ signal }: Abortable): Promise<Hub | undefined>[] {
    const configured = this.#options.hubs.map(async (url): Promise<Hub> => ({ url, from: 'config' }))
    const learnt = this.#connectedHubs().map(async (connected): Promise<Hub | undefined> => {
      const port = await this.#portOf(connected.peer, { signal })
      const url = port && hubUrl(connected, port, this.#options.kind)
      return url ? { url, from: 'connection' } : undefined
    })
    return [...configured, ...learnt].slice(0, limits.hubsMax)
  }

  #connectedHubs() {
    return this.#deps.network
      .connected()
      .filter(({ relayed, protocols }) => !relayed && protocols.includes(hubProtocol))
  }

  async #portOf(peer: PeerId, { signal }: Abortable): Promise<number | undefined> {
    const known = this.#ports.get(peer)
    if (known !== undefined) return known
    try {
      const port = await askHubPort(this.#deps, peer, { signal })
      // One that has just started may serve its index in a moment.
      if (port !== undefined) this.#ports.set(peer, port)
      return port
    } catch (error) {
      this.#deps.log.debug(`the hub ${peer} does not say where its index is: ${sentenceOf(error)}`)
      return undefined
    }
  }

  #inClear({ url, from }: Hub): string {
    if (this.#options.kind === 'open' || from === 'connection' || url.startsWith('https://')) return ''
    return '; over http:// others on the way can read what is asked, and the token: put it behind https:// unless the way is yours'
  }
}
