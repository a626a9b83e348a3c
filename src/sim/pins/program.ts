// What a simulated client of a peer that keeps content can ask of it, and what the checkers may look at. The workload
// speaks this alone, so that it can be tried on toys that break their promises.
import type { CID } from 'multiformats/cid'
import type { Block } from '../../core/block.ts'
import type { PeerId } from '../../core/peer.ts'

/** Content as its maker knows it. */
export interface Dag {
  /** What people call it in a history. */
  name: string
  root: CID
  /** Each once, the root last. */
  blocks: readonly Block[]
  sizeBytes: number
}

export interface PinWish {
  copies: number
  /** Wall time of the peer that is asked, plus this; never, if undefined. */
  endsAfterMs: number | undefined
  elsewhere: boolean
}

/** A place as a status shows it, by name. */
export interface ShownPlace {
  peer: string
  state: string
}

export interface ShownPin {
  copies: number
  held: number
  state: string
  why: string | undefined
  places: ShownPlace[]
}

/** What the records of a peer say of one pin, everything that it has of it taken together. */
export interface KnownPin {
  copies: number
  sizeBytes: number
  /** Names of those who wished it. */
  by: string[]
  /** Ids of all its wishes. */
  wishes: string[]
  /** Names of those who wished that it be kept elsewhere. */
  elsewhere: string[]
  /** Wall time when the last wish ends; undefined if never. */
  endsMs: number | undefined
  holders: string[]
}

export interface PinProgram extends AsyncDisposable {
  /** Puts the blocks into the store and pins them. */
  pin(dag: Dag, wish: PinWish): Promise<void>
  wait(root: CID, count: number): Promise<ShownPin>
  /** False if there was nothing to unpin. */
  unpin(root: CID): Promise<boolean>
  letGo(root: CID): Promise<void>
  /** Brings all of it here, as `get` does; how many bytes came. */
  read(root: CID): Promise<number>
  status(root: CID): Promise<ShownPin | undefined>
  /** Reads the whole store again, and has what rotted mended. */
  scrub(): Promise<void>
  /** Deletes what nobody needs. */
  collect(): Promise<void>
  /** Hands over what it holds and leaves the cluster. */
  leave(): Promise<void>
  /** Drops a member that will not come back. */
  forget(peer: PeerId): Promise<void>
  /** Lets replicas believe that so much time has gone by in which nothing happened. */
  skip(byMs: number): void
  inspect(): PinInspected
  /** Bytes of blocks that came since it started, without those that clients read. Can be asked of one that has died. */
  movedBytes(): number
}

/** What one peer says of itself, read without asking anybody. */
export interface PinInspected {
  epoch: string
  /** Members in its view. */
  members: number
  /** Pins of the records that this replica has, by root. */
  known: ReadonlyMap<string, KnownPin>
  /** Ids of the wishes of pins that this replica keeps for owners that it could not reach, by root. */
  onTheirWay: ReadonlyMap<string, readonly string[]>
  heldBytes: number
  reservedBytes: number
  capacity: number
}
