// What a caller of records says and hears: how many answers to wait for, which version was seen, what was found and who
// said so. Shapes only; nothing here decides or does anything.
import type { Abortable } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Worker } from '../base/worker.ts'
import type { PeerId } from '../core/peer.ts'
import type { AnswerCall, Broadcast, Calls, Membership, Signer, Table } from '../core/ports.ts'
import type { Laws } from './laws.ts'

export interface RecordsDeps {
  membership: Membership
  table: Table
  signer: Signer
  broadcast: Broadcast
  clock: Clock
  random: Random
  log: Log
  openCalls(options: { protocol: string; answer: AnswerCall }): Promise<Calls>
  /** The rules that decide what is kept. Only a test of the tests replaces one. */
  laws?: Laws
}

export interface RecordsOptions {
  /** N: owners of each key, or as many as hold anything. */
  copies: number
  /** True if this peer was invited by others: until it has heard of them it does not know who owns what. */
  isInvited: boolean
}

/** How many answers a call waits for; `quorum` is more than half of the owners. */
export type Level = 'one' | 'quorum' | 'all' | number

export interface GetOptions extends Abortable {
  /** Waits for this many or throws QUORUM_UNAVAILABLE. Without it: a quorum of what can be reached. */
  r?: Level
  /** Count owners only. Too few of them: what there is, marked `stale`. */
  strict?: boolean
}

export interface RemoveOptions extends Abortable {
  /** Waits for this many durable copies or throws QUORUM_UNAVAILABLE. Without it: aim at a quorum, succeed with one. */
  w?: Level
  /** Count owners only, a quorum of them at least. */
  strict?: boolean
  /** The version that this write replaces, as `get` or `put` gave it. Without it: what a read finds now. */
  context?: string
  /** Compare and set: write only if this is the present version (`none`: only if there is nothing). Strict. */
  ifVersion?: string
}

export type PutOptions = RemoveOptions

/** One of the concurrent values of a key. */
export interface ShownSibling {
  /** Undefined: this write removed the key. */
  value: Uint8Array | undefined
  author: PeerId
  /** Names the write; random. */
  writeId: string
  /** Wall time of the author. For people; decides nothing that is kept. */
  atMs: number
}

/** Who answered: owners of the key, and members that stood in for owners. */
export interface Sources {
  owners: PeerId[]
  standIns: PeerId[]
}

export interface Found {
  key: string
  /** Concurrent values and removals, the winner first; empty when nothing is known of the key. */
  siblings: ShownSibling[]
  /** The sibling to show: the same at everyone who has the same siblings. Undefined when there is no value. */
  winner?: ShownSibling | undefined
  /** The version, opaque: for `context` and `ifVersion`. `none` when nothing is known of the key. */
  context: string
}

export interface GetResult extends Found {
  /** Answers that counted, and how many were wanted. */
  acks: number
  wanted: number
  from: Sources
  /** True when fewer owners answered than a quorum: there may be something newer. */
  stale?: boolean
}

export interface PutResult {
  key: string
  /** The version after this write, for `context` and `ifVersion`. */
  version: string
  /** All siblings after this write; more than one is a conflict. */
  siblings: ShownSibling[]
  /** Durable copies, and how many were wanted. */
  acks: number
  wanted: number
  from: Sources
}

export interface ListOptions extends Abortable {
  /** Keys after this one. */
  after?: string
  /** Entries in the answer, at most `limits.recordsListed`. */
  limit?: number
}

export interface Listed {
  /** In key order; keys without a value (removed ones) are left out. */
  entries: Found[]
  /** Give this as `after` for more; undefined at the end. */
  next?: string | undefined
  /** Members that hold partitions and did not answer: entries may be missing. */
  unreached: PeerId[]
}

/** A version that has been replaced. */
export interface PastWrite {
  /** Undefined for a removal, and for a value too large to keep. */
  value: Uint8Array | undefined
  removed: boolean
  author: PeerId
  writeId: string
  atMs: number
}

/** What this replica has of a key, for checkers. */
export interface LocalRecord {
  key: string
  /** True if this peer keeps it for others, as a stand-in. */
  standIn: boolean
  siblings: ShownSibling[]
  context: string
}

export interface RecordsStatus {
  /** Id of this store: new when its table was empty. */
  store: string
  /** Keys that this peer holds as an owner, and as a stand-in. */
  keys: number
  keysStoodIn: number
  hints: number
  /** Partitions that this peer still holds and no longer owns. */
  partitionsToHandOver: number
  /** Rings whose hand-off has not ended yet. */
  ringsUnsettled: number
}

export interface Records extends AsyncDisposable {
  /** The value of a key. Throws KEY_INVALID, QUORUM_UNAVAILABLE. */
  get(key: string, options?: GetOptions): Promise<GetResult>
  /**
   * Writes a value of at most `limits.recordValueBytesMax` bytes. Throws KEY_INVALID, VALUE_TOO_LARGE, VERSION_INVALID,
   * VERSION_MISMATCH, TOO_MANY_SIBLINGS, QUORUM_UNAVAILABLE. After QUORUM_UNAVAILABLE the write may still happen.
   */
  put(key: string, value: Uint8Array, options?: PutOptions): Promise<PutResult>
  /** Removes a key: a write without a value. Throws like `put`. */
  remove(key: string, options?: RemoveOptions): Promise<PutResult>
  /** Keys that begin with `prefix`, from all members that hold partitions. */
  list(prefix: string, options?: ListOptions): Promise<Listed>
  /** Versions that were replaced, newest first: as many as the replicas keep. */
  history(key: string, options?: Abortable): Promise<PastWrite[]>
  /** Calls back with every new version of keys that begin with `prefix`, once each; the returned function stops that. */
  watch(prefix: string, listener: (found: Found) => void): () => void
  /**
   * Calls back with every key of this replica that begins with `prefix`, now, and again with each change of one here; with no
   * siblings when it goes to others. What only others keep is not followed. The returned function stops that.
   */
  follow(prefix: string, listener: (found: Found) => void): () => void
  /** Everything that this replica has, without asking anybody. */
  local(): Iterable<LocalRecord>
  /** Hints that this peer keeps for others. */
  pendingHints(): number
  /** True when this peer holds nothing that others should: a member that leaves waits for this. */
  drained(): boolean
  /** Hints, anti-entropy and hand-off. They run only when something runs them. */
  readonly workers: Worker[]
  status(): RecordsStatus
}
