// The rules of one detector, each alone: what counts against a member, what counts more, and when it is this peer itself
// that is ill. Everything that others do is played by the test.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/random.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import { times } from '../../src/core/times.ts'
import { Detector } from '../../src/members/detector.ts'
import type { DetectorAction, DetectorEvent } from '../../src/members/detector-events.ts'
import { confirmationsWanted, suspicionMs } from '../../src/members/suspicion.ts'
import { newPeerId } from '../twins/dht.ts'

type Reply = (action: DetectorAction, stage: Stage) => void

/** One detector and its time; `reply` plays everybody else, at once. */
class Stage {
  readonly others: PeerId[]
  readonly self: PeerId
  readonly detector: Detector
  readonly actions: DetectorAction[] = []
  reply: Reply
  nowMs = 0

  constructor(members: number, reply: Reply) {
    const random = seededRandom(5)
    this.self = newPeerId(random)
    this.others = Array.from({ length: members - 1 }, () => newPeerId(random))
    this.detector = new Detector({ random }, { self: this.self, nowMs: 0 })
    this.reply = reply
    this.feed({ kind: 'roster', peers: new Map(this.others.map((peer) => [peer, 1])), incarnation: 1 })
  }

  feed(event: DetectorEvent): DetectorAction[] {
    const actions = this.detector.on(event, this.nowMs)
    this.actions.push(...actions)
    for (const action of actions) this.reply(action, this)
    return actions
  }

  /** Ticks that come `lateMs` after they are due. */
  runFor(ms: number, lateMs = 0): void {
    const untilMs = this.nowMs + ms
    for (let dueMs = this.detector.dueMs; dueMs + lateMs <= untilMs; dueMs = this.detector.dueMs) {
      this.nowMs = Math.max(this.nowMs, dueMs + lateMs)
      this.feed({ kind: 'tick', wallMs: this.nowMs })
    }
    this.nowMs = untilMs
  }

  count(kind: DetectorAction['kind']): number {
    return this.actions.filter((action) => action.kind === kind).length
  }
}

const allAnswer: Reply = (action, stage) => {
  if (action.kind === 'ping') stage.feed({ kind: 'answered', probe: action.probe })
}

/** All answer but this one; helpers cannot reach it and say so, or say nothing. */
function allBut(silent: PeerId | undefined, helpers: boolean | undefined): Reply {
  return (action, stage) => {
    if (action.kind === 'ping' && action.peer !== silent) stage.feed({ kind: 'answered', probe: action.probe })
    if (action.kind === 'ask')
      for (const _ of action.helpers) stage.feed({ kind: 'helped', probe: action.probe, reached: helpers })
  }
}

test('a peer that is well probes three members a second, and everyone within two walks', () => {
  const stage = new Stage(10, allAnswer)
  stage.runFor(60_000)
  assert.ok(Math.abs(stage.count('ping') - 180) <= 3, `${stage.count('ping')}`)
  for (const peer of stage.others) {
    const at = stage.actions
      .filter(({ kind }) => kind === 'ping')
      .flatMap((action, index) => ('peer' in action && action.peer === peer ? [index] : []))
    for (let next = 1; next < at.length; next++) assert.ok(at[next]! - at[next - 1]! < 2 * stage.others.length)
  }
})

test('every walk has an order of its own', () => {
  const stage = new Stage(10, allAnswer)
  stage.runFor(30_000)
  const pinged = stage.actions.flatMap((action) => (action.kind === 'ping' ? [action.peer] : []))
  const walks = Array.from({ length: 8 }, (_, walk) => pinged.slice(walk * 9, walk * 9 + 9).join())
  assert.ok(new Set(walks).size > 6)
})

test('a member that only helpers reach is alive', () => {
  const stage = new Stage(5, allAnswer)
  stage.reply = allBut(stage.others[0], true)
  stage.runFor(60_000)
  assert.equal(stage.count('liveness'), 0)
  assert.ok(stage.count('ask') > 0)
})

test('helpers that say no leave us as fast as we were; helpers that say nothing slow us down', () => {
  const pings = [false, undefined].map((helpers) => {
    const stage = new Stage(8, allAnswer)
    // One of them is silent, and everyone says that it lives, so that it is probed for ever.
    const [silent] = stage.others
    const others = allBut(silent, helpers)
    stage.reply = (action) => {
      others(action, stage)
      if (action.kind === 'liveness' && action.liveness === 'suspect') stage.feed({ kind: 'heard', peer: silent! })
    }
    stage.runFor(120_000)
    return stage.count('ping')
  })
  assert.ok(pings[0]! > 340, `${pings[0]}`)
  assert.ok(pings[1]! < 0.9 * pings[0]!, `${pings[1]} of ${pings[0]}`)
})

