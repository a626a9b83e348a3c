// Calls over streams in memory, under a clock that stands still: what is promised about order, deadlines, refusals, limits
// and broken streams, and that any bytes at all do no harm.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { CodedError, codeOf } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import { type CallFrame, encodeFrames, FrameCutter } from '../../src/core/call-frames.ts'
import { openCalls } from '../../src/core/calls.ts'
import { limits } from '../../src/core/limits.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { AnswerCall, Calls } from '../../src/core/ports.ts'
import { times } from '../../src/core/times.ts'
import { VirtualClock } from '../twins/clock.ts'
import { MemoryNetwork } from '../twins/memory-network.ts'

const protocol = '/test/calls'
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (from: Uint8Array) => new TextDecoder().decode(from)
const echo: AnswerCall = async (request) => request

async function pair({ a: answerA = echo, b: answerB = echo }: { a?: AnswerCall; b?: AnswerCall } = {}) {
  const clock = new VirtualClock()
  const peers = new Map<PeerId, MemoryNetwork>()
  const [netA, netB] = [new MemoryNetwork(peers, 'a'), new MemoryNetwork(peers, 'b')]
  const open = (network: MemoryNetwork, answer: AnswerCall) =>
    openCalls({ network, clock, log: silentLog }, { protocol, answer })
  const [a, b] = [await open(netA, answerA), await open(netB, answerB)]
  const close = async () => {
    await a[Symbol.asyncDispose]()
    await b[Symbol.asyncDispose]()
    assert.equal(clock.pendingTimers, 0, 'no timer is left')
  }
  return { clock, a, b, netA, netB, toB: netB.self, toA: netA.self, [Symbol.asyncDispose]: close }
}

test('an answer finds its request, whatever the order, over one stream', async () => {
  const waits = new Map<string, () => void>()
  await using peers = await pair({
    b: (request) => new Promise((resolve) => waits.set(text(request), () => resolve(bytes(`re ${text(request)}`)))),
  })
  const asked = ['one', 'two', 'three'].map((word) => peers.a.call(peers.toB, bytes(word)))
  await peers.clock.settle()
  for (const word of ['three', 'one', 'two']) waits.get(word)?.()
  assert.deepEqual((await Promise.all(asked)).map(text), ['re one', 're two', 're three'])
  assert.equal(peers.netA.opened.length, 1)
})

test('many requests of one tick leave in one write, and so do their answers', async () => {
  await using peers = await pair()
  await peers.a.call(peers.toB, bytes('open'))
  const [ours] = peers.netA.opened
  const before = [ours!.writes, ours!.other.writes]
  const rounds = async () => {
    for (let round = 0; round < 10; round++) await peers.a.call(peers.toB, new Uint8Array(100))
  }
  await Promise.all(Array.from({ length: 64 }, rounds))
  assert.deepEqual([ours!.writes - before[0]!, ours!.other.writes - before[1]!], [10, 10])
})

test('two peers that call each other from within their answers do not wait for ever', async () => {
  const nested =
    (via: () => Calls, to: () => PeerId): AnswerCall =>
    async (request) => {
      const depth = request[0]!
      return depth === 0 ? bytes('end') : await via().call(to(), Uint8Array.of(depth - 1))
    }
  await using peers = await pair({
    a: nested(
      () => peers.a,
      () => peers.toB,
    ),
    b: nested(
      () => peers.b,
      () => peers.toA,
    ),
  })
  const both = Array.from({ length: 100 }, (_, index) =>
    index % 2 === 0 ? peers.a.call(peers.toB, Uint8Array.of(5)) : peers.b.call(peers.toA, Uint8Array.of(5)),
  )
  assert.deepEqual(new Set((await peers.clock.until(Promise.all(both))).map(text)), new Set(['end']))
})

test('what a handler throws reaches the caller as a sentence and a code; a bug tells nothing', async () => {
  class Grumpy extends CodedError<'GRUMPY'> {}
  await using peers = await pair({
    b: async (request) => {
      if (text(request) === 'bug') throw new Error('a secret path')
      throw new Grumpy('GRUMPY', 'not today', { retryable: text(request) === 'again' })
    },
  })
  const refusal = async (word: string) => {
    const error: unknown = await peers.a.call(peers.toB, bytes(word)).catch((reason: unknown) => reason)
    assert.ok(error instanceof CodedError)
    return [error.code, error.message, error.retryable, codeOf(error.cause)]
  }
  assert.deepEqual(await refusal('x'), ['CALL_REFUSED', 'not today', false, 'GRUMPY'])
  assert.deepEqual(await refusal('again'), ['CALL_REFUSED', 'not today', true, 'GRUMPY'])
  const [code, sentence] = await refusal('bug')
  assert.equal(code, 'CALL_REFUSED')
  assert.doesNotMatch(String(sentence), /secret/)
})

