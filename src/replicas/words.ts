// What a caller of replicas says and hears: how many copies of which DAG, which members hold them and how far each is. Shapes
// only; nothing here decides or does anything.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Worker } from '../base/worker.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { AnswerCall, BlockStore, Calls, Fetcher, LinksOf, Losses, Membership, Table } from '../core/ports.ts'
import type { Reporting } from '../core/progress.ts'

/** A record as replicas see it: the values that were written at the same time, and the version that they make. */
export interface PinRecord {
  key: string
  /** A value that is undefined is a removal. */
  siblings: readonly { value: Uint8Array | undefined }[]
  context: string
}

/** The records of the cluster, as replicas need them. */
export interface PinRecords {
  /** `strict`: only owners count, and `stale` says that they were too few. */
  get(
    key: string,
    options?: Abortable & { strict?: boolean },
  ): Promise<PinRecord & { stale?: boolean; acks: number; wanted: number }>
  /** Succeeds with one durable copy. */
  put(
    key: string,
    value: Uint8Array,
    options: Abortable & { context: string },
  ): Promise<{ acks: number; wanted: number }>
  /** Like `put`, and leaves nothing. */
  remove(key: string, options: Abortable & { context: string }): Promise<unknown>
  list(
    prefix: string,
    options?: Abortable & { after?: string },
  ): Promise<{ entries: PinRecord[]; next?: string | undefined; unreached: PeerId[] }>
  /** Calls back with everything that this peer keeps below the prefix, then with every change of it; no siblings: it is others' now. */
  follow(prefix: string, listener: (record: PinRecord) => void): () => void
}

/** The roots that this peer's store must not collect. */
export interface Roots {
  has(cid: CID): boolean
  /** All that are kept, in no order. */
  list(): Iterable<CID>
  /** Durable when it resolves; the blocks must be held by a lease until then. */
  add(cid: CID): Promise<void>
  /** False if it was not there. Durable when it resolves. */
  remove(cid: CID): Promise<boolean>
}

export interface ReplicasDeps {
  membership: Membership
  records: PinRecords
  store: BlockStore & Losses
  roots: Roots
  fetcher: Fetcher
  linksOf: LinksOf
  /** Bytes of all blocks of a DAG, each once. Throws if one of them is not here. */
  measure(cid: CID, options?: Abortable): Promise<number>
  openCalls(options: { protocol: string; answer: AnswerCall }): Promise<Calls>
  /** What this peer holds, and promises to hold. */
  table: Table
  /** Something here is not needed any more, and may be collected. */
  onLetGo(): void
  clock: Clock
  random: Random
  log: Log
}

export interface ReplicasOptions {
  /** Owners of each record: who drives a pin. */
  recordCopies: number
  /** Copies of a pin that says nothing else. */
  copies: number
  /** Bytes that this peer holds for the cluster. */
  capacity: number
  /** A holder that is away for longer is replaced. */
  graceMs: number
  /** Contents being fetched at a time, to hold them. */
  concurrency: number
}

/** How far a member is that shall hold, or holds. */
export type PlaceState =
  /** Every block is there, durably. */
  | 'held'
  /** It fetches. */
  | 'fetching'
  /** It has been named, and has not answered yet. */
  | 'asked'
  /** It would hold, and has no room. Not counted, and another is named instead. */
  | 'full'
  /** It does not answer; after the grace time another is named. */
  | 'away'
  /** It cannot get the content, or could not prove that it has it. */
  | 'failing'

export interface Place {
  peer: PeerId
  zone: string
  state: PlaceState
  /** Bytes that it has of this pin, as far as it told. */
  doneBytes: number
  /** A sentence, when something keeps it from holding. */
  why?: string | undefined
}

export interface PinStatus {
  cid: CID
  /** Copies that are wanted, and that are confirmed. */
  copies: number
  held: number
  /** Members that could hold it, as far as is known: large enough, not full, and wished for. */
  possible: number
  /** Bytes of all its blocks, each counted once. */
  sizeBytes: number
  places: Place[]
  /** `held`: as many copies as are wanted. `copying`: on the way there. `waiting`: it cannot go on, and `why` says what for. */
  state: 'held' | 'copying' | 'waiting'
  why?: string | undefined
  /** Wall time, milliseconds since 1970, when it ends; undefined if never. */
  expiresMs?: number | undefined
  /** Bytes that members still have to fetch, and how fast they do now, per second. */
  bytesToGo: number
  bytesPerSecond: number
}

