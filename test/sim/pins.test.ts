// Whole clusters that keep content, in simulated trouble: some seeds keep every promise, one seed gives one run, each bug that
// is planted is caught, and every checker is shown a history that breaks its promise and one that comes close and does not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measureDag } from '../../src/files/dag.ts'
import { linksOf } from '../../src/files/links.ts'
import { pinOf } from '../../src/replicas/pin.ts'
import type { Finding } from '../../src/sim/checkers.ts'
import * as checkers from '../../src/sim/pins/checkers.ts'
import { type Begun, PinHistory } from '../../src/sim/pins/history.ts'
import { startPinPeer } from '../../src/sim/pins/peer.ts'
import { type PinPlant, pinPlants, spoilerOf } from '../../src/sim/pins/plants.ts'
import type { KnownPin } from '../../src/sim/pins/program.ts'
import { type PinRunResult, pinStoryOf, runPinSeed } from '../../src/sim/pins/run.ts'

const run = (
  seed: number,
  { plant, steps = 120 }: { plant?: PinPlant; steps?: number } = {},
): Promise<PinRunResult> => {
  const spoil = spoilerOf(plant)
  return runPinSeed(
    (ports, graceMs) =>
      startPinPeer(ports, { copies: 3, graceMs, linksOf, measureDag, pinOf, ...(spoil && { spoil }) }),
    { seed, peers: 5, steps },
  )
}

for (const seed of [1, 2, 3, 4, 6, 8]) {
  test(`seed ${seed} keeps every promise`, async () => {
    const result = await run(seed)
    assert.equal(result.findings.length, 0, pinStoryOf(result).join('\n'))
    assert.ok(result.history.operations.filter(({ outcome }) => outcome === 'done').length > 40)
  })
}

// Each once lost something: copies let go of on the word of others, and rot that nobody read.
for (const seed of [112, 317]) {
  test(`seed ${seed} does not fail again`, async () => {
    const result = await run(seed, { steps: 200 })
    assert.equal(result.findings.length, 0, pinStoryOf(result).join('\n'))
  })
}

test('one seed gives one run', async () => {
  const [first, second] = [await run(11, { steps: 60 }), await run(11, { steps: 60 })]
  assert.equal(first.digest, second.digest)
  assert.deepEqual(first.history.operations, second.history.operations)
  assert.deepEqual(first.history.holdings, second.history.holdings)
})

/** Seeds that are tried before a bug counts as missed. One that finds it today is tried first, so that this is quick. */
const tries = 20
const knownToFind: Record<PinPlant, { seed: number; checker: RegExp }> = {
  'held-too-soon': { seed: 1, checker: /a copy that is told of is there/ },
  'trims-too-soon': { seed: 1, checker: /a copy that is told of is there|nothing pinned is lost/ },
  // One seed in sixteen: a driver that is cut off must be asked to place something while it is.
  'names-blindly': { seed: 15, checker: /an isolated peer names no new holders/ },
}

for (const plant of pinPlants) {
  test(`a planted bug is caught: ${plant}`, async () => {
    const { seed, checker } = knownToFind[plant]
    for (let at = seed; at < seed + tries; at++) {
      const { findings } = await run(at, { plant, steps: plant === 'names-blindly' ? 120 : 50 })
      if (findings.some((finding) => checker.test(finding.checker))) return
    }
    assert.fail(`${tries} seeds did not notice`)
  })
}

// --- Each checker by itself.

function historyOf(...steps: (Partial<Begun> & { outcome?: 'done' | 'failed' | 'unknown'; found?: string[] })[]) {
  let now = 0
  const history = new PinHistory(() => now++)
  history.sizes.set('d', 1_000)
  for (const { outcome = 'done', found = [], ...begun } of steps) {
    const operation = history.begin({ peer: 'p1', kind: 'pin', dag: 'd', ...begun })
    history.end(operation, { outcome, found })
  }
  return history
}

const names = (...dags: string[]) => new Set(dags)

function member(name: string, options: Partial<checkers.MemberAtEnd> = {}): checkers.MemberAtEnd {
  const nothing = names()
  return {
    name,
    zone: name,
    capacity: 10_000,
    isLeaving: false,
    usedBytes: 0,
    full: nothing,
    pinned: nothing,
    traces: nothing,
    ...options,
  }
}

const holder = (name: string, options: Partial<checkers.MemberAtEnd> = {}) =>
  member(name, { full: names('d'), pinned: names('d'), traces: names('d'), ...options })

function known(holders: string[], options: Partial<KnownPin> = {}): KnownPin {
  return {
    copies: 2,
    sizeBytes: 1_000,
    by: ['p1'],
    wishes: ['w'],
    elsewhere: [],
    endsMs: undefined,
    holders,
    ...options,
  }
}

function ending(members: checkers.MemberAtEnd[], pin: KnownPin | undefined, more: Partial<checkers.PinEnding> = {}) {
  return {
    members,
    known: new Map(pin ? [['d', pin]] : []),
    shown: new Map(),
    whole: names('d'),
    wallMs: { earliest: 1_000, latest: 2_000, earliestEver: 800, latestEver: 3_000 },
    movedBytes: 0,
    factor: 2,
    ...more,
  }
}

