// Versions against an oracle that knows every event: what a set of siblings should hold is computed there from the whole
// history that its holder has heard of, without dots or vectors.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { realLaws } from '../../src/records/laws.ts'
import {
  decodeSet,
  decodeWrite,
  encodeSet,
  parseVersion,
  signWrites,
  Verifier,
  versionText,
} from '../../src/records/record.ts'
import {
  type Dot,
  emptySet,
  includes,
  issue,
  merge,
  type SiblingSet,
  sameVersion,
  shownOrder,
  type Version,
  versionOf,
  type Write,
} from '../../src/records/version.ts'
import { signerOf } from './cluster.ts'

const key = 'k'
const signer = signerOf('author' as PeerId)

function write(id: string, context: Version, value: Uint8Array | undefined = new Uint8Array(1)): Write {
  return signWrites(signer, [{ key, value, id, context, atMs: 0 }])[0]!
}

/** What really happened: which write replaced which. */
class Oracle {
  readonly replacedBy = new Map<string, string[]>()
  /** All that is in the past of a write. */
  readonly pastOf = new Map<string, Set<string>>()

  /** The writes that a holder of these should show. */
  current(heard: ReadonlySet<string>): string[] {
    return [...heard].filter((id) => ![...heard].some((other) => this.pastOf.get(other)?.has(id))).sort()
  }
}

interface Holder {
  set: SiblingSet
  heard: Set<string>
}

type Step =
  | { do: 'write'; at: number; sees: number; duplicate: number | undefined }
  | { do: 'merge'; from: number; to: number }

const stepOf = fc.oneof(
  fc.record({
    do: fc.constant('write' as const),
    at: fc.nat(3),
    sees: fc.nat(3),
    duplicate: fc.option(fc.nat(3), { nil: undefined, freq: 4 }),
  }),
  fc.record({ do: fc.constant('merge' as const), from: fc.nat(3), to: fc.nat(3) }),
)

function play(steps: Step[], duplicates: boolean): { holders: Holder[]; oracle: Oracle } {
  const oracle = new Oracle()
  const holders: Holder[] = Array.from({ length: 4 }, () => ({ set: emptySet, heard: new Set() }))
  let count = 0
  for (const [index, step] of steps.entries()) {
    if (step.do === 'merge') {
      const [from, to] = [holders[step.from]!, holders[step.to]!]
      to.set = merge(to.set, from.set)
      for (const id of from.heard) to.heard.add(id)
      continue
    }
    const seen = holders[step.sees]!
    const made = write(`w${index}`, versionOf(seen.set))
    oracle.pastOf.set(made.id, new Set(seen.heard))
    const places = duplicates && step.duplicate !== undefined ? [step.at, step.duplicate] : [step.at]
    for (const place of new Set(places)) {
      const holder = holders[place]!
      const dot: Dot = { store: `s${place}`, count: ++count }
      holder.set = issue(holder.set, made, dot)
      holder.heard.add(made.id)
      for (const id of seen.heard) holder.heard.add(id)
    }
  }
  return { holders, oracle }
}

const ids = (set: SiblingSet) => set.siblings.map(({ write }) => write.id)

test('a holder shows exactly what nobody it has heard of has replaced', () => {
  fc.assert(
    fc.property(fc.array(stepOf, { maxLength: 14 }), (steps) => {
      const { holders, oracle } = play(steps, false)
      for (const { set, heard } of holders) assert.deepEqual(ids(set), oracle.current(heard))
    }),
    { numRuns: 2_000 },
  )
})

// A second dot of a write is known for what it is by those who have seen the first replaced: together they know it all.
test('writes that were issued twice do not come back once all holders have met', () => {
  fc.assert(
    fc.property(fc.array(stepOf, { maxLength: 14 }), (steps) => {
      const { holders, oracle } = play(steps, true)
      const heard = new Set(holders.flatMap((holder) => [...holder.heard]))
      assert.deepEqual(ids(holders.map(({ set }) => set).reduce(merge)), oracle.current(heard))
    }),
    { numRuns: 2_000 },
  )
})

test('merging is commutative, associative and idempotent, down to the bytes', () => {
  fc.assert(
    fc.property(fc.array(stepOf, { maxLength: 14 }), fc.nat(3), fc.nat(3), fc.nat(3), (steps, x, y, z) => {
      const { holders } = play(steps, true)
      const [a, b, c] = [holders[x]!.set, holders[y]!.set, holders[z]!.set]
      const same = (one: SiblingSet, other: SiblingSet) => assert.deepEqual(encodeSet(one), encodeSet(other))
      same(merge(a, b), merge(b, a))
      same(merge(merge(a, b), c), merge(a, merge(b, c)))
      same(merge(a, a), a)
      assert.ok(includes(merge(a, b), a))
    }),
    { numRuns: 2_000 },
  )
})

test('a second dot of a write whose replacement was heard of before its first dot does not bring it back', () => {
  const first = write('w1', versionOf(emptySet))
  const here = issue(emptySet, first, { store: 's0', count: 1 })
  const there = issue(emptySet, first, { store: 's2', count: 1 })
  const replaced = issue(here, write('w2', versionOf(here)), { store: 's3', count: 1 })
  const later = issue(emptySet, write('w3', versionOf(replaced)), { store: 's1', count: 1 })
  for (const set of [
    merge(merge(later, there), here),
    merge(later, merge(there, here)),
    merge(here, merge(there, later)),
  ])
    assert.deepEqual(ids(set), ['w3'])
})

