// What a peer can do: every command is one method here. Two things implement it, a peer in this process and the client
// that talks to a running one, so commands and programs need not know which they hold. CIDs and peers are text, so that
// what a method returns is also what `--json` prints.
import type { Abortable } from '../base/abort.ts'
import type { WorkerStatus } from '../base/worker.ts'
import type { Liveness, MemberState } from '../core/member.ts'
import type { FoundVia, PeerId } from '../core/peer.ts'
import type { Reporting } from '../core/progress.ts'
import type { Reach } from '../net/reach.ts'
import type { Relaying } from '../net/relay-server.ts'
import type { NameInfo, PastValue } from '../records/names.ts'
import type { Level } from '../records/words.ts'
import type { PlaceState, ReplicasStatus } from '../replicas/words.ts'
import type { IpnsInfo } from '../routing/ipns.ts'
import type { Config } from './config.ts'

export interface LongOptions extends Abortable, Reporting {}

/** How a pin is kept. All of these need a running member of a cluster. */
export interface KeepOptions {
  /** Members that shall hold it; default: the config's `copies`. May be more than there are. */
  copies?: number | undefined
  /** Return when so many members hold every block durably. Without it: when it is durable here and asked of the others. */
  wait?: number | undefined
  /** Wall time, milliseconds since 1970, when the pin ends; default: never. */
  expiresMs?: number | undefined
}

export interface ImportOptions extends LongOptions {
  /** Default true. */
  pin?: boolean | undefined
}

export interface PinOptions extends LongOptions, KeepOptions {}

export interface AddOptions extends LongOptions, KeepOptions {
  /** Keep file bytes in the user's own files and remember where they are. */
  reference?: boolean | undefined
  /** `unixfs-v1-2025` or `unixfs-v0-2015`; default: the config's. */
  profile?: string | undefined
  /** Default true: pin the root, so that gc keeps it, and announce it. */
  pin?: boolean | undefined
  /** Keep no copy here once others hold all that are wanted; throws COPIES_UNAVAILABLE, and keeps it, if they cannot. */
  offload?: boolean | undefined
  /** Compute the CID and store nothing. */
  onlyHash?: boolean | undefined
  /** Take entries whose names begin with a dot. */
  hidden?: boolean | undefined
  /** Globs of entries to leave out. */
  ignore?: string[] | undefined
}

export interface Added {
  cid: string
  /** As it was given; `-` for a stream. */
  path: string
  /** Content bytes. */
  size: number
  blocks: number
  /** Entries passed over: pipes, sockets and devices, which have no content, and the peer's own home. */
  skipped: number
  /** Files and folders left out because their names are not UTF-8. */
  misnamed: number
  /** Members that shall hold it and that do; only for what the cluster keeps. */
  copies?: number
  held?: number
  /** A sentence for whoever asked, if not all of it can be had now. */
  note?: string
}

export interface GetOptions extends LongOptions {
  /** Where to write; default: the last name of the REF, in the working folder. */
  output?: string | undefined
  /** Replace files that are there with other content; without it they are an error. */
  overwrite?: boolean | undefined
}

export interface Got {
  cid: string
  path: string
  size: number
  seconds: number
  /** Bytes by the peer that sent them; empty when everything was here. */
  sources: Record<string, number>
}

export interface CatOptions extends LongOptions {
  /** Bytes to skip. */
  offset?: number | undefined
  /** Bytes to give at most. */
  length?: number | undefined
}

export interface Entry {
  /** Name in the folder; with `recursive`, the path below the REF. */
  name: string
  cid: string
  /** Content bytes; null for folders, and for what is not UnixFS. */
  size: number | null
  type: string
}

export interface Found {
  peerId: PeerId
  addresses: string[]
  via: FoundVia
}

/** A member that shall hold a pin, or holds it. */
export interface PlaceInfo {
  peerId: PeerId
  zone: string
  state: PlaceState
  /** Bytes that it has of this pin, as far as it told. */
  bytes: number
  why?: string
}

