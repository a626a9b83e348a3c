// Whom a member keeps a line to. A small cluster is a full mesh. In a larger one everybody would have hundreds of lines, so
// all members are put in a circle several times, each time in another order made of their ids alone, and each keeps lines to
// those beside it in every circle. So each has as many as any other, both ends want a line without asking each other, the
// whole hangs together (one circle would do), any two are a few steps apart, and whoever joins or leaves changes two places
// of each circle and nothing else. Pure. From Law and Siu, "Distributed construction of random expander networks" (2003).
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'

/**
 * Those beside `self` among the living, so that these hang together, and those beside it among all, so that somebody looks
 * whether the dead are back.
 */
export function nearOf(self: PeerId, others: readonly PeerId[], dead: ReadonlySet<PeerId>): Set<PeerId> {
  const near = neighboursOf(self, others)
  const living = dead.size > 0 ? others.filter((peer) => !dead.has(peer)) : []
  return near.union(neighboursOf(self, living))
}

/** Those of `others`, which are all but `self` and each there once, that it keeps lines to. */
export function neighboursOf(self: PeerId, others: readonly PeerId[]): Set<PeerId> {
  if (others.length <= limits.meshFullMax) return new Set(others)
  const seed = seedOf(self)
  const seeds = others.map(seedOf)
  const chosen = new Set<PeerId>()
  for (let circle = 0; circle < limits.meshCircles; circle++) {
    const start = placeOf(seed, circle)
    let [next, last] = [0, 0]
    let [nextSteps, lastSteps] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (let at = 0; at < others.length; at++) {
      const peer = others[at]!
      let steps = (placeOf(seeds[at]!, circle) - start) >>> 0
      // Who stands at one place stands in the order of the ids.
      if (steps === 0 && peer < self) steps = 2 ** 32
      if (steps < nextSteps || (steps === nextSteps && peer < others[next]!)) [next, nextSteps] = [at, steps]
      if (steps > lastSteps || (steps === lastSteps && peer > others[last]!)) [last, lastSteps] = [at, steps]
    }
    chosen.add(others[next]!).add(others[last]!)
  }
  return chosen
}

// FNV-1a: what matters is that all compute the same, and that it costs little.
function seedOf(peer: PeerId): number {
  let seed = 0x811c9dc5
  for (let at = 0; at < peer.length; at++) seed = Math.imul(seed ^ peer.charCodeAt(at), 0x01000193)
  return seed
}

/** Of 2^32 places of a circle. The mixing is that of MurmurHash3. */
function placeOf(seed: number, circle: number): number {
  let place = seed ^ Math.imul(circle + 1, 0x9e3779b1)
  place = Math.imul(place ^ (place >>> 16), 0x85ebca6b)
  place = Math.imul(place ^ (place >>> 13), 0xc2b2ae35)
  return (place ^ (place >>> 16)) >>> 0
}
