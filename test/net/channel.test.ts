// Channels over real sockets: nothing lost, nobody overrun, and no broken stream that looks like a clean end.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import type { Channel } from '../../src/core/ports.ts'
import type { Host } from '../../src/net/host.ts'
import { settled } from '../twins/until.ts'
import { addressOf, testHost } from './hosts.ts'
import { wireTo } from './wire.ts'

const MiB = 1 << 20
let here: Host
let there: Host

before(async () => {
  here = await testHost()
  there = await testHost()
  await here.network.connect(addressOf(there))
})

after(async () => {
  await here[Symbol.asyncDispose]()
  await there[Symbol.asyncDispose]()
})

/** Both ends of a new stream: ours, and the one that the other host was handed. */
async function pair(name: string): Promise<{ ours: Channel; theirs: Channel }> {
  const arrived = Promise.withResolvers<Channel>()
  const stop = await there.network.handle(`/test/${name}`, { streamsMax: 8 }, async (channel) =>
    arrived.resolve(channel),
  )
  const ours = await here.network.open(there.network.self, [`/test/${name}`])
  const theirs = await arrived.promise
  await stop()
  return { ours, theirs }
}

async function readAll(channel: Channel): Promise<number> {
  let bytes = 0
  for (let pieces = await channel.read(); pieces; pieces = await channel.read())
    for (const piece of pieces) bytes += piece.byteLength
  return bytes
}

/** Bytes that say where they are, so that a loss or a swap shows. */
function numbered(from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at + 4 <= length; at += 4) view.setUint32(at, from + at)
  return bytes
}

test('what is written arrives whole and in order, and comes back', async () => {
  const { ours, theirs } = await pair('echo')
  const echo = (async () => {
    for (let pieces = await theirs.read(); pieces; pieces = await theirs.read()) await theirs.write(pieces)
    await theirs.close()
  })()
  const sent = numbered(0, 6 * MiB)
  const writing = (async () => {
    for (let at = 0; at < sent.byteLength; at += 100_000)
      await ours.write([sent.subarray(at, at + 10), sent.subarray(at + 10, Math.min(at + 100_000, sent.byteLength))])
    await ours.close()
  })()
  const received: Uint8Array[] = []
  for (let pieces = await ours.read(); pieces; pieces = await ours.read()) received.push(...pieces)
  await Promise.all([writing, echo])
  assert.equal(Buffer.compare(Buffer.concat(received), sent), 0)
  assert.equal(await ours.read(), undefined, 'the end stays the end')
})

test('bytes that come before anybody reads are kept', async () => {
  const arrived = Promise.withResolvers<Channel>()
  await there.network.handle('/test/early', { streamsMax: 8 }, async (channel) => arrived.resolve(channel))
  const ours = await here.network.open(there.network.self, ['/test/early'])
  await ours.write([numbered(0, 1000)])
  await ours.close()
  const theirs = await arrived.promise
  assert.equal(await readAll(theirs), 1000)
  await theirs.close()
})

test('a reader that stalls holds the writer back, and loses nothing when it goes on', async () => {
  const { ours, theirs } = await pair('stalled')
  const total = 48 * MiB
  let written = 0
  const writing = (async () => {
    for (; written < total; written += 65_536) await ours.write([numbered(written, 65_536)])
    await ours.close()
  })()
  let at = 0
  let wrong = 0
  const check = (pieces: Uint8Array[]) => {
    const bytes = Buffer.concat(pieces)
    // Pieces need not be cut at multiples of four.
    for (let index = (4 - (at % 4)) % 4; index + 4 <= bytes.byteLength; index += 4)
      if (bytes.readUInt32BE(index) !== at + index) wrong++
    at += bytes.byteLength
  }
  for (let round = 0; round < 4; round++) {
    const stalledAt = await settled('the writer', () => written)
    assert.ok(stalledAt - at < 12 * MiB, `${stalledAt - at} bytes went out to a reader that does not read`)
    check((await theirs.read())!)
  }
  for (let pieces = await theirs.read(); pieces; pieces = await theirs.read()) check(pieces)
  await writing
  assert.equal(at, total)
  assert.equal(wrong, 0)
  await theirs.close()
})