test('each call ends at its own deadline, with one timer for all, and a late answer is ignored', async () => {
  const answers: (() => void)[] = []
  await using peers = await pair({ b: (request) => new Promise((resolve) => answers.push(() => resolve(request))) })
  const startMs = peers.clock.monotonicMs()
  const ended: [number, number][] = []
  const asked = [300, 100, 5000, 200, 100].map(async (timeoutMs) => {
    await assert.rejects(peers.a.call(peers.toB, bytes('x'), { timeoutMs }), { code: 'TIMED_OUT' })
    ended.push([timeoutMs, peers.clock.monotonicMs() - startMs])
  })
  await peers.clock.settle()
  assert.equal(peers.clock.pendingTimers, 1)
  await peers.clock.until(Promise.all(asked))
  assert.deepEqual(
    ended,
    [100, 100, 200, 300, 5000].map((ms) => [ms, ms]),
  )
  for (const answer of answers) answer()
  const again = peers.a.call(peers.toB, bytes('y'))
  await peers.clock.settle()
  answers.at(-1)?.()
  assert.equal(text(await again), 'y')
})

test('a signal ends a call and leaves nothing on the signal', async () => {
  await using peers = await pair({ b: () => new Promise(() => {}) })
  // It never answers, so closing has to give up on it.
  const controller = new AbortController()
  const asked = peers.a.call(peers.toB, bytes('x'), { signal: controller.signal })
  controller.abort(new Error('no patience'))
  await assert.rejects(asked, /no patience/)
  await assert.rejects(peers.a.call(peers.toB, bytes('x'), { signal: controller.signal }), /no patience/)
  await peers.clock.until(Promise.resolve(peers.b[Symbol.asyncDispose]()))
})

test('a broken stream fails what is on it in a way that may be tried again; the next call opens another', async () => {
  let stuck = true
  await using peers = await pair({ b: (request) => (stuck ? new Promise(() => {}) : Promise.resolve(request)) })
  const asked = [1, 2, 3].map((n) =>
    assert.rejects(peers.a.call(peers.toB, Uint8Array.of(n)), { code: 'STREAM_BROKEN', retryable: true }),
  )
  await peers.clock.settle()
  peers.netA.opened[0]!.other.abort(new Error('cable pulled'))
  await Promise.all(asked)
  stuck = false
  assert.deepEqual(await peers.a.call(peers.toB, Uint8Array.of(4)), Uint8Array.of(4))
  assert.equal(peers.netA.opened.length, 2)
  await peers.clock.until(Promise.resolve(peers.b[Symbol.asyncDispose]()))
})

test('a peer that cannot be reached fails all that wait for it, and opening has a limit', async () => {
  await using peers = await pair()
  const nobody = 'nobody' as PeerId
  for (const asked of [peers.a.call(nobody, bytes('x')), peers.a.call(nobody, bytes('y'))])
    await assert.rejects(asked, /cannot be reached/)
  peers.netA.holdOpen = new Promise(() => {})
  const short = assert.rejects(peers.a.call(peers.toB, bytes('x'), { timeoutMs: 100 }), { code: 'TIMED_OUT' })
  const long = assert.rejects(peers.a.call(peers.toB, bytes('x'), { timeoutMs: times.dialMs * 2 }), /opening a stream/)
  await peers.clock.until(short)
  await peers.clock.until(long)
  peers.netA.holdOpen = undefined
  assert.equal(text(await peers.a.call(peers.toB, bytes('x'))), 'x')
})

test('a stream that is silent for too long is dropped for a new one', async () => {
  await using peers = await pair()
  await peers.a.call(peers.toB, bytes('x'))
  peers.netA.opened[0]!.hold = new Promise(() => {})
  for (let spentMs = 0; spentMs < times.stallMs; spentMs += 1000)
    await peers.clock.until(
      assert.rejects(peers.a.call(peers.toB, bytes('x'), { timeoutMs: 1000 }), { code: /TIMED_OUT|STREAM_BROKEN/ }),
    )
  assert.equal(text(await peers.clock.until(peers.a.call(peers.toB, bytes('back')))), 'back')
  assert.equal(peers.netA.opened.length, 2)
})

test('no more run at a time than allowed, and those that wait have a limit too', async () => {
  let running = 0
  let most = 0
  let release = () => {}
  const gate = new Promise<void>((resolve) => (release = resolve))
  await using peers = await pair({
    b: async (request) => {
      most = Math.max(most, ++running)
      await gate
      running--
      return request
    },
  })
  const count = limits.callsInFlightMax + limits.callsWaitingMax
  const asked: Promise<unknown>[] = [peers.a.call(peers.toB, bytes('x'))]
  await peers.clock.settle()
  for (let index = 0; index < count - 1; index++) asked.push(peers.a.call(peers.toB, bytes('x')))
  await peers.clock.settle()
  await assert.rejects(peers.a.call(peers.toB, bytes('x')), { code: 'CALLS_FULL', retryable: true })
  release()
  await Promise.all(asked)
  assert.equal(most, limits.callsInFlightMax)
})