test('late timers slow us down, and in the end a late peer still notices a death', () => {
  const well = new Stage(5, allAnswer)
  well.runFor(60_000)
  const ill = new Stage(5, allAnswer)
  ill.runFor(60_000, 400)
  assert.ok(ill.count('ping') < 0.5 * well.count('ping'))
  ill.reply = allBut(ill.others[0], false)
  ill.runFor(120_000, 400)
  assert.equal(ill.detector.livenessOf(ill.others[0]!), 'dead')
})

test('an answer that lies behind a late timer counts', () => {
  const stage = new Stage(3, () => {})
  stage.runFor(stage.detector.dueMs)
  const pings = stage.actions.filter((action) => action.kind === 'ping')
  assert.ok(pings.length >= 2)
  // The process hangs while both verdicts come due, and reads the answers after its timer.
  stage.nowMs += 5_000
  stage.feed({ kind: 'tick', wallMs: stage.nowMs })
  for (const { probe } of pings) stage.feed({ kind: 'answered', probe })
  stage.reply = allAnswer
  stage.runFor(30_000)
  assert.equal(stage.count('liveness'), 0)
  assert.equal(stage.count('ask'), 0)
})

test('time in which we did not run shortens nobody else his time to object', () => {
  const stage = new Stage(5, allAnswer)
  const [peer, from] = stage.others as [PeerId, PeerId]
  stage.runFor(3_000)
  stage.reply = () => {}
  stage.feed({ kind: 'opinion', opinion: { peer, incarnation: 1, liveness: 'suspect', from } })
  stage.nowMs += 2 * times.suspicionMostMs
  stage.feed({ kind: 'tick', wallMs: stage.nowMs })
  stage.runFor(times.suspicionMinMs - times.probeEveryMs)
  assert.equal(stage.detector.livenessOf(peer), 'suspect')
  stage.runFor(times.suspicionMostMs)
  assert.equal(stage.detector.livenessOf(peer), 'dead')
})

test('a death that others tell of is a doubt as long as our own ears say otherwise', () => {
  const stage = new Stage(5, () => {})
  const [peer, from] = stage.others as [PeerId, PeerId]
  const opinion = { peer, incarnation: 1, liveness: 'dead', from } as const
  stage.feed({ kind: 'heard', peer })
  stage.feed({ kind: 'opinion', opinion })
  assert.equal(stage.detector.livenessOf(peer), 'suspect')
  assert.deepEqual(stage.detector.doubtAbout(peer), { peer, incarnation: 1, liveness: 'suspect', from: stage.self })
  stage.feed({ kind: 'heard', peer })
  assert.equal(stage.detector.livenessOf(peer), 'alive')
  // The same hearsay does not count twice; the doubt is told to the doubted until it objects.
  stage.feed({ kind: 'opinion', opinion: { ...opinion, liveness: 'suspect' } })
  assert.equal(stage.detector.livenessOf(peer), 'alive')
  assert.ok(stage.detector.doubtAbout(peer))
  stage.feed({ kind: 'roster', peers: new Map(stage.others.map((one) => [one, one === peer ? 2 : 1])), incarnation: 1 })
  assert.equal(stage.detector.doubtAbout(peer), undefined)
  stage.feed({ kind: 'opinion', opinion })
  assert.equal(stage.detector.livenessOf(peer), 'alive')
})

test('a death that others tell of is believed of somebody who was not heard lately', () => {
  const stage = new Stage(5, () => {})
  const [peer, from] = stage.others as [PeerId, PeerId]
  stage.feed({ kind: 'opinion', opinion: { peer, incarnation: 0, liveness: 'dead', from } })
  assert.equal(stage.detector.livenessOf(peer), 'alive')
  const actions = stage.feed({ kind: 'opinion', opinion: { peer, incarnation: 1, liveness: 'dead', from } })
  assert.equal(stage.detector.livenessOf(peer), 'dead')
  assert.deepEqual(
    actions.map(({ kind }) => kind),
    ['liveness', 'spread'],
  )
  stage.feed({ kind: 'heard', peer })
  assert.equal(stage.detector.livenessOf(peer), 'alive')
})

