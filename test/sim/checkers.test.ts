// Every checker is shown a history that breaks its promise, and one that comes close and does not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as checkers from '../../src/sim/checkers.ts'
import { type Begun, type Ended, History } from '../../src/sim/history.ts'

function past(...steps: [Partial<Begun>, Partial<Ended>?][]) {
  let now = 0
  const history = new History(() => now++)
  for (const [begun, ended] of steps) {
    const kind = begun.write === undefined ? 'get' : 'put'
    const operation = history.begin({ peer: 'p1', key: 'k', strict: false, kind, ...begun })
    history.end(operation, { outcome: 'done', ...ended })
  }
  return new checkers.Past(history)
}

const replica = (peer: string, values: string[], { key = 'k', removed = false } = {}) => ({
  peer,
  owned: new Map([[key, { values, removed }]]),
})

const wiped = new Set<string>()

function finds(found: checkers.Finding[], ...expected: RegExp[]): void {
  assert.equal(found.length, expected.length, JSON.stringify(found))
  for (const [index, pattern] of expected.entries()) assert.match(found[index]!.sentence, pattern)
}

test('lost writes', () => {
  const a = { write: 'a' }
  const b = { write: 'b', saw: ['a'] }
  const lost = (steps: Parameters<typeof past>, replicas: checkers.Replica[], gone = wiped) =>
    checkers.lostWrites(past(...steps), { replicas, wiped: gone })
  finds(lost([[a]], [replica('p1', [])]), /a of k was acknowledged/)
  finds(lost([[a], [b]], [replica('p1', ['a'])]), /b of k/)
  finds(lost([[a], [{ write: 'c' }]], [replica('p1', ['c'])]), /a of k/)
  finds(lost([[a], [b]], [replica('p1', ['b'])]))
  finds(lost([[a]], [replica('p1', []), replica('p2', ['a'])]))
  finds(lost([[a, { outcome: 'unknown' }]], [replica('p1', [])]))
  finds(lost([[a, { acknowledgedBy: ['p2'] }]], [replica('p1', [])], new Set(['p2'])))
  finds(lost([[a, { acknowledgedBy: ['p2', 'p1'] }]], [replica('p1', [])], new Set(['p2'])), /a of k/)
  const removal = { write: 'r', kind: 'remove', saw: ['a'] } as const
  finds(lost([[a], [removal]], [replica('p1', [], { removed: true })]))
  finds(lost([[a], [removal, { outcome: 'failed' }]], [replica('p1', [])]), /a of k/)
  finds(lost([[a], [{ write: 'c' }], [removal]], [replica('p1', [], { removed: true })]), /c of k/)
})

test('a write that its client has given up replaces what is there when its peer gets round to it', () => {
  const lost = (...left: string[]) => {
    const history = new History(() => 0)
    const begin = (write: string, isGuess: boolean) =>
      history.begin({ peer: 'p1', key: 'k', strict: false, kind: 'put', write, isGuess })
    const slow = begin('a', true)
    history.end(slow, { outcome: 'unknown' })
    history.end(begin('b', false), { outcome: 'done' })
    history.end(slow, { outcome: 'done', left })
    assert.equal(slow.outcome, 'unknown')
    return checkers.lostWrites(new checkers.Past(history), { replicas: [replica('p1', ['a'])], wiped })
  }
  finds(lost('a'))
  finds(lost('a', 'b'), /b of k was acknowledged/)
})

test('false siblings', () => {
  const found = (steps: Parameters<typeof past>, ...values: string[]) =>
    checkers.falseSiblings(past(...steps), { replicas: [replica('p1', values)] })
  finds(found([], 'x'), /nobody wrote/)
  finds(found([[{ write: 'a', key: 'other' }]], 'a'), /written to other/)
  finds(found([[{ write: 'a' }, { outcome: 'failed' }]], 'a'), /told that it failed/)
  const chain: Parameters<typeof past> = [[{ write: 'a' }], [{ write: 'b', saw: ['a'] }], [{ write: 'c', saw: ['b'] }]]
  finds(found(chain, 'a', 'c'), /a of k beside c/)
  finds(found([[{ write: 'a' }]], 'a', 'a'), /twice/)
  finds(found([[{ write: 'a' }], [{ write: 'b' }, { outcome: 'unknown' }]], 'a', 'b'))
})

