// The roots that the store keeps, as replicas and pins see them. Whatever is kept is announced, and what goes is withdrawn, so
// that nobody has to remember both. Nothing here asks the network; the announcer does so later.
import { CID } from 'multiformats/cid'
import { codecs } from '../core/block.ts'
import type { Roots } from '../replicas/words.ts'
import type { Announcer } from '../routing/announcer.ts'
import type { Pins } from '../store/pins.ts'

/** The pins of a store, all of them with everything below. */
export function rootsOf(pins: Pick<Pins, 'get' | 'list' | 'add' | 'remove'>): Roots {
  return {
    has: (cid) => pins.get(cid) !== undefined,
    *list() {
      for (const { cid } of pins.list()) yield cid
    },
    add: (cid) => pins.add(cid, { recursive: true }),
    remove: (cid) => pins.remove(cid),
  }
}

/** The same, announced. */
export function announced(roots: Roots, announcer: Pick<Announcer, 'announce' | 'withdraw'>): Roots {
  return {
    has: (cid) => roots.has(cid),
    list: () => roots.list(),
    async add(cid) {
      await roots.add(cid)
      await announcer.announce(cid)
    },
    async remove(cid) {
      if (!(await roots.remove(cid))) return false
      // What is announced is the multihash, which a pin under another codec may still need.
      const needed = Object.values(codecs).some((code) => roots.has(CID.createV1(code, cid.multihash)))
      if (!needed) await announcer.withdraw(cid)
      return true
    },
  }
}
