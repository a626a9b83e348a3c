// Which block to ask of whom: the books of one fetch, without any input or output of their own. A want waits in line until a
// supplier has room for it; one that is out with a slow supplier may be asked of a second one when that has nothing else
// to do, so that the slowest never decides when a fetch ends. Each want is out with at most two suppliers at a time while
// blocks come, which bounds what is fetched twice, and with more only when nobody brings anything.
import type { CID } from 'multiformats/cid'
import type { PeerId } from '../core/peer.ts'

export interface Want {
  readonly cid: CID
  /** Suppliers that have been asked and have not answered. */
  readonly askedOf: Set<PeerId>
  /** Suppliers that do not have it. */
  readonly missingAt: Set<PeerId>
}

const askersMax = 2

export class Wants {
  readonly #wants = new Map<string, Want>()
  /** Names in line, first come first served; `#urgent` goes before. Names that are no longer in line are passed over. */
  #line: string[] = []
  #urgent: string[] = []
  readonly #waiting = new Set<string>()
  readonly #out = new Map<PeerId, Set<string>>()

  get size(): number {
    return this.#wants.size
  }

  has(cid: CID): boolean {
    return this.#wants.has(nameOf(cid))
  }

  get(cid: CID): Want | undefined {
    return this.#wants.get(nameOf(cid))
  }

  /** How many a supplier has been asked for and not answered. */
  outWith(peer: PeerId): number {
    return this.#out.get(peer)?.size ?? 0
  }

  /** False if it is wanted already; being urgent, it moves to the front all the same. */
  add(cid: CID, { urgent = false }: { urgent?: boolean } = {}): boolean {
    const name = nameOf(cid)
    const known = this.#wants.has(name)
    if (!known) {
      this.#wants.set(name, { cid, askedOf: new Set(), missingAt: new Set() })
      this.#waiting.add(name)
      if (!urgent) this.#line.push(name)
    }
    if (urgent && this.#waiting.has(name)) this.#urgent.push(name)
    return !known
  }

  /** Up to `most` wants for a supplier, which count as asked from now on. */
  assign(peer: PeerId, most: number): CID[] {
    const assigned: CID[] = []
    const passed: string[] = []
    for (const line of [this.#urgent, this.#line]) {
      let at = 0
      for (; at < line.length && assigned.length < most; at++) {
        const name = line[at]!
        if (!this.#waiting.has(name)) continue
        if (this.#wants.get(name)?.missingAt.has(peer)) passed.push(name)
        else assigned.push(this.#hand(name, peer))
      }
      line.splice(0, at)
    }
    // What this supplier lacks stays first in line for the others.
    if (passed.length > 0) this.#line = [...passed, ...this.#line]
    return assigned
  }

  /**
   * Wants that are out with others, the latest asked first, for a supplier that has nothing else to do: with one other
   * only, or with as many more as `moreAskers` says.
   */
  steal(peer: PeerId, most: number, moreAskers = 0): CID[] {
    const stolen: CID[] = []
    for (const [other, names] of this.#out) {
      if (other === peer) continue
      for (const name of [...names].reverse()) {
        if (stolen.length >= most) return stolen
        const want = this.#wants.get(name)
        if (!want || want.askedOf.size >= askersMax + moreAskers || want.askedOf.has(peer) || want.missingAt.has(peer))
          continue
        stolen.push(this.#hand(name, peer))
      }
    }
    return stolen
  }

  /** The block has come and is good: nobody need bring it any more. False if it was not wanted (any longer). */
  received(cid: CID): boolean {
    const name = nameOf(cid)
    const want = this.#wants.get(name)
    if (!want) return false
    this.#wants.delete(name)
    this.#waiting.delete(name)
    for (const peer of want.askedOf) this.#out.get(peer)?.delete(name)
    return true
  }

  /** This supplier does not have it. */
  missing(peer: PeerId, cid: CID): void {
    const name = nameOf(cid)
    const want = this.#wants.get(name)
    this.#out.get(peer)?.delete(name)
    if (!want) return
    want.missingAt.add(peer)
    want.askedOf.delete(peer)
    this.#backInLine(name, want)
  }

  /** The supplier has gone: what was out with it goes back to the front of the line. */
  drop(peer: PeerId): void {
    const names = this.#out.get(peer) ?? []
    this.#out.delete(peer)
    for (const name of names) {
      const want = this.#wants.get(name)
      if (!want) continue
      want.askedOf.delete(peer)
      this.#backInLine(name, want)
    }
  }

  /** Forgets who lacks what, so that everybody may be asked again. */
  askAgain(): void {
    for (const { missingAt } of this.#wants.values()) missingAt.clear()
  }

  /** A want that every one of these suppliers lacks; undefined if there is none. */
  lackedBy(peers: PeerId[]): CID | undefined {
    for (const { cid, missingAt } of this.#wants.values()) if (peers.every((peer) => missingAt.has(peer))) return cid
    return undefined
  }

  #hand(name: string, peer: PeerId): CID {
    const want = this.#wants.get(name)!
    this.#waiting.delete(name)
    want.askedOf.add(peer)
    const out = this.#out.get(peer) ?? new Set()
    out.add(name)
    this.#out.set(peer, out)
    return want.cid
  }

  #backInLine(name: string, want: Want): void {
    if (want.askedOf.size > 0 || this.#waiting.has(name)) return
    this.#waiting.add(name)
    this.#urgent.push(name)
  }
}

/** The same for all CIDs of one block. */
export function nameOf(cid: CID): string {
  const { bytes } = cid.multihash
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