test('resurrections', () => {
  const found = (steps: Parameters<typeof past>, values: string[], gone = wiped) =>
    checkers.resurrections(past(...steps), { replicas: [replica('p1', values)], wiped: gone })
  const a: [Partial<Begun>] = [{ write: 'a' }]
  const removal: Partial<Begun> = { write: 'r', kind: 'remove', saw: ['a'] }
  finds(found([a, [removal]], ['a']), /p1 has a of k again/)
  finds(found([a, [removal, { outcome: 'unknown' }]], ['a']))
  finds(found([a, [removal, { acknowledgedBy: ['p2'] }]], ['a'], new Set(['p2'])))
  finds(found([a, [{ write: 'b', saw: ['a'] }], [{ write: 'c', saw: ['b'] }]], ['a', 'c']), /a of k again/)
})

test('lost updates', () => {
  const cas = (write: string, saw: string[], outcome: Ended['outcome'] = 'done'): [Partial<Begun>, Partial<Ended>] => [
    { write, saw, kind: 'cas', strict: true },
    { outcome },
  ]
  const still = { ringStoodStill: true }
  finds(checkers.lostUpdates(past(cas('a', []), cas('b', [])), still), /#0 and #1/)
  finds(checkers.lostUpdates(past(cas('a', []), cas('b', ['a']), cas('c', ['a'])), still), /#1 and #2/)
  finds(checkers.lostUpdates(past(cas('a', []), cas('b', ['a']), cas('c', ['b'])), still))
  finds(checkers.lostUpdates(past(cas('a', []), cas('b', [], 'unknown')), still))
  finds(checkers.lostUpdates(past(cas('a', []), cas('b', [])), { ringStoodStill: false }))
})

test('stale reads', () => {
  const still = { ringStoodStill: true }
  const write: [Partial<Begun>] = [{ write: 'a', strict: true }]
  const read = (values: string[], strict = true): [Partial<Begun>, Partial<Ended>] => [{ strict }, { values }]
  finds(checkers.staleReads(past(write, read([])), still), /#1 read nothing at k after #0 had written a/)
  finds(checkers.staleReads(past(write, read([], false)), still))
  finds(checkers.staleReads(past(read([]), write), still))
  finds(checkers.staleReads(past(write, [{ write: 'b', saw: ['a'] }], read(['b'])), still))
  finds(checkers.staleReads(past(write, [{ write: 'r', kind: 'remove', saw: ['a'] }], read([])), still))
})

test('divergence, epochs, hints and watchers', () => {
  finds(
    checkers.divergences({ replicas: [replica('p1', ['a']), replica('p2', ['a', 'b'])] }),
    /p1 has a at k, p2 has a b/,
  )
  finds(
    checkers.divergences({ replicas: [replica('p1', []), replica('p2', [], { removed: true })] }),
    /p2 has {1,2}\(removed\)/,
  )
  finds(checkers.divergences({ replicas: [replica('p1', ['b', 'a']), replica('p2', ['a', 'b'])] }))
  finds(
    checkers.epochsApart({
      epochs: new Map([
        ['p1', 'x'],
        ['p2', 'y'],
      ]),
    }),
    /p1 has x, p2 has y/,
  )
  finds(
    checkers.epochsApart({
      epochs: new Map([
        ['p1', 'x'],
        ['p2', 'x'],
      ]),
    }),
  )
  finds(
    checkers.undeliveredHints({
      hints: new Map([
        ['p1', 0],
        ['p2', 3],
      ]),
    }),
    /p2 still keeps 3/,
  )
  const written = past([{ write: 'a' }], [{ write: 'b' }])
  const missed = (sinceMs: number, peer: string, ...values: string[]) =>
    checkers.missedByWatchers(written, {
      replicas: [replica('p1', ['a', 'b'])],
      watchers: [{ peer, sinceMs, shown: new Map([['k', new Set(values)]]) }],
    })
  finds(missed(-1, 'p1', 'a'), /not shown b of k/)
  finds(missed(-1, 'p1', 'a', 'b', 'c'))
  finds(missed(0, 'p1', 'b'))
  finds(missed(-1, 'p2'))
})