function finds(found: Finding[], ...expected: RegExp[]): void {
  assert.equal(found.length, expected.length, JSON.stringify(found))
  for (const [index, pattern] of expected.entries()) assert.match(found[index]!.sentence, pattern)
}

test('what becomes of a pin', () => {
  const { wallMs } = ending([], undefined)
  const fate = (...steps: Parameters<typeof historyOf>) => checkers.fateOf(historyOf(...steps), 'd', wallMs).fate
  const unpin = { kind: 'unpin' as const, isInformed: true, found: ['something'] } satisfies Parameters<
    typeof historyOf
  >[0]
  assert.equal(fate({ copies: 2 }), 'kept')
  assert.equal(fate({ outcome: 'unknown' }), 'unknown')
  assert.equal(fate({ copies: 2 }, unpin), 'ended')
  assert.equal(fate({ copies: 2 }, { ...unpin, isInformed: false }), 'unknown')
  assert.equal(fate({ copies: 2 }, { ...unpin, outcome: 'unknown' }), 'unknown')
  assert.equal(fate(unpin, { copies: 2 }), 'kept')
  assert.equal(fate({ endsMs: 500 }), 'ended')
  assert.equal(fate({ endsMs: 900 }), 'unknown')
  assert.equal(fate({ endsMs: 2_500 }), 'unknown')
  assert.equal(fate({ endsMs: 5_000 }), 'kept')
})

test('wishes are not missed, and what was unpinned does not come back', () => {
  const missed = (history: PinHistory, pin: KnownPin | undefined) => checkers.missedWishes(history, ending([], pin))
  finds(missed(historyOf({ copies: 2 }), undefined), /shall have 2 copies; the records say 0/)
  finds(missed(historyOf({ copies: 2 }), known([])))
  finds(missed(historyOf({ copies: 3 }), known([])), /the records say 2/)
  const unpin = { kind: 'unpin' as const, isInformed: true, found: ['something'] } satisfies Parameters<
    typeof historyOf
  >[0]
  finds(missed(historyOf({ copies: 2 }, unpin), known([])), /was unpinned/)
  finds(missed(historyOf({ copies: 2 }, unpin), known([], { wishes: [] })))
})

test('copies are where they should be', () => {
  const misplaced = (members: checkers.MemberAtEnd[], pin: KnownPin) => checkers.misplaced(ending(members, pin))
  finds(misplaced([holder('p1'), holder('p2'), member('p3')], known(['p1', 'p2'])))
  finds(misplaced([holder('p1'), member('p2')], known(['p1', 'p2'])), /not wholly at p2/)
  finds(misplaced([holder('p1'), member('p2')], known(['p1'])), /not by p2/)
  finds(misplaced([holder('p1'), member('p2', { usedBytes: 9_500 })], known(['p1'])))
  finds(misplaced([holder('p1'), member('p2')], known(['p1'], { elsewhere: ['p2'] })))
  finds(misplaced([holder('p1'), holder('p2'), holder('p3')], known(['p1', 'p2', 'p3'])), /shall have 2 copies/)
  const [one, other] = [holder('p1', { zone: 'a' }), holder('p2', { zone: 'a' })]
  finds(misplaced([one, other, member('p3', { zone: 'b' })], known(['p1', 'p2'])), /p3 is in another/)
  finds(misplaced([one, other, member('p3', { zone: 'a' })], known(['p1', 'p2'])))
  finds(misplaced([holder('p1')], known(['p1', 'gone'])), /some cannot hold it/)
  const barred = known(['p1'], { elsewhere: ['p1'] })
  finds(misplaced([holder('p1'), member('p2', { usedBytes: 9_500 })], barred))
  finds(misplaced([member('p1'), member('p2', { usedBytes: 9_500 })], barred), /not wholly at p1/)
  finds(misplaced([holder('p1'), member('p2')], barred), /some cannot hold it/)
  finds(misplaced([holder('p1'), holder('p2')], known(['p1', 'p2'], { elsewhere: ['p1'] })), /some cannot hold it/)
})

test('nobody else keeps it, and what nobody keeps takes no room', () => {
  const strangers = (history: PinHistory, members: checkers.MemberAtEnd[], pin: KnownPin) =>
    checkers.strangers(history, ending(members, pin))
  const two = [holder('p1'), holder('p2')]
  finds(strangers(historyOf(), two, known(['p1'])), /p2 keeps d, which p1 hold/)
  finds(strangers(historyOf({ peer: 'p2' }), two, known(['p1'])))
  finds(strangers(historyOf({ peer: 'p2' }), [holder('p2')], known([], { wishes: [] })), /no pin any more/)
  finds(strangers(historyOf(), two, known(['p1', 'p2'], { endsMs: 1_500 })))
  finds(strangers(historyOf(), two, known(['p1'], { endsMs: 1_500 })), /p2 keeps d/)
  finds(strangers(historyOf(), two, known(['p1', 'p2'], { endsMs: 500 })), /p1/, /p2/)
  const leaves = holder('p2', { isLeaving: true })
  finds(strangers(historyOf(), [holder('p1'), leaves], known(['p1'])))
  finds(strangers(historyOf(), [holder('p1'), holder('p3'), leaves], known(['p1', 'p3'])), /p2 keeps d/)
  const lost = ending(two, known(['p1']), { whole: names() })
  finds(checkers.strangers(historyOf(), lost))
  finds(checkers.strangers(historyOf(), { ...lost, known: new Map([['d', known([], { wishes: [] })]]) }), /p1/, /p2/)
  finds(checkers.leftovers(ending([member('p1', { traces: names('d') })], undefined)), /p1 has blocks of d/)
  finds(checkers.leftovers(ending([holder('p1')], undefined)))
})

