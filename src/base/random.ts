// Chance is a port, like time: production draws from the operating system, tests and simulations from a seed.
import { getRandomValues } from 'node:crypto'

export interface Random {
  /** `length` unpredictable bytes (or seeded ones, in a test). */
  bytes(length: number): Uint8Array
  /** A number in [0, 1). */
  unit(): number
}

/** A call to the operating system costs as much for this many bytes as for one. Nothing is given out twice. */
const poolBytes = 4_096
let pool = new Uint8Array(0)

export const systemRandom: Random = {
  bytes: (length) => {
    if (length > poolBytes / 16) return getRandomValues(new Uint8Array(length))
    if (pool.byteLength < length) pool = getRandomValues(new Uint8Array(poolBytes))
    const taken = pool.slice(0, length)
    pool.fill(0, 0, length)
    pool = pool.subarray(length)
    return taken
  },
  unit: () => Math.random(),
}

/** A seeded generator (mulberry32): the same seed gives the same run. Not for keys. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const unit = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { unit, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(unit() * 256)) }
}