export interface PinInfo {
  cid: string
  /** Copies that are wanted, and that are confirmed. */
  copies: number
  held: number
  /** Who holds all of it. */
  holders: PeerId[]
  /** `copying`: on the way there. `waiting`: for what `why` says. `incomplete`: kept on this peer alone, with blocks missing. */
  state: 'held' | 'copying' | 'waiting' | 'incomplete'
  why?: string
  /** Bytes of all its blocks, each counted once; null for what this peer keeps alone. */
  size: number | null
  places: PlaceInfo[]
  /** Bytes that members still have to fetch, and how fast they do now. */
  bytesToGo: number
  bytesPerSecond: number
  /** ISO 8601; never without it. */
  expires?: string
  /** A sentence for whoever asked, if not all of it can be had now. */
  note?: string
}

/** What a change of members would move. */
export interface PreviewInfo {
  change: 'leave' | 'forget' | 'zone'
  peerId: PeerId
  zone?: string
  /** Pins that would get a new holder, and the bytes that would be copied. */
  pins: number
  bytes: number
  /** Bytes by the member that takes them. */
  byPeer: Record<PeerId, number>
  /** Pins that would have fewer copies than wanted. */
  short: number
  /** Members that did not say which pins they know: there may be more. */
  unreached: PeerId[]
}

export interface Collected {
  blocks: number
  bytes: number
  kept: number
  /** Pinned roots with missing blocks; while there are any, nothing is deleted below them. */
  incomplete: string[]
}

export interface Verified {
  blocks: number
  bytes: number
  problems: { cid: string; problem: string }[]
}

export interface Imported {
  cid: string
  blocks: number
  bytes: number
}

export interface PeerConnection {
  peerId: PeerId
  addresses: string[]
  direction: 'in' | 'out'
  relayed: boolean
  latencyMs?: number | undefined
}

export interface StoreStatus {
  blocks: number
  bytes: number
  inlineBytes: number
  fileBytes: number
  referencedBytes: number
  pins: number
}

/** One of the things that `doctor` looks at. */
export interface CheckResult {
  /** What was looked at, in a word or two. */
  check: string
  ok: boolean
  /** A sentence on how it is. */
  message: string
  /** What to do about it, if it is not well. */
  mend?: string
}

export interface Status {
  version: string
  home: string
  running: boolean
  store: StoreStatus
  peerId?: PeerId
  addresses?: string[]
  /** How others reach this peer, and what to do if they cannot. */
  reachability?: Reach
  network?: 'private' | 'open'
  connections?: number
  /** Peers of those that are connected through a relay, and not directly. */
  connectionsRelayed?: number
  /** What this peer does for others as their relay. */
  relaying?: Relaying
  dhtServers?: number
  /** A sentence on this peer's place in its cluster. */
  membership?: string
  /** Of this cluster, this peer included; those that left are not counted. */
  members?: number
  membersAlive?: number
  /** Records that this peer keeps as an owner, writes it keeps for owners that were away, partitions it has to hand over. */
  records?: number
  hints?: number
  partitionsToHandOver?: number
  /** What this peer keeps for the cluster and drives; only for a member. */
  replicas?: ReplicasStatus & { bytesToHandOver: number }
  bytesSent?: number
  bytesReceived?: number
  workers?: WorkerStatus[]
  uptimeSeconds?: number
}

export interface PreviewOptions extends Abortable {
  preview: string
}

export interface InviteOptions extends Abortable {
  /** A line that lets a machine relay for the cluster, and read nothing of it. */
  hub?: boolean | undefined
}

export interface RotateOptions extends Abortable {
  /** PeerIds of members that do not get the new secret and are shut out at once. */
  exclude?: string[] | undefined
}

export interface Rotated {
  /** How often the secret has been replaced. */
  generation: number
  /** Members that have the new secret. */
  reached: PeerId[]
  /** Members that did not answer. */
  missed: PeerId[]
}

export interface Joined {
  /** Addresses that the invite line carried. */
  bootstrap: string[]
  /** True if a running peer has changed over to the cluster; false if the next start will. */
  connected: boolean
}

export interface NameReadOptions extends Abortable {
  /** Answers to wait for; without it a quorum of what can be reached. */
  r?: Level | undefined
  /** Count owners only. */
  strict?: boolean | undefined
}

export interface NameWriteOptions extends Abortable {
  /** Durable copies to wait for; without it aim at a quorum and succeed with one. */
  w?: Level | undefined
  /** Count owners only, a quorum of them at least. */
  strict?: boolean | undefined
  /** Write only if this is the present version; `none` if there must be no value. */
  ifVersion?: string | undefined
}

