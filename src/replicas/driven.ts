// What a driver knows of one pin: the record, and what each member said when it was asked. None of it is durable: another
// owner that takes over asks again.
import { partitionOf } from '../core/keyspace.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'
import type { Progress } from './messages.ts'
import type { Pin } from './pin.ts'

/** What one member said last. */
export interface Said extends Progress {
  /** Monotonic time. */
  atMs: number
  bytesPerSecond: number
  /** Audits in a row that it did not pass. */
  failedAudits: number
}

export interface Driven {
  readonly key: string
  readonly partition: number
  pin: Pin
  /** The version of the record, and whether several values make it up. */
  context: string
  isSplit: boolean
  /** Monotonic time of the last time that all is as it should be was seen. */
  settledAtMs: number | undefined
  readonly said: Map<PeerId, Said>
  /** Who has been told that it need not hold it. */
  released: ReadonlySet<PeerId>
}

const nobody: ReadonlySet<PeerId> = new Set()

/** A pin of which nothing is known but the record. */
export function newDriven(key: string, record: Pick<Driven, 'pin' | 'context' | 'isSplit'>): Driven {
  return { key, partition: partitionOf(key), ...record, settledAtMs: undefined, said: new Map(), released: nobody }
}

export function hear(driven: Driven, peer: PeerId, progress: Progress, nowMs: number): void {
  const before = driven.said.get(peer)
  // Whoever says that it has more than there is has all there is.
  const doneBytes = Math.min(progress.doneBytes, driven.pin.sizeBytes)
  const bytes = before ? doneBytes - before.doneBytes : 0
  const seconds = before ? (nowMs - before.atMs) / 1_000 : 0
  driven.said.set(peer, {
    ...progress,
    doneBytes,
    atMs: nowMs,
    bytesPerSecond: progress.state === 'fetching' && bytes > 0 && seconds > 0 ? bytes / seconds : 0,
    failedAudits: before?.failedAudits ?? 0,
  })
}

/** True for a member that says it holds everything, and has not failed to prove it. */
export function isConfirmed({ said }: Driven, peer: PeerId): boolean {
  const last = said.get(peer)
  return last?.state === 'held' && last.failedAudits === 0
}

/** True for one that said so long ago that it cannot hold it that it may by now. */
export function isWorthAsking({ state, atMs }: Said, nowMs: number): boolean {
  return (state === 'full' || state === 'failing') && nowMs - atMs >= times.unfitMs
}
