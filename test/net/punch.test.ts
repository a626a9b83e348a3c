// Both sides of punching a hole, with time in hand: when each dials and as what, and that nothing waits for ever.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { abortable } from '../../src/base/abort.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { Channel } from '../../src/core/ports.ts'
import { times } from '../../src/core/times.ts'
import { answerPunch, type PunchSide, type PunchStarter, punchProtocol, startPunch } from '../../src/net/punch.ts'
import { decodePunch, encodePunch } from '../../src/net/punch-message.ts'
import { VirtualClock } from '../twins/clock.ts'
import { channelPair } from '../twins/memory-network.ts'

const here = multiaddr('/ip4/203.0.113.1/tcp/50001')
const there = multiaddr('/ip4/203.0.113.2/tcp/50002')
const oneWayMs = 40

type Dial = { atMs: number; to: string; role: string }

/** Two sides with a relay between them that takes its time. `holes`: at which dial of both a hole is there; 0 for never. */
function scene({ holes, plainly = false }: { holes: number; plainly?: boolean }) {
  const clock = new VirtualClock()
  const dials: Record<'starter' | 'asked', Dial[]> = { starter: [], asked: [] }
  const answers: Promise<void>[] = []
  const side = (name: 'starter' | 'asked', own: Multiaddr): PunchSide => ({
    seenAt: () => [own],
    plausible: (addresses) => addresses,
    dial: async (addresses, role, signal) => {
      dials[name].push({ atMs: clock.monotonicMs(), to: addresses.join(), role })
      if (dials[name].length !== holes) await abortable(new Promise(() => {}), signal)
    },
  })
  const late = (channel: Channel): Channel => ({
    peer: channel.peer,
    protocol: channel.protocol,
    read: (options) => channel.read(options),
    close: async () => void clock.timer(oneWayMs, () => void channel.close()),
    abort: (reason) => channel.abort(reason),
    write: async (pieces) => void clock.timer(oneWayMs, () => void channel.write(pieces).catch(() => {})),
  })
  const starter: PunchStarter = {
    ...side('starter', here),
    dialPlainly: async () => plainly,
    open: async () => {
      const [mine, theirs] = channelPair('A' as PeerId, 'B' as PeerId, punchProtocol)
      answers.push(answerPunch({ clock, side: side('asked', there) }, late(theirs)).catch(() => {}))
      return late(mine)
    },
  }
  return { clock, dials, starter, answers }
}

test('both dial at the same moment, and the one that was called is the server', async () => {
  const { clock, dials, starter } = scene({ holes: 1 })
  const punched = await clock.until(startPunch({ clock, side: starter }))
  assert.deepEqual(punched, { way: 'punched', tries: 1 })
  // CONNECT there and back, then SYNC there.
  const atMs = 3 * oneWayMs
  assert.deepEqual(dials.starter, [{ atMs, to: String(there), role: 'server' }])
  assert.deepEqual(dials.asked, [{ atMs, to: String(here), role: 'client' }])
  await clock.advance(times.punchTalkMs + times.punchDialMs)
  assert.equal(clock.pendingTimers, 0)
})

test('it is tried three times, each measured anew, and then given up', async () => {
  const { clock, dials, starter, answers } = scene({ holes: 0 })
  const failed = assert.rejects(startPunch({ clock, side: starter }), { code: 'DIAL_FAILED', message: /took longer/ })
  await clock.until(failed)
  assert.equal(dials.starter.length, limits.punchTries)
  assert.deepEqual(
    dials.starter.map(({ atMs }) => atMs),
    dials.asked.map(({ atMs }) => atMs),
  )
  await clock.until(Promise.all(answers))
  assert.equal(clock.pendingTimers, 0)
})

test('the second try succeeds where the first did not', async () => {
  const { clock, starter } = scene({ holes: 2 })
  assert.deepEqual(await clock.until(startPunch({ clock, side: starter })), { way: 'punched', tries: 2 })
})

test('who can be dialed plainly is not asked', async () => {
  const { clock, dials, starter } = scene({ holes: 0, plainly: true })
  assert.deepEqual(await clock.until(startPunch({ clock, side: starter })), { way: 'plain' })
  assert.deepEqual(dials, { starter: [], asked: [] })
})

test('a plain dial that hangs is given up for a hole', async () => {
  const { clock, starter } = scene({ holes: 1 })
  const side = { ...starter, dialPlainly: (signal: AbortSignal) => abortable(new Promise<never>(() => {}), signal) }
  assert.deepEqual(await clock.until(startPunch({ clock, side })), { way: 'punched', tries: 1 })
  assert.equal(clock.monotonicMs(), times.punchPlainMs + 3 * oneWayMs)
})

test('it ends with its signal, wherever it is', async () => {
  for (const afterMs of [0, oneWayMs, 3 * oneWayMs, 3 * oneWayMs + 1]) {
    const { clock, starter } = scene({ holes: 0 })
    const controller = new AbortController()
    const failed = assert.rejects(startPunch({ clock, side: starter }, controller), /enough/)
    await clock.advance(afterMs)
    controller.abort(new Error('enough'))
    await clock.until(failed, 1)
  }
})

/** What the asked side does with these bytes, and then silence or the end. */
async function asked(bytes: Uint8Array[], { ends }: { ends: boolean }) {
  const clock = new VirtualClock()
  const [mine, theirs] = channelPair('A' as PeerId, 'B' as PeerId, punchProtocol)
  let dialed = false
  const side: PunchSide = {
    seenAt: () => [there],
    plausible: (addresses) => addresses,
    dial: async () => {
      dialed = true
    },
  }
  const answer = answerPunch({ clock, side }, theirs)
  answer.catch(() => {})
  for (const each of bytes) await mine.write([each])
  if (ends) await mine.close()
  const code = await clock.until(
    answer.then(
      () => 'dialed',
      (error) => error.code as string,
    ),
  )
  assert.equal(dialed, code === 'dialed')
  return { code, mine, clock }
}

test('the asked side dials after CONNECT and SYNC only, and nobody makes it wait for long', async () => {
  const connect = encodePunch({ type: 'connect', addresses: [here] })
  const sync = encodePunch({ type: 'sync' })
  const ended = await asked([connect, sync], { ends: true })
  assert.equal(ended.code, 'dialed')
  const [answer] = (await ended.mine.read()) ?? []
  assert.deepEqual(decodePunch(answer!.subarray(1)), { type: 'connect', addresses: [there] })
  const cases: [Uint8Array[], boolean, string][] = [
    [[], false, 'TIMED_OUT'],
    [[], true, 'STREAM_BROKEN'],
    [[sync], false, 'STREAM_BROKEN'],
    [[connect], false, 'TIMED_OUT'],
    [[connect], true, 'STREAM_BROKEN'],
    [[connect, connect], false, 'STREAM_BROKEN'],
    [[encodePunch({ type: 'connect', addresses: [] })], false, 'DIAL_FAILED'],
    [[Uint8Array.of(0x81, 0x80, 0x01)], false, 'FRAME_TOO_LARGE'],
    [[Uint8Array.of(2, 0x08)], true, 'TRUNCATED'],
  ]
  for (const [bytes, ends, code] of cases) assert.equal((await asked(bytes, { ends })).code, code)
})