test('a wait tells the truth', () => {
  const wait = { kind: 'wait', copies: 2 } as const
  finds(checkers.falseAcknowledgements(historyOf({ ...wait, found: ['p1', 'p2'] })))
  finds(checkers.falseAcknowledgements(historyOf({ ...wait, found: ['p1'] })), /2 members have d; p1 had/)
  const rotted = historyOf()
  rotted.changed('d', 'p2', 'rotted')
  rotted.end(rotted.begin({ peer: 'p1', dag: 'd', ...wait }), { outcome: 'done', found: ['p1'] })
  finds(checkers.falseAcknowledgements(rotted))
})

test('who waited for a pin that has ended waited for nothing of a later one', () => {
  const gone = (endsMs?: number) => {
    const history = historyOf({ copies: 2, endsMs }, { kind: 'wait', copies: 2, found: ['p1', 'p2'] }, { copies: 2 })
    return checkers.lostContent(history, ending([], known([]), { whole: names() }))
  }
  finds(gone(), /gone meanwhile: nobody/)
  finds(gone(500))
})

test('nothing pinned is lost while fewer holders than copies are gone at once', () => {
  const lost = (...changes: Parameters<PinHistory['changed']>[]) => {
    const history = historyOf({ peer: 'p9', copies: 2 }, { kind: 'wait', copies: 2, found: ['p1', 'p2'] })
    for (const peer of ['p1', 'p2']) history.changed('d', peer, 'kept')
    for (const change of changes) history.changed(...change)
    return checkers.lostContent(history, ending([], known([]), { whole: names() }))
  }
  finds(lost(['d', 'p1', 'wiped'], ['d', 'p2', 'lost']))
  finds(lost(['d', 'p1', 'wiped'], ['d', 'p2', 'dropped']), /gone meanwhile: p1 \(wiped\)/)
  finds(lost(['d', 'p1', 'wiped'], ['d', 'p3', 'kept'], ['d', 'p3', 'wiped'], ['d', 'p2', 'dropped']), /p3 \(wiped\)/)
  // Who has it and does not keep it makes nobody whole again.
  finds(lost(['d', 'p1', 'wiped'], ['d', 'p3', 'gained'], ['d', 'p2', 'wiped'], ['d', 'p3', 'dropped']))
  finds(lost(['d', 'p3', 'kept'], ['d', 'p3', 'released'], ['d', 'p1', 'wiped'], ['d', 'p2', 'wiped']))
  finds(
    lost(['d', 'p3', 'kept'], ['d', 'p1', 'wiped'], ['d', 'p3', 'released'], ['d', 'p2', 'wiped']),
    /gone meanwhile: p2/,
  )
  finds(lost(['d', 'p1', 'given up'], ['d', 'p2', 'rotted']))
  finds(lost(['d', 'p1', 'released'], ['d', 'p2', 'rotted']), /gone meanwhile: p2 \(rotted\)$/)
})

test('a status is true', () => {
  const place = (peer: string, state = 'held') => ({ peer, state })
  const held = { copies: 2, held: 2, state: 'held', why: undefined, places: [place('p1'), place('p2')] }
  const wrong = (status: typeof held | undefined, pin = known(['p1', 'p2'])) =>
    checkers.wrongStatus(ending([holder('p1'), holder('p2')], pin, { shown: new Map([['d', { peer: 'p3', status }]]) }))
  finds(wrong(held))
  finds(wrong(undefined), /knows nothing/)
  finds(wrong({ ...held, places: [place('p1'), place('p2', 'asked')] }), /at p1; it is at p1 p2/)
  finds(wrong({ ...held, state: 'copying' }), /as copying/)
  finds(wrong(held, known([], { wishes: [] })), /no pin any more/)
})

test('bytes are not moved in vain', () => {
  const history = historyOf({ copies: 3 })
  history.named.set('d', new Set(['p1', 'p2', 'p3']))
  for (const peer of ['p1', 'p2', 'p3']) history.changed('d', peer, 'gained')
  assert.equal(checkers.neededBytesOf(history), 2_000)
  history.changed('d', 'p3', 'wiped')
  history.changed('d', 'p3', 'gained')
  assert.equal(checkers.neededBytesOf(history), 3_000)
  finds(checkers.needlessMoves(history, ending([], undefined, { movedBytes: 6_000 })))
  finds(checkers.needlessMoves(history, ending([], undefined, { movedBytes: 1_000_000 })), /3000 had to be/)
})
