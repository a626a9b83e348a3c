// What a simulated client can ask of the program on its machine. The workload speaks this alone, so that the checkers can be
// tried on toys that break every promise in turn, and the real records are one more program.
import type { PeerId } from '../core/peer.ts'

export interface Shown {
  /** The values of all siblings. */
  values: string[]
  /** What a later write hands back to say that it has seen these. */
  context: unknown
}

export interface ClientWrite {
  /** Undefined removes the key. */
  value: string | undefined
  /** From a get: replaces what that saw. Undefined: replaces nothing. `unread`: whatever the cluster finds. */
  context: unknown | 'unread'
  /** Owners only, a quorum of them. */
  strict: boolean
  /** Only if the key still is as `context` saw it. */
  isConditional: boolean
}

export interface Written {
  /** Names of the peers that have it durably. */
  acknowledgedBy: string[]
  /** The values of all siblings, this one included. */
  left: string[]
}

export interface Program extends AsyncDisposable {
  get(key: string, options: { strict: boolean }): Promise<Shown>
  /** Throws what `isRefusal` tells apart. */
  write(key: string, write: ClientWrite): Promise<Written>
  list(): Promise<string[]>
  /** Calls back with the values that a key has now. */
  watch(listen: (key: string, values: string[]) => void): () => void
  /** True for an error after which the write has certainly not happened, and never will. */
  isRefusal(error: unknown): boolean
  /** Hands its data off and leaves the cluster. */
  leave(): Promise<void>
  /** Drops a member that will not come back. */
  forget(peer: PeerId): Promise<void>
  inspect(): Inspected
}

/** What the checkers are told of one peer at the end; read from its tables, not over the network. */
export interface Inspected {
  /** What it holds of a key; undefined if it holds nothing. */
  held(key: string): { values: string[]; removed: boolean } | undefined
  /** True if this peer owns the key by its own view. */
  owns(key: string): boolean
  /** Writes that it keeps for others. */
  hints: number
  epoch: string
}
