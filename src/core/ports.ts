// The ports: what an organ needs from the others, said once. Each has two implementations, the real one and its twin for
// tests and simulation. All CIDs of one multihash name the same block: stores are keyed by multihash.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import type { Block } from './block.ts'
import type { Member, View } from './member.ts'
import type { PeerId, PeerInfo, Provider } from './peer.ts'
import type { Progress, Reporting } from './progress.ts'

/** The CIDs that a block links to, in order, without duplicates removed. Pure. Throws for a codec it does not know. */
export type LinksOf = (block: Block) => CID[]

/** Anything that gives verified blocks: a store, or a fetch that looks further. */
export interface BlockReader {
  /** Throws NOT_FOUND, CORRUPT or REFERENCE_CHANGED; never wrong bytes. The bytes are the caller's to read, not to change. */
  get(cid: CID, options?: Abortable): Promise<Block>
}

/** A block whose bytes stay in a user's own file. */
export interface BlockReference {
  /** Absolute path. */
  path: string
  offset: number
  length: number
  /** Modification time of the file when its bytes were read, milliseconds, as fs.Stats gives it. */
  mtimeMs: number
}

/** While a lease is held, no block written or touched under it is collected. */
export interface Lease extends Disposable {
  readonly reason: string
}

export interface BlockStore extends BlockReader {
  /** True if the block is here (its bytes may still have rotted). Identity CIDs are always here. */
  has(cid: CID): boolean
  /** Size in bytes; undefined if the block is not here. */
  sizeOf(cid: CID): number | undefined
  /**
   * The bytes as they lie on the disk, unverified: only for whoever verifies or compares them. Throws NOT_FOUND and
   * REFERENCE_CHANGED like get.
   */
  unverified(cid: CID, options?: Abortable): Promise<Uint8Array>
  lease(reason: string): Lease
  /** A writer whose blocks live at least as long as the lease. */
  writer(lease: Lease): BlockWriter
}

/** Tells when a block has gone that was here: it rotted, its file is lost, or the user's own file has changed. */
export interface Losses {
  /** The returned function stops that. */
  onLost(listener: (cid: CID) => void): () => void
}

/** A stream of blocks into the store, durable in groups. Disposing of it gives up what is not durable by then. */
export interface BlockWriter extends AsyncDisposable {
  /** Takes a block; waits while too many bytes are on their way to the disk. Not durable before `flush`. Throws STORE_FULL. */
  put(block: Block, options?: Abortable): Promise<void>
  /** Takes a block whose bytes stay in the user's file. */
  putReference(block: Block, reference: BlockReference, options?: Abortable): Promise<void>
  /** Brings a block that is already here under this writer's lease; false if it is not here. */
  touch(cid: CID): boolean
  /** Resolves when everything taken so far is durable (fsync). Throws what made that impossible; nothing is believed then. */
  flush(options?: Abortable): Promise<void>
}

export type TableOperation = { put: string; value: Uint8Array } | { delete: string }

/** A durable, ordered map with string keys, compared by code point (as their UTF-8 bytes). Organs keep their state in Tables of their own. */
export interface Table {
  get(key: string): Uint8Array | undefined
  /** Entries with `from <= key < to`, in key order. Safe while the table changes. */
  range(bounds: { from?: string; to?: string; limit?: number }): Iterable<[key: string, value: Uint8Array]>
  /** All or nothing; resolves when durable. */
  write(operations: TableOperation[]): Promise<void>
}

/** A bidirectional byte stream to one peer, with back-pressure both ways. */
export interface Channel {
  readonly peer: PeerId
  readonly protocol: string
  /** Queues the pieces in order, as one write; resolves when the stream takes more. Throws when the stream is gone. */
  write(pieces: Uint8Array[], options?: Abortable): Promise<void>
  /** The next bytes, at least one piece; undefined when the other side closed cleanly. Throws when the stream broke. */
  read(options?: Abortable): Promise<Uint8Array[] | undefined>
  /** Ends our side, after what was written. */
  close(options?: Abortable): Promise<void>
  /** Drops the stream; pending reads and writes reject with the reason. */
  abort(reason: Error): void
}

export interface HandlerOptions {
  /** Streams of this protocol that one connection may have open at a time. */
  streamsMax: number
}

export interface Connected extends PeerInfo {
  direction: 'in' | 'out'
  relayed: boolean
  latencyMs?: number | undefined
  /** Protocols that identify told. */
  protocols: string[]
}

export interface Network {
  readonly self: PeerId
  /** Multiaddrs at which others may reach this peer, with `/p2p/` tail. */
  addresses(): string[]
  connected(): Connected[]
  /** Dials a multiaddr or a known peer. Throws DIAL_FAILED with the reason. */
  connect(target: string | PeerInfo, options?: Abortable): Promise<PeerId>
  /** Opens a stream, dialing if need be; of several protocols the first that the peer speaks. Throws PROTOCOL_UNSUPPORTED, DIAL_FAILED. */
  open(peer: PeerId | PeerInfo, protocols: string[], options?: Abortable): Promise<Channel>
  /** Serves a protocol; the stream is aborted if the handler throws. Returns the way to stop. */
  handle(
    protocol: string,
    options: HandlerOptions,
    handler: (channel: Channel) => Promise<void>,
  ): Promise<() => Promise<void>>
  /** Calls back when a peer's first connection opens (after identify) or its last one closes. */
  onPeer(listen: (event: { peer: PeerId; connected: boolean }) => void): () => void
  /** Calls back when a peer that was connected through a relay alone has a direct connection too: streams are better there. */
  onDirect(listen: (peer: PeerId) => void): () => void
}