test('doubts about ourselves are refuted, those of the past and of what nobody has claimed are not', () => {
  const stage = new Stage(3, allAnswer)
  const [from] = stage.others as [PeerId]
  const doubt = (incarnation: number) =>
    stage.feed({ kind: 'opinion', opinion: { peer: stage.self, incarnation, liveness: 'suspect', from } })
  assert.deepEqual(doubt(0), [])
  assert.deepEqual(doubt(1), [{ kind: 'refute', incarnation: 1 }])
  // A refutation of this one would be a number that no message can carry.
  for (const never of [4, Number.MAX_SAFE_INTEGER]) assert.deepEqual(doubt(never), [])
})

test('a doubt that its subject could never answer is not heard', () => {
  const stage = new Stage(3, allAnswer)
  const [peer, from] = stage.others as [PeerId, PeerId]
  const incarnation = Number.MAX_SAFE_INTEGER
  for (const liveness of ['suspect', 'dead'] as const)
    assert.deepEqual(stage.feed({ kind: 'opinion', opinion: { peer, incarnation, liveness, from } }), [])
  assert.deepEqual([stage.detector.livenessOf(peer), stage.detector.doubtAbout(peer)], ['alive', undefined])
})

test('a connection that is lost is a reason to look at once, and none to suspect', () => {
  const stage = new Stage(5, allAnswer)
  const [peer] = stage.others as [PeerId]
  const [action] = stage.feed({ kind: 'lost', peer })
  assert.ok(action?.kind === 'ping' && action.peer === peer)
  assert.equal(stage.count('liveness'), 0)
  stage.reply = () => {}
  for (let time = 0; time < 3; time++) stage.feed({ kind: 'lost', peer })
  assert.equal(stage.count('ping'), 2)
})

test('who cannot be reached for certain is suspected as soon as the helpers have said so', () => {
  const stage = new Stage(5, () => {})
  const [peer] = stage.others as [PeerId]
  stage.reply = (action) => {
    if (action.kind === 'ping') stage.feed({ kind: 'unreachable', probe: action.probe })
    if (action.kind === 'ask')
      for (const _ of action.helpers) stage.feed({ kind: 'helped', probe: action.probe, reached: false })
  }
  stage.feed({ kind: 'lost', peer })
  assert.equal(stage.detector.livenessOf(peer), 'suspect')
})

test('a suspicion shrinks with every accuser, and grows with the cluster', () => {
  const lasts = (accusers: number, members: number) =>
    suspicionMs(
      {
        startMs: 0,
        accusers: new Set(Array.from({ length: accusers }, (_, at) => String(at) as PeerId)),
        wanted: confirmationsWanted(members),
      },
      members,
    )
  assert.equal(lasts(1, 2), times.suspicionMinMs)
  assert.equal(lasts(1, 5), times.suspicionMostMs)
  assert.ok(lasts(2, 5) < lasts(1, 5) && lasts(3, 5) < lasts(2, 5))
  assert.ok(Math.abs(lasts(1 + limits.confirmationsMax, 5) - times.suspicionMinMs) < 1)
  assert.ok(lasts(4, 1_000) > 2.5 * lasts(4, 10))
})

test('who slept probes nobody until all were met again, and old doubts begin anew', () => {
  const stage = new Stage(5, allAnswer)
  const [peer, from] = stage.others as [PeerId, PeerId]
  stage.runFor(3_000)
  stage.feed({ kind: 'opinion', opinion: { peer, incarnation: 1, liveness: 'suspect', from } })
  // It falls asleep while probes are out.
  stage.reply = () => {}
  stage.nowMs = stage.detector.dueMs
  assert.ok(stage.feed({ kind: 'tick', wallMs: stage.nowMs }).some(({ kind }) => kind === 'ping'))
  stage.nowMs += 3_600_000
  const before = stage.count('ping')
  assert.deepEqual(
    stage.feed({ kind: 'tick', wallMs: stage.nowMs }).map(({ kind }) => kind),
    ['redial'],
  )
  stage.runFor(times.wakeMs / 2)
  stage.feed({ kind: 'opinion', opinion: { peer: from, incarnation: 1, liveness: 'dead', from: peer } })
  assert.equal(stage.count('ping'), before)
  assert.equal(stage.detector.livenessOf(peer), 'suspect')
  assert.equal(stage.detector.livenessOf(from), 'alive')
  stage.feed({ kind: 'redialed' })
  stage.runFor(times.probeDirectMs - 100)
  assert.equal(stage.count('ask'), 0)
  stage.runFor(times.suspicionMinMs - times.probeDirectMs)
  assert.equal(stage.detector.livenessOf(peer), 'suspect')
  assert.ok(stage.count('ping') > before)
})
