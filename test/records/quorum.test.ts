// The tally of calls, to exhaustion: every way in which small groups of owners and stand-ins can answer, fail or stay silent.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Liveness } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { countOf, decide, majorityOf, needOf, type Plan, type Tally } from '../../src/records/quorum.ts'

const peers = (names: string) => [...names] as PeerId[]
type Fate = 'answers' | 'fails' | 'silent'
const fates: Fate[] = ['answers', 'fails', 'silent']

function* combinations<T>(choices: readonly T[], length: number): Generator<T[]> {
  if (length === 0) yield []
  else for (const rest of combinations(choices, length - 1)) for (const choice of choices) yield [...rest, choice]
}

/** Plays a call to its end, and to the point where it is late, if it waits until then. */
function play(
  plan: Plan,
  fate: ReadonlyMap<PeerId, Fate>,
): { state: string; answered: Set<PeerId>; asked: Set<PeerId> } {
  const [asked, answered, failed] = [new Set<PeerId>(), new Set<PeerId>(), new Set<PeerId>()]
  let isLate = false
  for (let turn = 0; turn < 30; turn++) {
    const tally: Tally = { asked, answered, failed, isLate }
    const { state, ask } = decide(plan, tally)
    for (const peer of ask) {
      assert.ok(!asked.has(peer), 'nobody is asked twice')
      asked.add(peer)
    }
    if (state !== 'waiting') return { state, answered, asked }
    const next = [...asked].find((peer) => !answered.has(peer) && !failed.has(peer) && fate.get(peer) !== 'silent')
    if (next) (fate.get(next) === 'answers' ? answered : failed).add(next)
    else if (isLate && ask.length === 0) return { state, answered, asked }
    else isLate = true
  }
  assert.fail('a call goes on for ever')
}

test('a call ends with what can be had, whoever answers, fails or stays silent', () => {
  for (const asksAll of [false, true])
    for (const standIns of [[], peers('x'), peers('xy')])
      for (const need of [1, 2, 3])
        for (const owners of combinations(fates, 3))
          for (const others of combinations(fates, standIns.length)) {
            const fate = new Map<PeerId, Fate>()
            for (const [index, peer] of peers('abc').entries()) fate.set(peer, owners[index]!)
            for (const [index, peer] of standIns.entries()) fate.set(peer, others[index]!)
            const plan: Plan = {
              groups: [{ owners: peers('abc'), need }],
              standIns,
              asksAll,
              isPatient: true,
              livenessOf: () => 'alive',
            }
            const { state, answered } = play(plan, fate)
            const good = (list: readonly PeerId[]) => list.filter((peer) => fate.get(peer) === 'answers').length
            const reachable = good(peers('abc')) + Math.min(good(standIns), 3 - good(peers('abc')))
            const what = JSON.stringify([asksAll, need, [...fate]])
            assert.equal(state === 'done', reachable >= need, what)
            if (state === 'done') assert.ok(countOf(plan.groups[0]!, plan, answered) >= need, what)
            if (![...fate.values()].includes('silent') && reachable < need) assert.equal(state, 'exhausted', what)
          }
})

test('while a hand-off runs, both groups must have their quorum', () => {
  for (const which of combinations(fates, 4)) {
    const all = peers('abcd')
    const fate = new Map(all.map((peer, index) => [peer, which[index]!]))
    const groups = [
      { owners: peers('abd'), need: 2 },
      { owners: peers('abc'), need: 2 },
    ]
    for (const asksAll of [false, true]) {
      const { state } = play({ groups, standIns: [], asksAll, isPatient: true, livenessOf: () => 'alive' }, fate)
      const good = (owners: PeerId[]) => owners.filter((peer) => fate.get(peer) === 'answers').length
      assert.equal(
        state === 'done',
        groups.every(({ owners }) => good(owners) >= 2),
        JSON.stringify([...fate]),
      )
    }
  }
})

test('a read asks no more than it needs, a write asks all owners; the dead are asked by the patient alone', () => {
  const liveness = new Map<string, Liveness>([['b', 'dead']])
  const livenessOf = (peer: PeerId) => liveness.get(peer) ?? 'alive'
  const group = { owners: peers('abc'), need: 2 }
  const nothing: Tally = { asked: new Set(), answered: new Set(), failed: new Set(), isLate: false }
  const plan = { groups: [group], standIns: peers('x'), isPatient: false, livenessOf }
  assert.deepEqual(decide({ ...plan, asksAll: false }, nothing).ask, peers('ac'))
  assert.deepEqual([...decide({ ...plan, asksAll: true }, nothing).ask].sort(), peers('acx'))
  const all = { ...plan, groups: [{ ...group, need: 3 }], standIns: [], asksAll: false }
  assert.deepEqual(decide(all, nothing).ask, peers('ac'))
  assert.deepEqual(decide({ ...all, isPatient: true }, nothing).ask, peers('acb'))
})

test('levels', () => {
  assert.deepEqual([1, 2, 3, 4, 5].map(majorityOf), [1, 2, 2, 3, 3])
  assert.deepEqual(
    ['one', 'quorum', 'all', 2].map((level) => needOf(level as 'one', 3)),
    [1, 2, 3, 2],
  )
  assert.equal(needOf(4, 3), undefined)
  assert.equal(needOf(0, 3), undefined)
})
