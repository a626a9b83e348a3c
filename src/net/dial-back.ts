// Trying for another peer whether it can be dialed: it names the addresses that it believes in, we dial those which are its
// own anew, and answer at which of them it proved to be there. Its own are those with the address that its question came
// from, and those of a local network that both are in; nobody can send us anywhere else. Few are tried, and not often.

import { isIP } from 'node:net'
import * as dagCbor from '@ipld/dag-cbor'
import type { Connection, Stream } from '@libp2p/interface'
import type { Registrar } from '@libp2p/interface-internal'
import { lpStream } from '@libp2p/utils'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { ipOfAddress, isLocalIp, peerOfAddress, portOfAddress, relayOfAddress } from './addresses.ts'
import { type Interfaces, sharedNetwork } from './dial-order.ts'
import { NetError } from './errors.ts'
import { answersAt, type WhoAnswersDeps } from './who-answers.ts'

export const dialBackProtocol = '/potluck/dial-back/1.0.0'

export interface DialBackAnswer {
  /** The IP address that the question came from, as the other side saw it. */
  observed: string
  /** The other's clock, wall time. */
  nowMs: number
  /** Those that led to us, without `/p2p/` tail. */
  worked: string[]
}

export interface DialBackDeps extends WhoAnswersDeps {
  registrar: Registrar
  interfaces: Interfaces
  clock: Clock
  log: Log
}

/** Answers others; the returned function ends that. */
export async function serveDialBack(deps: DialBackDeps): Promise<() => Promise<void>> {
  const { registrar, clock, log } = deps
  const stop = new AbortController()
  const turns = new Turns(clock)
  const handle = async (stream: Stream, way: Connection) => {
    try {
      const answer = (signal: AbortSignal) => answerOne(deps, turns, { stream, way, signal })
      await withDeadline(clock, times.dialBackMs, 'dialing back', answer, { signal: stop.signal })
    } catch (error) {
      log.debug(`dialing back to ${way.remotePeer}: ${sentenceOf(error)}`)
      stream.abort(error as Error)
    }
  }
  await registrar.handle(dialBackProtocol, handle, { maxInboundStreams: 1 })
  return async () => {
    stop.abort(new NetError('STREAM_BROKEN', 'this peer stops'))
    await registrar.unhandle(dialBackProtocol)
  }
}

/** Asks the peer at the other end to try these addresses of ours. Throws STREAM_BROKEN and what libp2p throws. */
export async function askDialBack(
  way: Connection,
  addresses: readonly string[],
  { signal }: { signal: AbortSignal },
): Promise<DialBackAnswer> {
  const stream = await way.newStream([dialBackProtocol], { signal })
  try {
    const frames = lpStream(stream, { maxDataLength: limits.dialBackBytesMax })
    await frames.write(dagCbor.encode({ addresses: addresses.slice(0, limits.dialBackAddressesMax) }), { signal })
    const { observed, worked, nowMs } = dagCbor.decode<Record<string, unknown>>(
      (await frames.read({ signal })).subarray(),
    )
    if (typeof observed !== 'string' || isIP(observed) === 0 || !isTexts(worked) || typeof nowMs !== 'number')
      throw strange()
    await stream.close({ signal })
    return { observed, nowMs, worked: believed(worked, observed, addresses) }
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}

/** What was not asked for is not believed, unless it is our port where the other side saw us. Throws for what is no address. */
export function believed(worked: readonly string[], observed: string, asked: readonly string[]): string[] {
  const ports = new Set(asked.map((address) => portOfAddress(multiaddr(address))))
  const isOurs = (text: string) => {
    if (asked.includes(text)) return true
    const address = multiaddr(text)
    const port = portOfAddress(address)
    return port !== undefined && ports.has(port) && ipOfAddress(address) === observed
  }
  return worked.slice(0, limits.dialBackAddressesMax).filter(isOurs)
}

/** Which of the addresses that a peer names may be dialed for it, given where its question came from. At most a few. */
export function ownAddresses(named: readonly string[], observed: string, interfaces: readonly string[]): string[] {
  const found = new Set<string>()
  const ports = new Set<number>()
  for (const text of named.slice(0, limits.dialBackAddressesMax)) {
    const address = readAddress(text)
    const ip = address && ipOfAddress(address)
    const port = address && portOfAddress(address)
    if (!ip || !port) continue
    ports.add(port)
    const isNear = isLocalIp(ip) && isLocalIp(observed) && sharedNetwork(interfaces, ip, observed)
    if (ip === observed || isNear) found.add(text)
  }
  // A router may lead its own port to the same port of the peer.
  const family = observed.includes(':') ? 'ip6' : 'ip4'
  for (const port of ports) found.add(`/${family}/${observed}/tcp/${port}`)
  return [...found].slice(0, limits.dialBackAddressesMax)
}

interface Asked extends Required<Abortable> {
  stream: Stream
  way: Connection
  signal: AbortSignal
}

async function answerOne(deps: DialBackDeps, turns: Turns, { stream, way, signal }: Asked): Promise<void> {
  const peer = way.remotePeer.toString() as PeerId
  const observed = ipOfAddress(way.remoteAddr)
  if (!way.direct || !observed) throw new NetError('STREAM_BROKEN', 'only a direct connection tells where a peer is')
  const frames = lpStream(stream, { maxDataLength: limits.dialBackBytesMax })
  const { addresses } = dagCbor.decode<Record<string, unknown>>((await frames.read({ signal })).subarray())
  if (!isTexts(addresses)) throw strange()
  using _turn = turns.take(peer)
  const tried = ownAddresses(addresses, observed, deps.interfaces())
  const results = await Promise.all(tried.map((address) => leadsTo(deps, peer, address, { signal })))
  const worked = tried.filter((_, index) => results[index])
  await frames.write(dagCbor.encode({ observed, worked, nowMs: deps.clock.nowMs() }), { signal })
  await stream.close({ signal })
}

// By a new dial: a connection that stands says nothing about whether another can be made.
async function leadsTo(deps: DialBackDeps, peer: PeerId, address: string, options: Abortable): Promise<boolean> {
  const dial = (signal: AbortSignal) => answersAt(deps, { peer, address }, { signal })
  try {
    await withDeadline(deps.clock, times.dialAddressMs, 'dialing back', dial, options)
    return true
  } catch {
    options.signal?.throwIfAborted()
    return false
  }
}

/** Few at a time, and from each peer few in a minute. */
class Turns {
  readonly #clock: Clock
  readonly #last = new Lru<PeerId, number[]>(limits.dialBackPeersMax)
  #running = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  take(peer: PeerId): Disposable {
    const nowMs = this.#clock.monotonicMs()
    const recent = (this.#last.get(peer) ?? []).filter((ms) => nowMs - ms < 60_000)
    if (recent.length >= limits.dialBacksPerMinute || this.#running >= limits.dialBacksAtATime)
      throw new NetError('STREAM_BROKEN', 'asked too often', { retryable: true })
    this.#last.set(peer, [...recent, nowMs])
    this.#running++
    return {
      [Symbol.dispose]: () => {
        this.#running--
      },
    }
  }
}

function readAddress(text: string): Multiaddr | undefined {
  try {
    const address = multiaddr(text)
    return relayOfAddress(address) === undefined && peerOfAddress(address) === undefined ? address : undefined
  } catch {
    return undefined
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function strange(): NetError {
  return new NetError('STREAM_BROKEN', 'what came is no question or answer about addresses')
}