export interface PublishOptions extends Abortable {
  /** How long the record is valid after this peer was last there; default 48 h. */
  lifetimeMs?: number | undefined
}

export interface Published extends IpnsInfo {
  /** Servers of the DHT that took it. With none it is published as soon as one is reachable. */
  servers: number
}

/** Names: values that all members keep and agree on. All of these need a running peer. */
export interface PeerNames {
  get(name: string, options?: NameReadOptions): Promise<NameInfo>
  /** `merge`: in place of all values of a conflict. */
  set(name: string, value: string, options?: NameWriteOptions & { merge?: boolean | undefined }): Promise<NameInfo>
  remove(name: string, options?: NameWriteOptions): Promise<NameInfo>
  list(prefix?: string, options?: Abortable): AsyncIterable<NameInfo>
  /** Every change, until the signal aborts. */
  watch(prefix?: string, options?: Abortable): AsyncIterable<NameInfo>
  history(name: string, options?: Abortable): AsyncIterable<PastValue>
  /** IPNS: points the name that is this peer's key at a REF, for everybody in the network. */
  publish(ref: string, options?: PublishOptions): Promise<Published>
  /** IPNS: what a key's name points at; `k51…`, `12D3KooW…` or `/ipns/…`. */
  resolve(name: string, options?: Abortable): Promise<IpnsInfo>
}

export interface MemberInfo {
  peerId: PeerId
  /** True for this peer. */
  self: boolean
  state: MemberState
  liveness: Liveness
  zone: string
  /** Bytes. */
  capacity: number
  /** Bytes that it holds and has promised to hold; null if it does not say. */
  used: number | null
  /** Part of the ring for which this member comes first, 0 to 1. */
  share: number
  latencyMs?: number | undefined
  addresses: string[]
}

export interface Peer extends AsyncDisposable {
  readonly names: PeerNames
  /** A path of this machine, or a stream. Durable when it returns. */
  add(source: string | AsyncIterable<Uint8Array>, options?: AddOptions): Promise<Added>
  get(ref: string, options?: GetOptions): Promise<Got>
  cat(ref: string, options?: CatOptions): AsyncIterable<Uint8Array>
  ls(ref: string, options?: LongOptions & { recursive?: boolean | undefined }): AsyncIterable<Entry>
  find(ref: string, options?: LongOptions): AsyncIterable<Found>
  pinAdd(ref: string, options?: PinOptions): Promise<PinInfo>
  /** Nobody need keep it any more. */
  pinRemove(ref: string, options?: Abortable): Promise<PinInfo>
  /** All pins of the cluster, and what this peer keeps alone. Throws PINS_UNREACHED at the end if some may be missing. */
  pinList(options?: Abortable): AsyncIterable<PinInfo>
  gc(options?: LongOptions): Promise<Collected>
  verify(options?: LongOptions): Promise<Verified>
  /** CAR v1 bytes. */
  exportCar(ref: string, options?: LongOptions): AsyncIterable<Uint8Array>
  /** Takes CAR v1 or v2; pins its roots unless told not to. */
  importCar(car: AsyncIterable<Uint8Array>, options?: ImportOptions): Promise<Imported[]>
  peers(options?: Abortable): AsyncIterable<PeerConnection>
  connect(address: string, options?: Abortable): Promise<{ peerId: PeerId }>
  members(options?: Abortable): AsyncIterable<MemberInfo>
  /** Hands everything off and leaves the cluster; the peer stays up, alone, until it stops. */
  leave(options?: LongOptions): Promise<{ peerId: PeerId }>
  /** Drops a lost member for good. */
  forget(peer: string, options?: Abortable): Promise<{ peerId: PeerId }>
  /** One line that lets another machine join this cluster. */
  invite(options?: InviteOptions): Promise<{ line: string }>
  join(line: string, options?: Abortable): Promise<Joined>
  /** Replaces the cluster's secret and hands the new one to its members. */
  rotate(options?: RotateOptions): Promise<Rotated>
  status(ref?: string, options?: Abortable): Promise<Status | PinInfo>
  /** What a change would move: `leave` and `zone=NAME` of this peer, `forget=PEER`. */
  status(options: PreviewOptions): Promise<PreviewInfo>
  /** What is wrong with this peer, and how to mend it. */
  doctor(options?: Abortable): AsyncIterable<CheckResult>
  config(key?: string, value?: string): Promise<Partial<Config>>
}