test('answers that nobody takes stop the reading of requests', async () => {
  let answered = 0
  await using peers = await pair({
    b: async () => {
      answered++
      return new Uint8Array(limits.callBytesMax)
    },
  })
  await peers.a.call(peers.toB, bytes('x'))
  let release = () => {}
  const ours = peers.netA.opened[0]!
  ours.other.hold = new Promise((resolve) => (release = resolve))
  answered = 0
  const asked: Promise<Uint8Array>[] = []
  for (let index = 0; index < 20; index++) {
    asked.push(peers.a.call(peers.toB, bytes('x')))
    await peers.clock.settle()
  }
  assert.ok(answered <= limits.callAnswersBytesMax / limits.callBytesMax + 2, `${answered} answers wait in memory`)
  ours.other.hold = undefined
  release()
  for (const answer of await Promise.all(asked)) assert.equal(answer.byteLength, limits.callBytesMax)
})

test('a request or answer that is too large is refused where it is made', async () => {
  await using peers = await pair({ b: async () => new Uint8Array(limits.callBytesMax + 1) })
  await assert.rejects(peers.a.call(peers.toB, new Uint8Array(limits.callBytesMax + 1)), { code: 'FRAME_TOO_LARGE' })
  await assert.rejects(peers.a.call(peers.toB, bytes('x')), { code: 'CALL_REFUSED', message: /over the limit/ })
})

test('closing fails what is unanswered, tells running handlers, and refuses what comes after', async () => {
  let told = false
  await using peers = await pair({
    b: (_request, _from, { signal }) =>
      new Promise((_resolve, reject) =>
        signal?.addEventListener('abort', () => {
          told = true
          reject(signal.reason)
        }),
      ),
  })
  const asked = assert.rejects(peers.a.call(peers.toB, bytes('x')), { code: 'STREAM_BROKEN' })
  await peers.clock.settle()
  await peers.b[Symbol.asyncDispose]()
  await asked
  assert.ok(told)
  await peers.a[Symbol.asyncDispose]()
  await assert.rejects(peers.a.call(peers.toB, bytes('x')), { code: 'STREAM_BROKEN', message: /stops/ })
})

const frames = fc.array(
  fc.record({
    id: fc.oneof(fc.nat(300), fc.maxSafeNat()),
    kind: fc.constantFrom(0 as const, 1 as const, 2 as const),
    payload: fc.oneof(
      { weight: 9, arbitrary: fc.uint8Array({ maxLength: 300 }) },
      fc.constant(new Uint8Array(100_000)),
    ),
  }),
  { maxLength: 12 },
)

function cutAt(stream: Uint8Array, sizes: number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0, index = 0; at < stream.byteLength; index++) {
    const size = sizes[index % Math.max(1, sizes.length)] ?? stream.byteLength
    pieces.push(stream.subarray(at, at + size))
    at += size
  }
  return pieces
}

test('frames come back as they were, wherever the wire breaks them', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 2000 }), { maxLength: 8 }), (sent, sizes) => {
      const payloads = sent.reduce((sum, { payload }) => sum + payload.byteLength, 0)
      const stream = Buffer.concat(encodeFrames(sent, payloads))
      const cutter = new FrameCutter()
      const got: CallFrame[] = []
      for (const piece of cutAt(stream, sizes)) {
        cutter.push([piece])
        for (let frame = cutter.next(); frame; frame = cutter.next()) got.push(frame)
      }
      assert.equal(got.length, sent.length)
      got.forEach(({ id, kind, payload }, index) => {
        assert.deepEqual([id, kind], [sent[index]!.id, sent[index]!.kind])
        assert.equal(Buffer.compare(payload, sent[index]!.payload), 0)
      })
    }),
  )
})

test('any bytes give frames or STREAM_BROKEN', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (garbage) => {
      const cutter = new FrameCutter()
      try {
        cutter.push([garbage])
        while (cutter.next());
      } catch (error) {
        assert.equal(codeOf(error), 'STREAM_BROKEN')
      }
    }),
  )
})

test('garbage breaks the stream at both ends, and only that stream', async () => {
  await using peers = await pair()
  for (const garbage of [Uint8Array.of(2, 0, 9), Uint8Array.of(255, 255, 255, 127), Uint8Array.of(3, 7, 1, 0)]) {
    const served = await peers.netA.open(peers.toB, [protocol])
    await served.write([garbage])
    await assert.rejects(served.read(), { code: 'STREAM_BROKEN' })
    await peers.a.call(peers.toB, bytes('x'))
    const asking = peers.netA.opened.findLast((channel) => channel !== served)!
    await asking.other.write([garbage])
    await peers.clock.settle()
    await assert.rejects(asking.other.write([bytes('x')]), { code: 'STREAM_BROKEN' })
  }
  assert.equal(text(await peers.a.call(peers.toB, bytes('x'))), 'x')
})