test('both sides stall each other without a deadlock of one that reads', async () => {
  const { ours, theirs } = await pair('both')
  const total = 16 * MiB
  const send = async (channel: Channel) => {
    for (let at = 0; at < total; at += 262_144) await channel.write([new Uint8Array(262_144)])
    await channel.close()
  }
  const [, , hereGot, thereGot] = await Promise.all([send(ours), send(theirs), readAll(ours), readAll(theirs)])
  assert.deepEqual([hereGot, thereGot], [total, total])
})

test('writes of many callers at once are not mixed', async () => {
  const { ours, theirs } = await pair('turns')
  const writers = Array.from({ length: 40 }, (_, index) => {
    const piece = new Uint8Array(300_000).fill(index)
    return ours.write([piece.subarray(0, 1), piece.subarray(1)])
  })
  const done = Promise.all(writers).then(() => ours.close())
  const received: Uint8Array[] = []
  for (let pieces = await theirs.read(); pieces; pieces = await theirs.read()) received.push(...pieces)
  await done
  const bytes = Buffer.concat(received)
  for (let index = 0; index < 40; index++)
    assert.ok(bytes.subarray(index * 300_000, (index + 1) * 300_000).every((byte) => byte === index))
  await theirs.close()
})

test('abort rejects what waits at both ends with a reason', async () => {
  const { ours, theirs } = await pair('abort')
  const writing = (async () => {
    for (;;) await ours.write([new Uint8Array(MiB)])
  })()
  const reading = ours.read()
  ours.abort(new Error('changed my mind'))
  await assert.rejects(writing, /changed my mind/)
  await assert.rejects(reading, /changed my mind/)
  await assert.rejects(ours.write([new Uint8Array(1)]), /changed my mind/)
  await assert.rejects(readAll(theirs), { code: 'STREAM_BROKEN' })
})

test('a signal ends a wait and leaves the channel usable', async () => {
  const { ours, theirs } = await pair('signal')
  const controller = new AbortController()
  const reading = ours.read({ signal: controller.signal })
  controller.abort(new Error('no patience'))
  await assert.rejects(reading, /no patience/)
  await theirs.write([new Uint8Array(3)])
  assert.equal((await ours.read())?.[0]?.byteLength, 3)

  const stalled = new AbortController()
  let written = 0
  const writing = (async () => {
    for (; written < 64 * MiB; written += MiB) await ours.write([new Uint8Array(MiB)], { signal: stalled.signal })
  })()
  await settled('the writer', () => written)
  stalled.abort(new Error('no patience'))
  await assert.rejects(writing, /no patience/)
  const [got] = await Promise.all([readAll(theirs), ours.close()])
  assert.equal(got, written)
  await theirs.close()
})

test('a handler that throws breaks its stream, and nothing else', async () => {
  await there.network.handle('/test/throws', { streamsMax: 8 }, async () => {
    throw new Error('a bug')
  })
  const ours = await here.network.open(there.network.self, ['/test/throws'])
  await assert.rejects(readAll(ours), { code: 'STREAM_BROKEN' })
  assert.equal(there.network.connected().length, 1)
})

test('a connection that goes away in the middle is no clean end', async () => {
  await using guest = await testHost()
  await using wire = await wireTo(there)
  const arrived = Promise.withResolvers<Channel>()
  await there.network.handle('/test/gone', { streamsMax: 8 }, async (channel) => arrived.resolve(channel))
  const ours = await guest.network.open(await guest.network.connect(wire.address), ['/test/gone'])
  await ours.write([new Uint8Array(10)])
  const theirs = await arrived.promise
  assert.equal((await theirs.read())?.[0]?.byteLength, 10)
  wire.cut()
  await assert.rejects(readAll(theirs), { code: 'STREAM_BROKEN', retryable: true })
  await assert.rejects(readAll(ours), { code: 'STREAM_BROKEN', retryable: true })
})