export interface PinOptions extends Abortable {
  /** Copies wanted; default: the options' `copies`. */
  copies?: number | undefined
  /** Bytes of all its blocks, each counted once. */
  sizeBytes: number
  /** Wall time when the wish ends, as this peer's clock says it; if the others' say otherwise, they are believed. */
  expiresMs?: number | undefined
  /** This peer shall not be one of the holders. */
  elsewhere?: boolean | undefined
}

/** A change of members, to be thought through. */
export type Change =
  | { kind: 'leave'; peer: PeerId }
  | { kind: 'forget'; peer: PeerId }
  | { kind: 'zone'; peer: PeerId; zone: string }

export interface Preview {
  /** Pins that get a new holder, and the bytes that will be copied. */
  pins: number
  bytes: number
  /** Bytes by the member that takes them. */
  byPeer: Record<PeerId, number>
  /** Pins that will have fewer copies than wanted, since nobody is left to hold them. */
  short: number
  /** Members that did not say which pins they know: there may be more. */
  unreached: PeerId[]
}

export interface ReplicasStatus {
  /** Pins that this peer holds, or is about to, and their bytes: `reservedBytes` is promised and not fetched yet. */
  pins: number
  heldBytes: number
  reservedBytes: number
  capacity: number
  /** Pins that this peer drives, and how many of these have fewer copies than wanted. */
  driven: number
  underReplicated: number
}

export interface Replicas extends AsyncDisposable {
  /**
   * Asks the cluster to keep a DAG, all of whose blocks are here and in a lease, and keeps it here until `letGo`. Durable
   * here and written to the records when it resolves. A second pin of the same adds to the first: most copies, latest end.
   * When it throws, nothing more is kept than before, but for what records say of writes that failed. Throws COPIES_INVALID.
   */
  pin(cid: CID, options: PinOptions): Promise<PinStatus>
  /** Nobody need keep it any more. False if no record says that it is kept. Throws PINS_UNREACHED when that is not known. */
  unpin(cid: CID, options?: Abortable): Promise<boolean>
  /**
   * Drops the copy that `pin` keeps here; this peer may still be a holder. False if those that shall hold it could not prove
   * just now that they do: then it stays.
   */
  letGo(cid: CID, options?: Abortable): Promise<boolean>
  /** Undefined if the cluster does not keep it. Asks whoever drives it. */
  status(cid: CID, options?: Abortable): Promise<PinStatus | undefined>
  /** All pins of the cluster, in the order of their CIDs. Throws PINS_UNREACHED at the end if some may be missing. */
  list(options?: Abortable): AsyncIterable<PinStatus>
  /** Resolves when `count` members hold it. Throws COPIES_UNAVAILABLE when so many never can, NOT_KEPT when it is unpinned. */
  wait(cid: CID, count: number, options?: Abortable & Reporting): Promise<PinStatus>
  /** Members that are named as its holders, and those that pinned it; nobody if it is no pin. */
  holders(cid: CID, options?: Abortable): AsyncIterable<PeerInfo>
  /** What a change of members would move. Reads all pins of the cluster. */
  preview(change: Change, options?: Abortable): Promise<Preview>
  /** Bytes that a member holds and has promised to hold, as it says. */
  usedBytes(peer: PeerId, options?: Abortable): Promise<number>
  /** Content of this peer has rotted or gone: everything held is looked through, and what is missing is fetched again. */
  mend(): void
  /** Bytes that this peer holds and that others, who shall hold them instead, have not confirmed yet. */
  bytesToHandOver(): number
  /** True when it holds nothing that others should and could: a member that leaves waits for this. */
  drained(): boolean
  summary(): ReplicasStatus
  /** Driving, holding and auditing. They run only when something runs them. */
  readonly workers: Worker[]
}
