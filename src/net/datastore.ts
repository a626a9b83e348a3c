// libp2p's datastore over a Table: its peer store and the records of the DHT survive a restart. All of it is soft state that
// others tell again, and libp2p writes it all the time (each ping of each peer is a write), so writes are collected and made
// durable together about once a second: a crash may lose the last second. Strangers decide what is written here, so values,
// peers and records are bounded.

import { NotFoundError } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { BaseDatastore } from 'datastore-core'
import { Key, type KeyQuery, type Pair, type Query } from 'interface-datastore'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { Table } from '../core/ports.ts'
import { times } from '../core/times.ts'

const peersPrefix = '/peers/'
const recordPrefixes = ['/dht/provider/', '/lan-dht/provider/']
const valuePrefixes = ['/dht/record/', '/lan-dht/record/']

export interface DatastoreDeps {
  table: Table
  clock: Clock
  log: Log
}

export class TableDatastore extends BaseDatastore {
  readonly #table: Table
  readonly #clock: Clock
  readonly #log: Log
  /** Not yet in the table; undefined is a deletion. */
  #pending = new Map<string, Uint8Array | undefined>()
  #writing = new Map<string, Uint8Array | undefined>()
  #flushing: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  /** Keys of known peers, those heard of longest ago first. */
  readonly #peers = new Lru<string, true>(limits.peersKnownMax)
  /** Keys of values kept for the DHT, those stored longest ago first. */
  readonly #values = new Lru<string, true>(limits.dhtValuesMax)
  /** Records of providers in the DHT by who put them there. */
  readonly #records = new Map<string, number>()
  #recordsInAll = 0

  private constructor(deps: DatastoreDeps) {
    super()
    this.#table = deps.table
    this.#clock = deps.clock
    this.#log = deps.log
  }

  static open(deps: DatastoreDeps): TableDatastore {
    const datastore = new TableDatastore(deps)
    for (const [key] of within(deps.table, peersPrefix)) datastore.#peers.set(key, true)
    for (const prefix of valuePrefixes) for (const [key] of within(deps.table, prefix)) datastore.#values.set(key, true)
    for (const prefix of recordPrefixes)
      for (const [key] of within(deps.table, prefix)) datastore.#count(recordOwner(key) ?? anybody, 1)
    return datastore
  }

  override async put(key: Key, value: Uint8Array): Promise<Key> {
    const name = key.toString()
    if (value.byteLength > limits.datastoreValueBytesMax)
      throw new Error(`a value of ${value.byteLength} bytes is over the limit of ${limits.datastoreValueBytesMax}`)
    const owner = recordOwner(name)
    if (owner !== undefined && this.#valueOf(name) === undefined) {
      if (!this.#hasRoom(owner)) throw new Error(`no more records are taken from ${owner}`)
      this.#count(owner, 1)
    }
    if (name.startsWith(peersPrefix)) {
      const forgotten = this.#peers.set(name, true)
      if (forgotten) this.#set(forgotten[0], undefined)
    }
    if (isValue(name)) {
      const forgotten = this.#values.set(name, true)
      if (forgotten) this.#set(forgotten[0], undefined)
    }
    this.#set(name, value)
    if (this.#pending.size >= limits.datastorePendingMax) await this.flush()
    return key
  }

  override async get(key: Key): Promise<Uint8Array> {
    const value = this.#valueOf(key.toString())
    if (!value) throw new NotFoundError(`${key} is not here`)
    return value
  }

  override async has(key: Key): Promise<boolean> {
    return this.#valueOf(key.toString()) !== undefined
  }

  override async delete(key: Key): Promise<void> {
    const name = key.toString()
    const owner = recordOwner(name)
    if (owner !== undefined && this.#valueOf(name) !== undefined) this.#count(owner, -1)
    this.#peers.delete(name)
    this.#values.delete(name)
    this.#set(name, undefined)
  }

  override async *_all({ prefix = '' }: Query): AsyncGenerator<Pair> {
    const fresh = new Map([...this.#writing, ...this.#pending].filter(([name]) => name.startsWith(prefix)))
    for (const [name, value] of within(this.#table, prefix))
      if (!fresh.has(name) && this.#isOfUse(name)) yield { key: new Key(name, false), value }
    for (const [name, value] of fresh)
      if (value !== undefined && this.#isOfUse(name)) yield { key: new Key(name, false), value }
  }

  override async *_allKeys({ prefix = '' }: KeyQuery): AsyncGenerator<Key> {
    for await (const { key } of this._all({ prefix })) yield key
  }

  /** Resolves when everything put so far is durable, or could not be written and is dropped. */
  async flush(): Promise<void> {
    await this.#flushing
    if (this.#pending.size === 0) return
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined
    })
    await this.#flushing
  }

  async #write(): Promise<void> {
    this.#writing = this.#pending
    this.#pending = new Map()
    try {
      await this.#table.write(
        [...this.#writing].map(([key, value]) => (value === undefined ? { delete: key } : { put: key, value })),
      )
    } catch (error) {
      this.#log.warn(`what this peer knows about others could not be written: ${sentenceOf(error)}`)
    } finally {
      this.#writing = new Map()
    }
  }

  #set(name: string, value: Uint8Array | undefined): void {
    this.#pending.set(name, value)
    this.#cancelTimer ??= this.#clock.timer(times.datastoreDelayMs, () => {
      this.#cancelTimer = undefined
      void this.flush()
    })
  }

  #valueOf(name: string): Uint8Array | undefined {
    if (this.#pending.has(name)) return this.#pending.get(name)
    if (this.#writing.has(name)) return this.#writing.get(name)
    return this.#table.get(name)
  }

  // kad-dht answers nobody who asks for a key with a provider that the peer store has forgotten: such records are hidden.
  #isOfUse(name: string): boolean {
    const owner = recordOwner(name)
    if (owner === undefined || owner === anybody) return true
    try {
      return this.#valueOf(peersPrefix + peerIdFromString(owner).toCID()) !== undefined
    } catch {
      return false
    }
  }

  #hasRoom(owner: string): boolean {
    return this.#recordsInAll < limits.dhtRecordsMax && (this.#records.get(owner) ?? 0) < limits.dhtRecordsPerPeerMax
  }

  #count(owner: string, by: 1 | -1): void {
    const count = (this.#records.get(owner) ?? 0) + by
    if (count > 0) this.#records.set(owner, count)
    else this.#records.delete(owner)
    this.#recordsInAll += by
  }
}

const anybody = 'anybody'

/** Entries whose key starts with the prefix: keys are ASCII, so all of them come before the prefix and U+FFFF. */
function within(table: Table, prefix: string): Iterable<[key: string, value: Uint8Array]> {
  return table.range({ from: prefix, to: `${prefix}\uffff` })
}

function isValue(name: string): boolean {
  return valuePrefixes.some((prefix) => name.startsWith(prefix))
}

/** Who put a provider record of the DHT here; those that do not say count as one. Undefined for what is no such record. */
function recordOwner(name: string): string | undefined {
  const [, kind, owner] = /^\/(?:lan-)?dht\/(provider)\/[^/]+(?:\/([^/]+))?$/.exec(name) ?? []
  return kind === undefined ? undefined : (owner ?? anybody)
}
