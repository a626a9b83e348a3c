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
      if (entry.kind === 'forgotten' || incarnation < entry.claim.incarnation) this.#carried.delete(key)
    }
    const sizeBytes = entry.bytes.byteLength + 3
    if (sizeBytes > limits.rumourBytesMax) return
    this.#add(entry.peer, { about: entry.peer, incarnation: undefined, rumour: entry.bytes, sizeBytes, sent: 0 })
  }

  /** What to tell now, least told first. `living` is the number of members. */
  pick(living: number): Rumour[] {
    const most = limits.rumourRounds * Math.ceil(Math.log2(living + 1))
    const picked: Rumour[] = []
    let room = limits.rumourBytesMax
    for (const [key, carried] of [...this.#carried].sort(([, a], [, b]) => a.sent - b.sent)) {
      if (carried.sizeBytes > room) continue
      room -= carried.sizeBytes
      picked.push(carried.rumour)
      if (++carried.sent >= most) this.#carried.delete(key)
    }
    return picked
  }

  #add(key: string, carried: Carried): void {
    this.#carried.delete(key)
    this.#carried.set(key, carried)
    if (this.#carried.size <= limits.rumoursMax) return
    const [oldest] = this.#carried.keys()
    this.#carried.delete(oldest!)
  }
}

export function rumourOf({ peer, incarnation, liveness, from }: Opinion): Rumour {
  return [peer, incarnation, liveness, from]
}
