// What is kept, and by whom. On a member a pin is a wish of the whole cluster, which replicas fulfil; on a hub, in an open
// network and without a running peer it is a root of the own store. This file turns the wishes of a caller into either, and
// tells both in the same shape. It copies nothing itself.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Progress } from '../core/progress.ts'
import { times } from '../core/times.ts'
import { formatSize } from '../core/units.ts'
import { measureDag } from '../files/dag.ts'
import { ReplicasError } from '../replicas/errors.ts'
import type { PinStatus, Replicas, Roots } from '../replicas/words.ts'
import type { Store } from '../store/open.ts'
import type { Added, KeepOptions, LongOptions, PinInfo } from './api.ts'
import type { Organs } from './assemble.ts'
import { NodeError } from './errors.ts'
import { requireMember } from './membership.ts'
import { rootsOf } from './roots.ts'

export interface Keeper {
  store: Pick<Store, 'get' | 'has' | 'sizeOf' | 'pins'>
  organs: Pick<Organs, 'members' | 'replicas' | 'roots'> | undefined
  clock: Clock
  /** Copies of a pin that says nothing else. */
  copies: number
}

export interface KeepWish extends KeepOptions {
  offload?: boolean | undefined
}

/** True if it says more than that something shall be kept. */
export function wishes({ copies, wait, expiresMs, offload = false }: KeepWish): boolean {
  return copies !== undefined || wait !== undefined || expiresMs !== undefined || offload
}

/** Throws COPIES_INVALID, REQUEST_INVALID, NO_PEER and NO_MEMBER before any work is done. */
export function requireWish(keeper: Keeper, wish: KeepWish): void {
  if (!wishes(wish)) return
  const { copies, wait, expiresMs } = wish
  requireCount('copies', copies)
  requireCount('wait', wait)
  const wanted = copies ?? keeper.copies
  if (wait !== undefined && wait > wanted)
    throw new ReplicasError(
      'COPIES_INVALID',
      `waiting for ${wait} of ${wanted} copies would never end; ask for --copies ${wait} too`,
    )
  if (expiresMs !== undefined && !(expiresMs > keeper.clock.nowMs() && expiresMs <= lastDateMs))
    throw new NodeError('REQUEST_INVALID', 'a pin must end after it begins, and before the year 275760')
  if (!keeper.organs) throw new NodeError('NO_PEER', "copies need a running peer: start one with 'potluck start'")
  requireMember(keeper.organs)
}

/** The last that a Date can say. */
const lastDateMs = 8.64e15

function requireCount(name: string, count: number | undefined): void {
  if (count === undefined || (Number.isInteger(count) && count >= 1 && count <= limits.copiesMax)) return
  throw new ReplicasError('COPIES_INVALID', `${name} must be a number from 1 to ${limits.copiesMax}, not ${count}`)
}

/** Keeps a DAG, all of whose blocks are here and in a lease. Durable here, and asked of the others, when it resolves. */
export async function keep(keeper: Keeper, cid: CID, wish: KeepWish, { signal }: Abortable): Promise<PinInfo> {
  const replicas = replicasOf(keeper)
  if (!replicas) {
    await rootsIn(keeper).add(cid)
    return localInfo(keeper, cid)
  }
  const { dagBytes: sizeBytes } = await measureDag(keeper.store, cid, { signal })
  const { copies, expiresMs, offload: elsewhere } = wish
  const status = await replicas.pin(cid, { copies, sizeBytes, expiresMs, elsewhere, signal })
  return { ...infoOf(status), ...noteOf(keeper, wish, sizeBytes) }
}

/**
 * Waits for as many holders as the wish says, and with `offload` for all that are wanted; then no copy need stay here. Throws
 * COPIES_UNAVAILABLE.
 */
export async function settle(
  keeper: Keeper,
  cid: CID,
  wish: KeepWish,
  { signal, onProgress: tell }: LongOptions,
): Promise<PinInfo | undefined> {
  const replicas = replicasOf(keeper)
  // Whoever gives up waiting has seen by then what is pinned already.
  const onProgress = tell && ((progress: Progress) => tell({ ...progress, note: noted(cid, progress) }))
  const count = Math.max(wish.wait ?? 0, wish.offload ? (wish.copies ?? usualCopies(keeper)) : 0)
  if (!replicas || count === 0) return undefined
  const status = wish.offload
    ? await handOver(keeper, replicas, { cid, count, signal, onProgress })
    : await replicas.wait(cid, count, { signal, onProgress })
  return { ...infoOf(status), ...noteOf(keeper, wish, status.sizeBytes) }
}

// A copy that this peer holds for the cluster, from an earlier pin, goes once another holder is found; its own, once all others
// have proven that they have theirs.
async function handOver(
  keeper: Keeper,
  replicas: Replicas,
  { cid, count, signal, onProgress }: LongOptions & { cid: CID; count: number },
): Promise<PinStatus> {
  try {
    for (;;) {
      const possible = holdersPossible(keeper, keeper.organs?.members.self)
      if (possible < count)
        throw new ReplicasError('COPIES_UNAVAILABLE', `${count} others shall hold it, and there are ${possible}`, {
          retryable: true,
        })
      const status = await replicas.wait(cid, count, { signal, onProgress })
      if (heldByOthers(keeper, status) >= count && (await replicas.letGo(cid, { signal }))) return status
      await sleep(keeper.clock, times.pinWaitMs, signal)
    }
  } catch (error) {
    if (codeOf(error) !== 'COPIES_UNAVAILABLE') throw error
    const why = `${cid} stays here: ${sentenceOf(error)}`
    throw new ReplicasError('COPIES_UNAVAILABLE', why, { retryable: true, cause: error })
  }
}