export interface Dht {
  /** Servers in the routing table. */
  size(): number
  /** The servers nearest to SHA-256(key), nearest first, at most 20. Throws if none is known. */
  closest(key: Uint8Array, options?: Abortable): Promise<PeerInfo[]>
  /** Tells one server that this peer provides these multihashes, over one stream. */
  addProviders(server: PeerInfo, multihashes: Uint8Array[], options?: Abortable): Promise<void>
  /** Providers as they are found. Ends when the lookup ends. */
  findProviders(cid: CID, options?: Abortable): AsyncIterable<PeerInfo>
  /** Gives a value to the servers nearest to its key, and keeps it here; to how many it went: none without servers. */
  putValue(key: Uint8Array, value: Uint8Array, options?: Abortable): Promise<number>
  /** What the servers nearest to the key keep under it, and this peer: unverified, in no order. */
  getValues(key: Uint8Array, options?: Abortable): Promise<Uint8Array[]>
}

/** Messages to everybody who listens to a topic. Some may be lost or come twice; the author is proven. */
export interface Broadcast {
  /** Sends to all who listen now; returns to how many peers it went, which may be none. Throws GOSSIP_TOO_LARGE. */
  publish(topic: string, bytes: Uint8Array): Promise<number>
  /** Calls back for every message of others; the returned function stops that. */
  subscribe(topic: string, listen: (message: { from: PeerId; bytes: Uint8Array }) => void): () => void
}

/** Signatures of this peer's identity, and checks of others'. Synchronous, so that a simulation stays in order. */
export interface Signer {
  readonly self: PeerId
  sign(bytes: Uint8Array): Uint8Array
  /** True if the peer with this id signed these bytes. */
  verify(peer: PeerId, bytes: Uint8Array, signature: Uint8Array): boolean
}

/** Proof that a connected peer holds the cluster's secret. Noise has proven its PeerId. */
export interface Admission {
  /** What this peer shows of itself; undefined when it is no member (a hub that only relays). */
  proof(): Uint8Array | undefined
  /** True if the peer has the member key. Takes the same time for any wrong proof. */
  proves(peer: PeerId, proof: Uint8Array): boolean
}

/** The members of this peer's cluster: the members organ, as records and replicas see it. */
export interface Membership {
  readonly self: PeerId
  /** Everyone known and not forgotten, this peer included, sorted by PeerId. Peers that left are listed as such. */
  members(): readonly Member[]
  member(peer: PeerId): Member | undefined
  /** What the ring is made of. The same object until it changes. */
  view(): View
  /** True for a peer that has proven on this connection that it holds the secret, and is not forgotten. */
  proven(peer: PeerId): boolean
  /** All signed claims, encoded, for a peer that has another view. */
  claims(): Uint8Array[]
  /** Merges claims of any origin; forged ones are dropped. True if one was new. */
  learn(claims: Uint8Array[]): boolean
  /** Calls back when the view or a liveness has changed. */
  onChange(listen: (change: { view: boolean }) => void): () => void
}

/** Finding who provides a CID: the routing organ, as the exchange sees it. */
export type FindProviders = (cid: CID, options?: Abortable) => AsyncIterable<Provider>

export interface FetchReport {
  blocks: number
  bytes: number
  /** Payload bytes by the peer that sent them. */
  sources: Record<PeerId, number>
}

/** A running fetch: it finds providers as needed, takes from several at once, and stores what it verified. */
export interface FetchSession extends BlockReader, AsyncDisposable {
  /** From the store, or from peers, then stored. Throws NO_PROVIDERS, STALLED, with a reason people understand. */
  get(cid: CID, options?: Abortable): Promise<Block>
  /**
   * Brings every block at and below root into the store, durably. What is here already counts as it is listed; with `rereads`
   * it is read and checked, and fetched if it has rotted or gone.
   */
  fetchDag(root: CID, options?: Abortable & { rereads?: boolean }): Promise<void>
  report(): FetchReport
}

export interface FetchOptions extends Reporting, Abortable {
  /** Peers to ask first, before any search. */
  hints?: PeerInfo[]
  /** Nobody waits for it: it keeps to the budget of background fetches, and lets those of people go first. */
  background?: boolean
}

export interface Fetcher {
  /** Opens a session for content below `root`, whose providers are those of the root. Blocks live as long as `lease`. */
  session(root: CID, lease: Lease, options?: FetchOptions): FetchSession
}

export type OnProgress = (progress: Progress) => void

/** Requests to peers and their answers, of one protocol. */
export interface Calls extends AsyncDisposable {
  /**
   * Sends a request and waits for the answer, `timeoutMs` at most (default: `times.callMs`). Throws DIAL_FAILED,
   * PROTOCOL_UNSUPPORTED, STREAM_BROKEN, CALLS_FULL, TIMED_OUT, FRAME_TOO_LARGE, and CALL_REFUSED with the sentence of a
   * handler that threw, whose code the cause has. The request must not change before it is answered.
   */
  call(peer: PeerId, request: Uint8Array, options?: Abortable & { timeoutMs?: number }): Promise<Uint8Array>
}

/** Answers a request of a peer. What it throws is told to the caller as a sentence. */
export type AnswerCall = (request: Uint8Array, from: PeerId, options: Abortable) => Promise<Uint8Array>