test('a write that is issued twice is one, even when its second dot comes after it was replaced', () => {
  const first = write('w1', versionOf(emptySet))
  const here = issue(emptySet, first, { store: 's1', count: 1 })
  const there = issue(emptySet, first, { store: 's2', count: 1 })
  const second = write('w2', versionOf(here))
  const replaced = issue(here, second, { store: 's1', count: 2 })
  assert.deepEqual(ids(merge(replaced, there)), ['w2'])
  assert.deepEqual(ids(merge(here, there)), ['w1'])
  assert.equal(issue(replaced, first, { store: 's1', count: 3 }), replaced)
})

test('a store that forgot a partition issues under another id, and hides nothing', () => {
  const set = issue(
    emptySet,
    write('w1', versionOf(emptySet)),
    realLaws.nextDot({ store: 's', generation: 0, lastCount: 4, set: emptySet }),
  )
  const blind = issue(
    emptySet,
    write('w2', versionOf(emptySet)),
    realLaws.nextDot({ store: 's', generation: 1, lastCount: 9, set: emptySet }),
  )
  assert.deepEqual(ids(merge(set, blind)), ['w1', 'w2'])
})

test('what is shown first does not depend on who shows it, and a value goes before a removal', () => {
  const context = versionOf(emptySet)
  const gone = signWrites(signer, [{ key, value: undefined, id: 'z', context, atMs: 9 }])[0]!
  const old = signWrites(signer, [{ key, value: new Uint8Array(1), id: 'a', context, atMs: 1 }])[0]!
  const late = signWrites(signer, [{ key, value: new Uint8Array(2), id: 'b', context, atMs: 2 }])[0]!
  const sets = [gone, old, late].map((made, index) => issue(emptySet, made, { store: `s${index}`, count: 1 }))
  const order = shownOrder(sets.reduce(merge)).map((sibling) => sibling.write.id)
  assert.deepEqual(order, ['b', 'a', 'z'])
  assert.deepEqual(
    shownOrder(sets.toReversed().reduce(merge)).map((sibling) => sibling.write.id),
    order,
  )
})

test('sets and versions come back from their bytes as they were', () => {
  fc.assert(
    fc.property(fc.array(stepOf, { maxLength: 12 }), (steps) => {
      for (const { set } of play(steps, true).holders) {
        assert.deepEqual(decodeSet(key, encodeSet(set)), set)
        const version = parseVersion(versionText(versionOf(set)))
        assert.ok(sameVersion(version, versionOf(set)))
      }
    }),
    { numRuns: 300 },
  )
})

test('garbage is refused with an error of ours, and so is a forged write', () => {
  const refused = (run: () => unknown) => {
    try {
      run()
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'RECORD_INVALID', String(error))
    }
  }
  const honest = encodeSet(issue(emptySet, write('w', versionOf(emptySet)), { store: 's', count: 1 }))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(honest.length - 1), fc.nat(255), (noise, at, byte) => {
      const bent = honest.slice()
      bent[at] = byte
      for (const bytes of [noise, bent]) {
        refused(() => decodeSet(key, bytes))
        refused(() => decodeWrite(bytes))
      }
    }),
    { numRuns: 3_000 },
  )
  const forger = { ...signer, sign: () => new Uint8Array(32) }
  const forged = signWrites(forger, [{ key, value: undefined, id: 'f', context: versionOf(emptySet), atMs: 0 }])[0]!
  assert.throws(() => new Verifier(signer).check(forged), { code: 'RECORD_INVALID' })
  assert.throws(() => decodeSet('other', honest), { code: 'RECORD_INVALID' })
})

test('writes that share a signature are each proven by it, and no other write is', () => {
  const parts = Array.from({ length: limits.recordsSignedTogether }, (_, index) => ({
    key: `${key}${index}`,
    value: Uint8Array.of(index),
    id: `w${index}`,
    context: versionOf(emptySet),
    atMs: index,
  }))
  for (let count = 1; count <= parts.length; count++) {
    let checks = 0
    const verifier = new Verifier({ ...signer, verify: (...given) => checks++ < 1 && signer.verify(...given) })
    const writes = signWrites(signer, parts.slice(0, count)).map(({ bytes }) => decodeWrite(bytes))
    for (const [index, write] of writes.entries()) {
      assert.deepEqual(write.value, parts[index]!.value)
      verifier.check(write)
    }
    assert.equal(checks, 1)
    // The signature and the path of one do not prove what another says.
    const [, signature, path] = decode<Uint8Array[]>(writes[0]!.bytes)
    const [body] = decode<Uint8Array[]>(signWrites(signer, [{ ...parts[0]!, id: 'other' }])[0]!.bytes)
    const spliced = decodeWrite(encode([body, signature, path]))
    assert.throws(() => verifier.check(spliced), { code: 'RECORD_INVALID' })
    assert.throws(() => new Verifier(signer).check(spliced), { code: 'RECORD_INVALID' })
    const inner = Buffer.concat([path!, path!]).subarray(0, path!.byteLength + 32)
    if (inner.byteLength > path!.byteLength) {
      const longer = encode([decode<Uint8Array[]>(writes[0]!.bytes)[0], signature, inner])
      assert.throws(() => new Verifier(signer).check(decodeWrite(longer)), { code: 'RECORD_INVALID' })
    }
  }
})