function heldByOthers({ organs }: Keeper, { places }: PinStatus): number {
  return places.filter(({ peer, state }) => state === 'held' && peer !== organs?.members.self).length
}

/** Throws NOT_PINNED. */
export async function unkeep(keeper: Keeper, cid: CID, options: Abortable): Promise<PinInfo> {
  const wished = (await replicasOf(keeper)?.unpin(cid, options)) ?? false
  // What the cluster has kept, replicas let go of, on this peer too.
  if (!wished && !(await rootsIn(keeper).remove(cid))) throw notPinned(cid)
  return { ...nowhere, cid: cid.toString(), copies: 0, held: 0, holders: [], state: 'held' }
}

/** Throws NOT_PINNED. */
export async function pinStatus(keeper: Keeper, cid: CID, options: Abortable): Promise<PinInfo> {
  const status = await replicasOf(keeper)?.status(cid, options)
  if (status) return infoOf(status)
  if (!rootsIn(keeper).has(cid)) throw notPinned(cid)
  return localInfo(keeper, cid)
}

/** What an answer to `add` says of the pin. */
export function keptOf(info: PinInfo | undefined): Pick<Added, 'copies' | 'held' | 'note'> {
  // What this peer keeps alone is no copy of anybody's.
  if (!info || info.size === null) return {}
  return { copies: info.copies, held: info.held, ...(info.note !== undefined && { note: info.note }) }
}

/** All pins of the cluster, then what this peer keeps and the cluster does not. */
export async function* listPins(keeper: Keeper, options: Abortable): AsyncGenerator<PinInfo> {
  const alone = new Map(Array.from(rootsIn(keeper).list(), (cid) => [cid.toV1().toString(), cid]))
  for await (const status of replicasOf(keeper)?.list(options) ?? []) {
    alone.delete(status.cid.toV1().toString())
    yield infoOf(status)
  }
  for (const cid of alone.values()) yield localInfo(keeper, cid)
}

/** The replicas of a member; undefined on a peer that has only itself. */
function replicasOf({ organs }: Keeper): Replicas | undefined {
  return organs?.members.standing === 'member' ? organs.replicas : undefined
}

function rootsIn({ organs, store }: Keeper): Roots {
  return organs?.roots ?? rootsOf(store.pins)
}

function localInfo(keeper: Keeper, cid: CID): PinInfo {
  const here = keeper.store.has(cid)
  const holders = here && keeper.organs ? [keeper.organs.members.self] : []
  const alone = replicasOf(keeper) && 'kept on this peer alone: the others have not been told of it yet'
  return {
    ...nowhere,
    cid: cid.toString(),
    copies: 1,
    held: here ? 1 : 0,
    holders,
    state: here ? 'held' : 'incomplete',
    ...(alone !== undefined && { why: alone }),
  }
}

const nowhere = { size: null, places: [], bytesToGo: 0, bytesPerSecond: 0 }

function infoOf(status: PinStatus): PinInfo {
  const { cid, copies, held, state, why, sizeBytes, bytesToGo, bytesPerSecond, expiresMs } = status
  return {
    cid: cid.toString(),
    copies,
    held,
    holders: status.places.filter((place) => place.state === 'held').map(({ peer }) => peer),
    state,
    ...(why !== undefined && { why }),
    size: sizeBytes,
    places: status.places.map(({ peer, doneBytes, why, ...place }) => ({
      peerId: peer,
      ...place,
      bytes: doneBytes,
      ...(why !== undefined && { why }),
    })),
    bytesToGo,
    bytesPerSecond,
    // Another member may have written any number.
    ...(expiresMs !== undefined && { expires: new Date(Math.min(expiresMs, lastDateMs)).toISOString() }),
  }
}

/** Members that may hold something, without those in `except`. */
function holdersPossible({ organs }: Keeper, except: PeerId | undefined): number {
  const members = organs?.members.members() ?? []
  return members.filter(({ peer, state, capacity }) => state === 'joined' && capacity > 0 && peer !== except).length
}

/** The most that any member gives. */
function largestRoom({ organs }: Keeper): number {
  const members = organs?.members.members().filter(({ state }) => state === 'joined') ?? []
  return members.reduce((most, { capacity }) => Math.max(most, capacity), 0)
}

/** What others shall hold of a pin that says nothing else before this peer lets go of it. */
function usualCopies(keeper: Keeper): number {
  return Math.max(1, Math.min(keeper.copies, holdersPossible(keeper, keeper.organs?.members.self)))
}

function noted(cid: CID, { note }: Progress): string {
  return note === undefined ? `${cid}` : `${cid}: ${note}`
}

const ordinals = ['first', 'second', 'third']

// Only whoever asked for a number hears that there are too few members; the usual one means as many as there are.
function noteOf(keeper: Keeper, { copies, offload }: KeepWish, sizeBytes: number): { note?: string } {
  const self = keeper.organs?.members.self
  const most = largestRoom(keeper)
  if (sizeBytes > most)
    return {
      note: `only this machine keeps it: it has ${formatSize(sizeBytes)}, and no member gives more than ${formatSize(most)}; add it in parts, or raise 'capacity' on some machines`,
    }
  const possible = holdersPossible(keeper, offload ? self : undefined)
  if (copies === undefined || copies <= possible) return {}
  const there = `${possible === 1 ? 'there is 1' : `there are ${possible}`}${offload ? ' other' : ''}`
  const members = possible === 1 ? 'member' : 'members'
  const next = ordinals[possible] ?? `${possible + 1}th`
  return { note: `${there} ${members} that can hold it; it gets a ${next} copy when another joins` }
}

function notPinned(cid: CID): NodeError {
  return new NodeError('NOT_PINNED', `${cid} is not pinned; 'potluck pin ls' shows what is`)
}
