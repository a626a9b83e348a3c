// Records: keys with versioned values, kept by as many owners as the cluster's copies say, readable and writable through
// any member. This file puts the parts together and is the only one that others open.

import { sentenceOf } from '../base/errors.ts'
import { Scope } from '../base/scope.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import { Acceptor } from './acceptor.ts'
import { AntiEntropyWorker } from './anti-entropy.ts'
import { Author } from './author.ts'
import { compareAndSet } from './compare-and-set.ts'
import { type Asked, Coordinator, type Outcome } from './coordinator.ts'
import { Dots } from './dots.ts'
import { RecordsError } from './errors.ts'
import { Followers } from './followers.ts'
import { Gossip, type News } from './gossip.ts'
import { GroupedTable } from './grouped-table.ts'
import { HandOffWorker } from './hand-off.ts'
import { HintsWorker } from './hints.ts'
import { realLaws } from './laws.ts'
import { historyOf, listRecords } from './listing.ts'
import { Peers } from './peers.ts'
import { Presence } from './presence.ts'
import { Puts } from './puts.ts'
import { decodeSet, keyFault, parseVersion, Verifier } from './record.ts'
import { RemovalsWorker } from './removals.ts'
import { Replica } from './replica.ts'
import { Rings } from './rings.ts'
import { Ticker } from './round.ts'
import { act, answerCalls, issueHere, type ServeDeps } from './serve.ts'
import { contextOf, foundOf, shownSiblings } from './shown.ts'
import { emptySet, type Version, versionOf, type Write } from './version.ts'
import { Watchers } from './watchers.ts'
import type { PutResult, Records, RecordsDeps, RecordsOptions, RemoveOptions } from './words.ts'

const protocol = '/potluck/records/1.0.0'
const writeIdBytes = 12

/** Opens this peer's part of the records. Its workers run only when something runs them. Closing leaves the table as it is. */
export async function openRecords(deps: RecordsDeps, { copies, isInvited }: RecordsOptions): Promise<Records> {
  await using opening = new Scope()
  const { membership, signer, clock, random, log, laws = realLaws } = deps
  const table = new GroupedTable(deps.table)
  const rings = await Rings.open({ membership, table, laws }, { copies })
  const dots = await Dots.open({ table, random, laws })
  opening.defer(() =>
    dots.close().catch((error) => log.warn(`the store was not closed in order: ${sentenceOf(error)}`)),
  )
  const verifier = new Verifier(signer)
  const replica = new Replica({ table, dots, rings, laws, verifier, clock })
  const acceptor = new Acceptor({ table, replica, verifier })
  const presence = new Presence({ membership, table, clock }, { isInvited })
  await presence.compared(undefined)
  const watchers = new Watchers({ log, laws })
  const followers = new Followers({ replica, log })
  replica.onChange = (key, set) => {
    acceptor.noticed(key, set)
    for (const listeners of [watchers, followers]) listeners.tell(key, set)
  }
  replica.onGone = (key) => followers.tell(key, emptySet)
  let handOff: HandOffWorker | undefined
  let gossip: Gossip | undefined
  const serving: ServeDeps = {
    membership,
    rings,
    replica,
    acceptor,
    presence,
    isDrained: () => handOff?.toHandOver().length === 0,
    onIssued: (key, stored) => gossip?.tell(key, stored),
  }
  const calls = opening.use(await deps.openCalls({ protocol, answer: answerCalls(serving) }))
  const peers = new Peers({ membership, rings, calls, local: (request) => act(serving, request, membership.self) })
  const parts = {
    ...deps,
    table,
    presence,
    laws,
    rings,
    dots,
    verifier,
    author: new Author({ signer, verifier }),
    replica,
    watchers,
    followers,
    peers,
    puts: new Puts(peers),
    ticker: new Ticker(clock),
  }
  const coordinator = new Coordinator({
    ...parts,
    issueHere: (request, onDecided) => issueHere(serving, request, onDecided),
  })
  const hints = new HintsWorker(parts)
  const antiEntropy = new AntiEntropyWorker(parts)
  handOff = new HandOffWorker(parts)
  gossip = opening.use(new Gossip(parts, (news) => void hear(parts, coordinator, news)))
  opening.defer(
    membership.onChange(({ view }) => {
      if (view) void rings.update().catch((error) => log.warn(`the ring was not kept: ${sentenceOf(error)}`))
      if (view) handOff.wake()
      hints.wake()
    }),
  )
  return new OpenRecords(
    { ...parts, coordinator, handOff, workers: [hints, antiEntropy, handOff, new RemovalsWorker(parts)] },
    opening.move(),
  )
}

type Parts = Omit<RecordsDeps, 'laws'> & {
  laws: typeof realLaws
  presence: Presence
  rings: Rings
  dots: Dots
  verifier: Verifier
  author: Author
  replica: Replica
  watchers: Watchers
  followers: Followers
  peers: Peers
  puts: Puts
  ticker: Ticker
}

