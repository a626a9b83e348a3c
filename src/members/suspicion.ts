// The doubt about one member: who shares it and how long it lasts. It begins long and shrinks with every independent
// confirmation, since one accuser may be ill himself and several hardly are. Pure. From Lifeguard (Dadgar, Phillips, Currey
// 2018, LHA-Suspicion).
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { times } from '../core/times.ts'

export interface Suspicion {
  startMs: number
  /** Who suspects, the first accuser included. */
  accusers: ReadonlySet<PeerId>
  /** Confirmations after which it can become no shorter. */
  wanted: number
}

/** Confirmations that can be had among so many living members: neither the suspect nor the first accuser give any. */
export function confirmationsWanted(members: number): number {
  return Math.max(0, Math.min(limits.confirmationsMax, members - 2))
}

/** How long a suspicion lasts, with so many members alive: news take longer to reach more of them. */
export function suspicionMs({ accusers, wanted }: Suspicion, members: number): number {
  const stretch = Math.max(1, Math.log10(members))
  const [least, most] = [times.suspicionMinMs * stretch, times.suspicionMostMs * stretch]
  if (wanted === 0) return least
  const shared = Math.log(accusers.size) / Math.log(wanted + 1)
  return Math.max(least, most - (most - least) * shared)
}
