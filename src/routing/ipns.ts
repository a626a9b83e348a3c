// IPNS: this peer's name points at what its user says, and the names of others are looked up, both through the DHT. What is
// published is durable before anybody hears of it, and its sequence never goes back, on this disk or, as far as the DHT
// remembers, on another one with the same key. Servers of the DHT forget a value after 48 hours, and some let an older record replace a newer
// one, so a worker signs and publishes the record again long before, as long as this peer runs; a record is valid for
// its lifetime after that. One name per peer: keys without a peer are not kept here.
import { decode, encode } from '@ipld/dag-cbor'
import type { Abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { formatIpnsName, ipnsKeyOf } from '../core/ipns-name.ts'
import {
  compareIpnsRecords,
  descending,
  type IpnsRecord,
  makeIpnsRecord,
  validUntil,
  verifyIpnsRecord,
} from '../core/ipns-record.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Dht, Signer, Table } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { formatTime } from '../core/units.ts'
import { RoutingError } from './errors.ts'

export interface IpnsDeps {
  dht: Pick<Dht, 'size' | 'putValue' | 'getValues'>
  /** The record that this peer publishes. */
  table: Table
  signer: Signer
  clock: Clock
  log: Log
}

export interface Publication {
  record: IpnsRecord
  /** Servers of the DHT that took it; with none the worker goes on trying. */
  servers: number
}

/** What is published, as the table has it. */
interface Own {
  value: string
  sequence: bigint
  lifetimeMs: number
}

export class Ipns implements Worker {
  readonly name = 'publishing'
  readonly #deps: IpnsDeps
  readonly #seen = new Lru<PeerId, IpnsRecord>(limits.ipnsRemembered)
  #own: Own | undefined
  #published: { servers: number; atMs: number; dueMs: number } | undefined
  /** Publishing happens one at a time, so that no older record follows a newer one. */
  #turn: Promise<unknown> = Promise.resolve()
  #wake: () => void = () => {}

  constructor(deps: IpnsDeps) {
    this.#deps = deps
    const row = deps.table.get(deps.signer.self)
    if (row) this.#own = ownOf(row)
  }

  /**
   * Points this peer's name at `/ipfs/…` or `/ipns/…`. Resolves when that is durable and the servers of the DHT that can be reached
   * have it. Throws LIFETIME_INVALID, IPNS_INVALID and what the table throws.
   */
  publish(value: string, { lifetimeMs = times.ipnsLifetimeMs, signal }: Abortable & { lifetimeMs?: number } = {}) {
    requireLifetime(lifetimeMs)
    return this.#alone(async (): Promise<Publication> => {
      const known = await this.#newest(this.#deps.signer.self, { signal }).catch((error) => {
        signal?.throwIfAborted()
        this.#deps.log.debug(`publishing without a look at what the DHT has: ${sentenceOf(error)}`)
        return undefined
      })
      // Both may be missing: then this is the first record of the name.
      const [last] = [this.#own?.sequence ?? -1n, known?.sequence ?? -1n].toSorted(descending)
      const own = { value, sequence: last! + 1n, lifetimeMs }
      const record = this.#sign(own)
      await this.#deps.table.write([{ put: this.#deps.signer.self, value: encode(own) }])
      this.#own = own
      this.#published = undefined
      // From here on it will be published, whatever becomes of this try.
      this.#wake()
      return { record, servers: await this.#put(record, own, { signal }) }
    })
  }

  /** The newest good record of a name. Throws IPNS_NOT_FOUND, and IPNS_EXPIRED when all that is left has expired. */
  async resolve(peer: PeerId, { signal }: Abortable = {}): Promise<IpnsRecord> {
    const record = await this.#newest(peer, { signal })
    if (record) return record
    const alone = this.#deps.dht.size() === 0 ? ', and no other peer is reachable to ask' : ''
    const why = `nobody has a record of /ipns/${formatIpnsName(peer)}${alone}: its publisher may have been away for too long`
    throw new RoutingError('IPNS_NOT_FOUND', why, { retryable: true })
  }

  /**
   * Passes on a record that its publisher has signed, for one who cannot reach the DHT; the newest known counts. Throws
   * IPNS_INVALID, IPNS_EXPIRED.
   */
  async pass(name: PeerId, bytes: Uint8Array, { signal }: Abortable = {}): Promise<void> {
    const { dht, signer, clock } = this.#deps
    const given = verifyIpnsRecord(bytes, name, { signer, nowMs: clock.nowMs() })
    const known = await this.#newest(name, { signal }).catch(() => undefined)
    signal?.throwIfAborted()
    const newest = known && compareIpnsRecords(known, given) < 0 ? known : given
    this.#seen.set(name, newest)
    await dht.putValue(ipnsKeyOf(name), newest.bytes, { signal })
  }

  onWork(wake: () => void): void {
    this.#wake = wake
  }

  status(): string {
    if (!this.#own) return 'nothing is published'
    if (!this.#published) return `${this.#own.value} waits for a server of the DHT`
    const { servers, dueMs } = this.#published
    const inMs = Math.max(0, dueMs - this.#deps.clock.nowMs())
    return `${this.#own.value} is published at ${servers} servers; again in ${formatTime(inMs)}`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { dht } = this.#deps
    if (!this.#own) return later(times.announcePollMs)
    const waitMs = this.#waitMs()
    if (waitMs > 0) return later(waitMs)
    if (dht.size() === 0) return later(times.serversPollMs)
    await this.#alone(async () => {
      const own = this.#own
      if (own && this.#waitMs() === 0) await this.#put(this.#sign(own), own, { signal })
    })
    return { next: 'now' }
  }

  /** Wall time may jump back: then what was published in the future is published again. */
  #waitMs(): number {
    if (!this.#published) return 0
    const nowMs = this.#deps.clock.nowMs()
    if (nowMs < this.#published.atMs) return 0
    return Math.max(0, this.#published.dueMs - nowMs)
  }

  #sign({ value, sequence, lifetimeMs }: Own): IpnsRecord {
    const { signer, clock } = this.#deps
    const ttlMs = Math.min(times.ipnsTtlMs, lifetimeMs)
    return makeIpnsRecord({ value, sequence, validUntilMs: clock.nowMs() + lifetimeMs, ttlMs }, signer)
  }

  async #put(record: IpnsRecord, { lifetimeMs }: Own, options: Abortable): Promise<number> {
    const { dht, signer, clock } = this.#deps
    const servers = await dht.putValue(ipnsKeyOf(signer.self), record.bytes, options)
    const everyMs = servers === 0 ? times.announceRetryFirstMs : Math.min(times.ipnsEveryMs, lifetimeMs / 3)
    const atMs = clock.nowMs()
    if (servers > 0 || dht.size() > 0) this.#published = { servers, atMs, dueMs: atMs + everyMs }
    return servers
  }

  async #newest(peer: PeerId, options: Abortable): Promise<IpnsRecord | undefined> {
    const { dht, signer, clock, log } = this.#deps
    const values = await dht.getValues(ipnsKeyOf(peer), options)
    const seen = this.#seen.get(peer)
    if (seen) values.push(seen.bytes)
    if (this.#own && peer === signer.self) values.push(this.#sign(this.#own).bytes)
    const good: IpnsRecord[] = []
    let expired: unknown
    for (const bytes of values) {
      try {
        good.push(verifyIpnsRecord(bytes, peer, { signer, nowMs: clock.nowMs() }))
      } catch (error) {
        if (codeOf(error) === 'IPNS_EXPIRED') expired = error
        else log.debug(`a server has a bad record of ${peer}: ${sentenceOf(error)}`)
      }
    }
    const [newest] = good.sort(compareIpnsRecords)
    if (newest) this.#seen.set(peer, newest)
    else if (expired) throw expired
    return newest
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => {})
    return result
  }
}

/** Throws LIFETIME_INVALID. */
function requireLifetime(lifetimeMs: number): void {
  const least = times.ipnsLifetimeMinMs
  if (!(lifetimeMs >= least && lifetimeMs <= times.ipnsLifetimeMostMs))
    throw new RoutingError(
      'LIFETIME_INVALID',
      `a record is valid for ${formatTime(least)} at least and 100 years at most`,
    )
}

function ownOf(row: Uint8Array): Own {
  const { value, sequence, lifetimeMs } = decode<{ value: string; sequence: number | bigint; lifetimeMs: number }>(row)
  return { value, sequence: BigInt(sequence), lifetimeMs }
}

function later(delayMs: number): StepResult {
  return { next: 'later', delayMs: Math.min(delayMs, times.announcePollMs) }
}

/** The record for people: a sequence past 2^53 is rounded. */
export interface IpnsInfo {
  /** `/ipns/k51…` */
  name: string
  value: string
  sequence: number
  /** ISO 8601. */
  validUntil: string
}

export function toldIpns(peer: PeerId, record: IpnsRecord): IpnsInfo {
  return {
    name: `/ipns/${formatIpnsName(peer)}`,
    value: record.value,
    sequence: Number(record.sequence),
    validUntil: validUntil(record),
  }
}
