// Bringing a partition to agree with another peer's, key by key: what the other lacks is sent, what it has is fetched, and
// everything is merged on both sides. Only keys whose hashes differ travel. A hand-over uses the sending half alone.
import type { Abortable } from '../base/abort.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { invalid } from './fields.ts'
import type { Answer, Carried, Request } from './messages.ts'
import type { Peers } from './peers.ts'
import { sameBytes } from './record.ts'
import type { Replica } from './replica.ts'

export interface SyncDeps {
  peers: Peers
  replica: Replica
}

/** Hashes of all records that a peer has of a partition. */
export async function hashesAt(
  { peers }: SyncDeps,
  peer: PeerId,
  partition: number,
  options: Abortable,
): Promise<Map<string, Uint8Array>> {
  const hashes = new Map<string, Uint8Array>()
  for (let after = ''; ; ) {
    const answer = expect(await peers.ask(peer, { type: 'keys', partition, after }, options), 'keys')
    for (const [key, hash] of answer.keys) hashes.set(key, hash)
    const last = answer.keys.at(-1)?.[0]
    if (!answer.more || last === undefined || last <= after) return hashes
    after = last
  }
}

/** Sends all records of a partition that the peer has not, or not so; resolves when it has them durably. */
export async function sendPartition(
  deps: SyncDeps,
  peer: PeerId,
  partition: number,
  { known = false, ...options }: Abortable & { known?: boolean } = {},
): Promise<Map<string, Uint8Array>> {
  const theirs = await hashesAt(deps, peer, partition, options)
  const differing: string[] = []
  for (const [key, hash] of deps.replica.hashesIn(partition, '')) {
    const other = theirs.get(key)
    if (!other || !sameBytes(other, hash)) differing.push(key)
  }
  // A hint says that nobody else may have the record yet, so it is not one that others have removed.
  const isNew = (key: string) => !known || deps.replica.hints.ownersOf(key) !== undefined
  const bytesOf = (key: string) => deps.replica.ownedBytesOf(key)
  const fresh = [...batches(differing.filter(isNew), bytesOf)].map((records) => ({ records, known: false }))
  const old = [
    ...batches(
      differing.filter((key) => !isNew(key)),
      bytesOf,
    ),
  ].map((records) => ({ records, known: true }))
  for (const part of [...fresh, ...old]) {
    const { records } = part
    const request: Request = { type: 'put', missing: [], tells: true, ...part }
    const answer = expect(await deps.peers.ask(peer, request, options), 'kept')
    // A peer that is no owner keeps nothing: the ring has changed, and the next step plans anew.
    if (!answer.isOwner) throw invalid('an answer of somebody who does not own the partition')
    await takeNews(deps, records, answer.news)
  }
  return theirs
}

/** Sends and fetches until both have what either had. */
export async function syncPartition(
  deps: SyncDeps,
  peer: PeerId,
  partition: number,
  options: Abortable,
): Promise<void> {
  const theirs = await sendPartition(deps, peer, partition, options)
  for (const [key] of deps.replica.hashesIn(partition, '')) theirs.delete(key)
  const wanted = [...theirs.keys()]
  while (wanted.length > 0) {
    const keys = wanted.slice(0, limits.recordsCarried)
    const answer = expect(await deps.peers.ask(peer, { type: 'fetch', keys }, options), 'records')
    const asked = new Set(keys)
    const records = answer.records.filter(([key]) => asked.has(key))
    await Promise.all(records.map(([key, set]) => deps.replica.merge(key, set)))
    // What did not come is gone there; what did not fit is asked for again.
    const last = records.at(-1)?.[0]
    const done = answer.more && last !== undefined ? keys.indexOf(last) + 1 : keys.length
    wanted.splice(0, done)
  }
}

async function takeNews(deps: SyncDeps, sent: readonly Carried[], news: readonly (Uint8Array | null)[]): Promise<void> {
  await Promise.all(
    sent.map(async ([key], index) => {
      const set = news[index]
      if (set) await deps.replica.merge(key, set)
    }),
  )
}

/** Records in messages that are not too large. */
export function* batches(
  keys: Iterable<string>,
  bytesOf: (key: string) => Uint8Array | undefined,
): Generator<Carried[]> {
  let batch: Carried[] = []
  let sizeBytes = 0
  for (const key of keys) {
    const bytes = bytesOf(key)
    if (!bytes) continue
    const isFull = batch.length === limits.recordsCarried || sizeBytes + bytes.byteLength > limits.recordsCarriedBytes
    if (batch.length > 0 && isFull) {
      yield batch
      batch = []
      sizeBytes = 0
    }
    batch.push([key, bytes])
    sizeBytes += bytes.byteLength + key.length
  }
  if (batch.length > 0) yield batch
}

/** The answer if it is of this kind; throws RECORD_INVALID. */
export function expect<T extends Answer['type']>(answer: Answer, type: T): Answer & { type: T } {
  if (answer.type !== type) throw invalid(`an answer of another kind than '${type}'`)
  return answer as Answer & { type: T }
}
