// The walk around the ring that finds the owners of every partition at once. Owners of a partition are found clockwise from
// its start: round after round over the zones, in each round the next new member of every zone that has one left, in the
// order in which they stand. So zones are filled as evenly as they can be, fewer owners are always the beginning of more,
// and a member that joins displaces others and never moves anything between them. Nothing here knows PeerIds or epochs.
//
// Walking backwards makes this cheap: a token that is passed brings its member, and its zone, to the front of who comes next.
// One pass over the tokens gives all partitions, however unlike capacities and zones are.
import { partitionCount } from '../core/limits.ts'

/** Members by index, with the zone (by index) and the tokens of each. */
export interface Standing {
  readonly zones: Uint16Array
  readonly zoneCount: number
  /** The members' indices in the order of their tokens on the ring. */
  readonly ring: Uint16Array
  /** Where in `ring` each partition starts, and at the end the length of `ring`. */
  readonly starts: Uint32Array
}

const partitionBits = BigInt(Math.log2(partitionCount))

/** Puts the members' tokens in order around the ring. Tokens at one place stand in the order of the members. */
export function stand(zones: Uint16Array, tokens: readonly BigUint64Array[]): Standing {
  const partition = (token: bigint) => Number(token >> (64n - partitionBits))
  const starts = new Uint32Array(partitionCount + 1)
  for (const list of tokens) for (const token of list) starts[partition(token) + 1]!++
  for (let index = 1; index <= partitionCount; index++) starts[index]! += starts[index - 1]!

  // Within a partition all tokens have the same leading bits: a key drops them (by overflow) and carries the member instead.
  const keys = new BigUint64Array(starts[partitionCount]!)
  const ends = starts.slice()
  for (const [member, list] of tokens.entries())
    for (const token of list) keys[ends[partition(token)]!++] = (token << partitionBits) | BigInt(member)
  for (let index = 0; index < partitionCount; index++) keys.subarray(starts[index], starts[index + 1]).sort()

  const ring = Uint16Array.from(keys, (key) => Number(BigInt.asUintN(Number(partitionBits), key)))
  return { zones, zoneCount: new Set(zones).size, ring, starts }
}

/** The first `width` owners (indices of members) of every partition, row by row. There are at least `width` members. */
export function ownerRows({ zones, zoneCount, ring, starts }: Standing, width: number): Uint16Array {
  const rows = new Uint16Array(partitionCount * width)
  const zoneOrder = new Order(zoneCount + 1)
  const memberOrder = new Order(zones.length + zoneCount)
  const headOf = (zone: number) => zones.length + zone
  // Steps since the walk began when a member was met last: the later, the nearer it is now.
  const met = new Uint32Array(zones.length)
  let steps = 0

  const pass = (partition: number) => {
    for (let at = starts[partition + 1]! - 1; at >= starts[partition]!; at--) {
      const member = ring[at]!
      const zone = zones[member]!
      zoneOrder.toFront(zone, zoneCount)
      memberOrder.toFront(member, headOf(zone))
      met[member] = ++steps
    }
  }

  const fillRow = (partition: number) => {
    let round: number[] = []
    for (
      let zone = zoneOrder.next[zoneCount]!;
      zone !== zoneCount && round.length < width;
      zone = zoneOrder.next[zone]!
    )
      round.push(memberOrder.next[headOf(zone)]!)
    let at = partition * width
    for (const end = at + width; at < end; ) {
      for (const member of round.slice(0, end - at)) rows[at++] = member
      round = round.map((member) => memberOrder.next[member]!).filter((member) => member < zones.length)
      round.sort((a, b) => met[b]! - met[a]!)
    }
  }

  // The ring is round: the first time around tells who comes after its end.
  for (let partition = partitionCount - 1; partition >= 0; partition--) pass(partition)
  for (let partition = partitionCount - 1; partition >= 0; partition--) {
    pass(partition)
    fillRow(partition)
  }
  return rows
}

// Linked lists of small numbers: each is alone until it is brought to the front of the list that begins with `head`.
class Order {
  readonly next: Uint16Array
  readonly #previous: Uint16Array

  constructor(size: number) {
    this.next = Uint16Array.from({ length: size }, (_, item) => item)
    this.#previous = this.next.slice()
  }

  toFront(item: number, head: number): void {
    const { next } = this
    const previous = this.#previous
    next[previous[item]!] = next[item]!
    previous[next[item]!] = previous[item]!
    next[item] = next[head]!
    previous[item] = head
    previous[next[head]!] = item
    next[head] = item
  }
}