/** Takes in what somebody has told everybody. */
async function hear(parts: Parts, coordinator: Coordinator, [key, set, version]: News): Promise<void> {
  const { rings, replica, watchers, verifier, log } = parts
  try {
    if (set && rings.isOwner(partitionOf(key))) await replica.merge(key, set)
    else if (watchers.wants(key) && !watchers.knows(key, version)) {
      if (!set) return watchers.tell(key, (await coordinator.read(key, { level: undefined, isStrict: false })).set)
      const heard = decodeSet(key, set)
      for (const { write } of heard.siblings) verifier.check(write)
      watchers.tell(key, heard)
    }
  } catch (error) {
    log.debug(`news of '${key}' were of no use: ${sentenceOf(error)}`)
  }
}

type OpenParts = Parts & { coordinator: Coordinator; handOff: HandOffWorker; workers: Records['workers'] }

class OpenRecords implements Records {
  readonly workers: Records['workers']
  readonly #parts: OpenParts
  readonly #scope: Scope

  constructor(parts: OpenParts, scope: Scope) {
    this.#parts = parts
    this.#scope = scope
    this.workers = parts.workers
  }

  async get(key: string, options: Parameters<Records['get']>[1] = {}): ReturnType<Records['get']> {
    requireKey(key)
    const { r: level, strict: isStrict = false, signal } = options
    const outcome = await this.#parts.coordinator.read(key, { level, isStrict, signal })
    const { set, acks, wanted, from, isEnough } = outcome
    return { ...foundOf(key, set), acks, wanted, from, ...(!isEnough && { stale: true }) }
  }

  async put(key: string, value: Uint8Array, options: RemoveOptions = {}): Promise<PutResult> {
    if (value.byteLength > limits.recordValueBytesMax)
      throw new RecordsError(
        'VALUE_TOO_LARGE',
        `a value may have ${limits.recordValueBytesMax} bytes and this one has ${value.byteLength}; add it as content and store its address`,
      )
    return await this.#write(key, value, options)
  }

  async remove(key: string, options: RemoveOptions = {}): Promise<PutResult> {
    return await this.#write(key, undefined, options)
  }

  async list(prefix: string, options: Parameters<Records['list']>[1] = {}): ReturnType<Records['list']> {
    if (prefix !== '') requireKey(prefix)
    return await listRecords(this.#parts, prefix, options)
  }

  async history(key: string, options: Parameters<Records['history']>[1] = {}): ReturnType<Records['history']> {
    requireKey(key)
    return await historyOf(this.#parts, key, this.#parts.rings.owners(partitionOf(key)), options)
  }

  watch(prefix: string, listener: Parameters<Records['watch']>[1]): () => void {
    return this.#parts.watchers.add(prefix, listener)
  }

  follow(prefix: string, listener: Parameters<Records['follow']>[1]): () => void {
    return this.#parts.followers.add(prefix, listener)
  }

  *local(): ReturnType<Records['local']> {
    const { replica } = this.#parts
    for (const key of replica.keys('', undefined)) {
      const stored = replica.read(key)
      if (!stored) continue
      const standIn = replica.isStandInFor(key)
      yield { key, standIn, siblings: shownSiblings(stored.set), context: contextOf(stored.set) }
    }
  }

  pendingHints(): number {
    return this.#parts.replica.hints.size
  }

  drained(): boolean {
    const { handOff, replica, rings, presence } = this.#parts
    if (handOff.toHandOver().length > 0 || this.pendingHints() > 0 || presence.isUnmet) return false
    return replica.changing().every((key) => rings.isOwner(partitionOf(key)))
  }

  status(): ReturnType<Records['status']> {
    const { replica, rings, dots, handOff } = this.#parts
    return {
      store: dots.store,
      keys: replica.tree.records,
      keysStoodIn: replica.stoodIn,
      hints: replica.hints.size,
      partitionsToHandOver: handOff.toHandOver().length,
      ringsUnsettled: rings.earlier.length,
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope.close()
  }

  async #write(key: string, value: Uint8Array | undefined, options: RemoveOptions): Promise<PutResult> {
    requireKey(key)
    const { w: level, strict: isStrict = false, context, ifVersion, signal } = options
    const { coordinator } = this.#parts
    const asked: Asked = { level, isStrict: isStrict || ifVersion !== undefined, signal }
    const sign = (seen: Version) => this.#sign(key, value, seen)
    if (ifVersion !== undefined) {
      const outcome = await compareAndSet(this.#parts, { key, sign, expected: parseVersion(ifVersion), asked })
      return putResult(key, outcome)
    }
    const given = context === undefined ? undefined : parseVersion(context)
    const present = given && !isStrict ? undefined : await coordinator.present(key, asked)
    const seen = given ?? versionOf(present ?? emptySet)
    return putResult(key, await coordinator.write(await sign(seen), asked))
  }

  #sign(key: string, value: Uint8Array | undefined, context: Version): Promise<Write> {
    const { random, clock, author } = this.#parts
    const id = Buffer.from(random.bytes(writeIdBytes)).toString('base64url')
    const atMs = Math.max(0, Math.round(clock.nowMs()))
    return author.sign({ key, value, id, context, atMs })
  }
}

function putResult(key: string, { set, acks, wanted, from }: Outcome): PutResult {
  return { key, version: contextOf(set), siblings: shownSiblings(set), acks, wanted, from }
}

function requireKey(key: string): void {
  const fault = keyFault(key)
  if (fault !== undefined) throw new RecordsError('KEY_INVALID', `this key ${fault}; choose another`)
}
