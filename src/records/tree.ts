// Hashes over what this peer holds as an owner, one for each partition, so that two peers find out whether they hold the same
// without listing it. A partition's hash is the exclusive or of its records' hashes: it follows every change without reading
// the rest, and does not depend on order. In memory; counted anew from the table when that is opened.
import { sha256 } from '../core/block.ts'

export const hashBytes = 16

export type PartitionHash = Uint8Array

const nothing: PartitionHash = new Uint8Array(hashBytes)

export class Tree {
  readonly #partitions = new Map<number, Uint8Array>()
  readonly #counts = new Map<number, number>()
  /** Of lists that were asked for before, while nothing has changed. */
  #known = new WeakMap<readonly number[], Uint8Array>()

  /** Takes note that a record changed from some bytes to others; undefined where there is none. */
  replace(partition: number, key: string, from: Uint8Array | undefined, to: Uint8Array | undefined): void {
    this.#known = new WeakMap()
    const hash = this.#partitions.get(partition) ?? new Uint8Array(hashBytes)
    for (const bytes of [from, to]) if (bytes) mix(hash, hashOfRecord(key, bytes))
    const count = (this.#counts.get(partition) ?? 0) + (to ? 1 : 0) - (from ? 1 : 0)
    if (count === 0) {
      this.#partitions.delete(partition)
      this.#counts.delete(partition)
    } else {
      this.#partitions.set(partition, hash)
      this.#counts.set(partition, count)
    }
  }

  /** The hash of a partition: all zeros if it holds nothing. */
  hashOf(partition: number): PartitionHash {
    return this.#partitions.get(partition)?.slice() ?? nothing
  }

  /** Partitions that hold anything, ascending. */
  held(): number[] {
    return [...this.#partitions.keys()].sort((a, b) => a - b)
  }

  holds(partition: number): boolean {
    return this.#partitions.has(partition)
  }

  get records(): number {
    let sum = 0
    for (const count of this.#counts.values()) sum += count
    return sum
  }

  /** One hash over many partitions, in the order given. */
  hashOver(partitions: readonly number[]): Uint8Array {
    const known = this.#known.get(partitions)
    if (known) return known
    const joined = new Uint8Array(partitions.length * hashBytes)
    partitions.forEach((partition, index) => {
      const hash = this.#partitions.get(partition)
      if (hash) joined.set(hash, index * hashBytes)
    })
    const hash = sha256(joined).slice(0, hashBytes)
    this.#known.set(partitions, hash)
    return hash
  }
}

/** The hash of one record as a replica stores it. */
export function hashOfRecord(key: string, bytes: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([Buffer.from(key), zero, bytes])).slice(0, hashBytes)
}

const zero = Uint8Array.of(0)

function mix(hash: Uint8Array, other: Uint8Array): void {
  for (let index = 0; index < hashBytes; index++) hash[index]! ^= other[index]!
}
