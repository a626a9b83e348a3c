// The rings that matter now: the present one, and those before it whose hand-off has not ended. Until it has, calls need a
// quorum of the owners by each of them. Earlier rings survive a restart; when one may be forgotten is decided by who has
// said that it holds nothing any more that others own.
import { encode } from '@ipld/dag-cbor'
import { limits, partitionCount } from '../core/limits.ts'
import type { RingMember, View } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership, Table } from '../core/ports.ts'
import { ringOf, viewOf } from '../placement/ring.ts'
import { countField, decoded, listField, textField } from './fields.ts'
import type { Laws } from './laws.ts'
import { majorityOf } from './quorum.ts'
import { ringsRow } from './rows.ts'

export interface RingsDeps {
  membership: Membership
  table: Table
  laws: Laws
}

export class Rings {
  readonly #deps: RingsDeps
  readonly #copies: number
  #present: View
  #earlier: View[]
  #shared: { epoch: string; byPeer: Map<PeerId, number[]> } = { epoch: '', byPeer: new Map() }

  /** Of the present ring, those that were asked for. */
  #owners: { epoch: string; lists: Map<number, readonly PeerId[]> } = { epoch: '', lists: new Map() }

  private constructor(deps: RingsDeps, copies: number, earlier: View[]) {
    this.#deps = deps
    this.#copies = copies
    this.#present = deps.membership.view()
    this.#earlier = earlier
  }

  static async open(deps: RingsDeps, { copies }: { copies: number }): Promise<Rings> {
    const row = deps.table.get(ringsRow)
    const view = deps.membership.view()
    // Whoever joins knows no ring before this one: it takes the one without itself, whose owners have what it is to get.
    const others = view.members.filter(({ peer }) => peer !== deps.membership.self)
    const known = row ? decodeViews(row) : others.length > 0 ? [viewOf(others)] : []
    const rings = new Rings(deps, copies, known)
    rings.#earlier = known.filter(({ epoch }) => epoch !== view.epoch)
    await rings.#save()
    return rings
  }

  get epoch(): string {
    return this.#present.epoch
  }

  get earlier(): readonly View[] {
    return this.#earlier
  }

  /** Takes in the present view; true if it has changed. Durable when it resolves. */
  async update(): Promise<boolean> {
    const view = this.#deps.membership.view()
    if (view.epoch === this.#present.epoch) return false
    const earlier = [...this.#earlier, this.#present].filter(({ epoch }) => epoch !== view.epoch)
    this.#earlier = earlier.slice(-limits.recordRingsMax)
    this.#present = view
    await this.#save()
    return true
  }

  /** The owners of a partition by the present ring, the primary first. */
  owners(partition: number): readonly PeerId[] {
    if (this.#owners.epoch !== this.epoch) this.#owners = { epoch: this.epoch, lists: new Map() }
    const known = this.#owners.lists.get(partition)
    if (known) return known
    const owners = ringOf(this.#present).owners(partition, this.#copies)
    this.#owners.lists.set(partition, owners)
    return owners
  }

  /** False while this peer leaves, and after: what it took for others now would go with it. */
  get stays(): boolean {
    const { membership } = this.#deps
    return membership.member(membership.self)?.state === 'joined'
  }

  isOwner(partition: number, peer: PeerId = this.#deps.membership.self): boolean {
    return this.owners(partition).includes(peer)
  }

  /** Whose quorums a call needs, the present owners first. */
  groups(partition: number): readonly (readonly PeerId[])[] {
    const present = this.owners(partition)
    if (this.#earlier.length === 0) return [present]
    const earlier = this.#earlier.map((view) => this.#known(ringOf(view).owners(partition, this.#copies)))
    return this.#deps.laws.groups(
      present,
      earlier.filter((owners) => owners.length > 0),
    )
  }

  /** Members that come after the owners on the ring, and may stand in for them. */
  standIns(partition: number): readonly PeerId[] {
    const owners = this.owners(partition)
    const more = ringOf(this.#present).owners(partition, this.#copies + limits.recordStandInsMax)
    return more.filter((peer) => !owners.includes(peer))
  }

  /** Partitions that this peer and another both own, ascending. */
  sharedWith(peer: PeerId): readonly number[] {
    const { self } = this.#deps.membership
    if (this.#shared.epoch !== this.epoch) this.#shared = { epoch: this.epoch, byPeer: new Map() }
    const known = this.#shared.byPeer.get(peer)
    if (known) return known
    const shared: number[] = []
    this.#shared.byPeer.set(peer, shared)
    const ring = ringOf(this.#present)
    for (let partition = 0; partition < partitionCount; partition++) {
      const owners = ring.owners(partition, this.#copies)
      if (owners.includes(peer) && owners.includes(self)) shared.push(partition)
    }
    return shared
  }

  /** Those of them in a range. */
  sharedWithin(peer: PeerId, [from, to]: readonly [from: number, to: number]): readonly number[] {
    const shared = this.sharedWith(peer)
    // The whole list itself, by which its hash is remembered.
    if (from === 0 && to === partitionCount) return shared
    return shared.slice(firstAtLeast(shared, from), firstAtLeast(shared, to))
  }

  /** Forgets the earlier rings from which everything has reached the owners by the ring of this epoch, if it is still present. */
  async settle(done: ReadonlySet<PeerId>, epoch: string): Promise<void> {
    if (epoch !== this.#present.epoch) return
    const open = this.#earlier.filter((view) => !this.#isSettled(view, done))
    if (open.length === this.#earlier.length) return
    this.#earlier = open
    await this.#save()
  }

  // A quorum of the owners by a ring has what any quorum of them ever acknowledged: once these have handed over, all has moved.
  #isSettled(view: View, done: ReadonlySet<PeerId>): boolean {
    const [before, now] = [ringOf(view), ringOf(this.#present)]
    for (let partition = 0; partition < partitionCount; partition++) {
      const owners = this.#known(before.owners(partition, this.#copies))
      const present = now.owners(partition, this.#copies)
      if (owners.every((owner) => present.includes(owner)) && owners.length === present.length) continue
      if (owners.filter((owner) => done.has(owner)).length < Math.min(majorityOf(owners.length), owners.length))
        return false
    }
    return true
  }

  /** Whoever was forgotten or has left answers no more. */
  #known(owners: readonly PeerId[]): PeerId[] {
    return owners.filter((peer) => {
      const state = this.#deps.membership.member(peer)?.state
      return state !== undefined && state !== 'left'
    })
  }

  async #save(): Promise<void> {
    const views = [...this.#earlier, this.#present].map((view) =>
      view.members.map(({ peer, zone, capacity }) => [peer, zone, capacity]),
    )
    await this.#deps.table.write([{ put: ringsRow, value: encode(views) }])
  }
}

function decodeViews(bytes: Uint8Array): View[] {
  return listField(decoded(bytes, 'list of rings'), limits.recordRingsMax + 1, 'list of rings').map((members) =>
    viewOf(
      listField(members, limits.membersMax, 'ring').map((member): RingMember => {
        const [peer, zone, capacity] = listField(member, 3, 'member of a ring')
        return {
          peer: textField(peer, 128, 'PeerId') as PeerId,
          zone: textField(zone, 256, 'zone'),
          capacity: countField(capacity, 'capacity'),
        }
      }),
    ),
  )
}

function firstAtLeast(ascending: readonly number[], wanted: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ascending[middle]! < wanted) low = middle + 1
    else high = middle
  }
  return low
}
