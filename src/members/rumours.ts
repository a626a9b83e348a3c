// News that travel on the back of probes: opinions about who is alive, and entries of the book. Each is carried a number of
// times that grows with the logarithm of the members, which reaches all of them with high probability (SWIM), and a probe
// carries a limited number of bytes: so what a member sends does not depend on how many there are.
//
// It promises nothing: what is lost here is found when members compare their books.
import { encode } from '@ipld/dag-cbor'
import { limits } from '../core/limits.ts'
import type { Liveness } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Entry } from './claim.ts'

/** What somebody says about somebody's incarnation; that it is alive only its own claim says. */
export interface Opinion {
  peer: PeerId
  incarnation: number
  liveness: Exclude<Liveness, 'alive'>
  from: PeerId
}

/** As it travels: an opinion as a list, an entry as its bytes. */
export type Rumour = Uint8Array | [PeerId, number, Opinion['liveness'], PeerId]

interface Carried {
  about: PeerId
  /** Of an opinion; undefined for an entry. */
  incarnation: number | undefined
  rumour: Rumour
  sizeBytes: number
  sent: number
}

export class Rumours {
  readonly #carried = new Map<string, Carried>()
  /** The same, by how often they were told. */
  readonly #told: Map<string, Carried>[] = []

  get size(): number {
    return this.#carried.size
  }

  addOpinion(opinion: Opinion): void {
    const { peer, incarnation, liveness, from } = opinion
    const rumour = rumourOf(opinion)
    // One death needs one witness; doubts count by the number of accusers.
    const key = liveness === 'dead' ? `${peer}/dead` : `${peer}/${from}`
    this.#add(key, { about: peer, incarnation, rumour, sizeBytes: encode(rumour).byteLength, sent: 0 })
  }

  addEntry(entry: Entry): void {
    for (const [key, { about, incarnation }] of this.#carried) {
      if (about !== entry.peer || incarnation === undefined) continue
      if (entry.kind === 'forgotten' || incarnation < entry.claim.incarnation) this.#delete(key)
    }
    const sizeBytes = entry.bytes.byteLength + 3
    if (sizeBytes > limits.rumourBytesMax) return
    this.#add(entry.peer, { about: entry.peer, incarnation: undefined, rumour: entry.bytes, sizeBytes, sent: 0 })
  }

  /** What to tell now, least told first. `living` is the number of members. */
  pick(living: number): Rumour[] {
    const most = limits.rumourRounds * Math.ceil(Math.log2(living + 1))
    const picked = this.#leastTold()
    for (const [key, carried] of picked) {
      this.#delete(key)
      if (carried.sent + 1 < most) this.#add(key, { ...carried, sent: carried.sent + 1 })
    }
    return picked.map(([, { rumour }]) => rumour)
  }

  #leastTold(): [string, Carried][] {
    const picked: [string, Carried][] = []
    let room = limits.rumourBytesMax
    for (const level of this.#told) {
      for (const [key, carried] of level) {
        // What has no room now goes first the next time.
        if (carried.sizeBytes > room) return picked
        room -= carried.sizeBytes
        picked.push([key, carried])
      }
    }
    return picked
  }

  #add(key: string, carried: Carried): void {
    this.#delete(key)
    this.#carried.set(key, carried)
    this.#told[carried.sent] ??= new Map()
    this.#told[carried.sent]!.set(key, carried)
    if (this.#carried.size <= limits.rumoursMax) return
    const [mostTold] = this.#told.findLast(({ size }) => size > 0)!.keys()
    this.#delete(mostTold!)
  }

  #delete(key: string): void {
    const carried = this.#carried.get(key)
    if (!carried) return
    this.#carried.delete(key)
    this.#told[carried.sent]!.delete(key)
  }
}

export function rumourOf({ peer, incarnation, liveness, from }: Opinion): Rumour {
  return [peer, incarnation, liveness, from]
}
