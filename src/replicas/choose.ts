// Which members shall hold a pin: pure. The ring gives all members in the order in which they come for its partition; the
// first that can are taken, spread over zones as far as there are zones that can. Everybody who sees the same ring and the
// same members chooses alike, so that drivers which do not see each other add alike, and trim alike.
import type { PeerId } from '../core/peer.ts'

export interface Candidate {
  peer: PeerId
  zone: string
}

/**
 * The first `copies` of the walk, each from a zone that has fewest so far among the zones that still have somebody; fewer if
 * there are fewer. The walk holds each peer once.
 */
export function chooseHolders(walk: readonly Candidate[], copies: number): PeerId[] {
  const left = [...walk]
  const taken = new Map<string, number>()
  const chosen: PeerId[] = []
  while (chosen.length < copies && left.length > 0) {
    let best = 0
    for (const [at, { zone }] of left.entries())
      if ((taken.get(zone) ?? 0) < (taken.get(left[best]!.zone) ?? 0)) best = at
    const [{ peer, zone }] = left.splice(best, 1) as [Candidate]
    taken.set(zone, (taken.get(zone) ?? 0) + 1)
    chosen.push(peer)
  }
  return chosen
}

/** True if the zones of the chosen are these, as evenly as can be: no longer walk would bring a better choice. */
export function isEven(chosen: readonly string[], zones: readonly string[]): boolean {
  const taken = new Map(zones.map((zone) => [zone, 0]))
  for (const zone of chosen) taken.set(zone, (taken.get(zone) ?? 0) + 1)
  return Math.max(...taken.values()) <= Math.min(...taken.values()) + 1
}
