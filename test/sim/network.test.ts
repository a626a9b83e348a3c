// The twins of network and gossip: that streams behave as TCP does, and that partitions, crashes and sleep have the effects
// that programs must live with.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import type { Channel } from '../../src/core/ports.ts'
import { Cluster, type MachinePorts, type SimulatedPeer } from '../../src/sim/cluster.ts'

interface Bare extends AsyncDisposable {
  ports: MachinePorts
}

type Peer = SimulatedPeer<Bare>

const echo = '/echo/1'

async function two(options: { loss?: number; seed?: number; zones?: number } = {}) {
  const start = async (ports: MachinePorts): Promise<Bare> => {
    await ports.network.handle(echo, { streamsMax: 10 }, async (channel) => {
      for (let pieces = await channel.read(); pieces; pieces = await channel.read()) await channel.write(pieces)
      await channel.close()
    })
    return { ports, [Symbol.asyncDispose]: async () => {} }
  }
  const cluster = new Cluster<Bare>({ start, log: () => silentLog }, { seed: 1, zones: 2, ...options })
  const a = cluster.add()
  await cluster.startAll([a])
  const b = cluster.add()
  await cluster.startAll([b])
  return { cluster, a, b, time: cluster.time }
}

const networkOf = (peer: Peer) => peer.run!.network
const addressOf = (peer: Peer) => `${peer.machine.address}/p2p/${peer.peer}`

async function readAll(channel: Channel): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for (let read = await channel.read(); read; read = await channel.read()) pieces.push(...read)
  return Buffer.concat(pieces)
}

for (const loss of [0, 0.3]) {
  test(`a stream gives back what was written, in order, with ${loss * 100} % loss`, async () => {
    const { a, b, time } = await two({ loss })
    const done = (async () => {
      const channel = await networkOf(b).open({ peer: a.peer, addresses: [a.machine.address] }, ['/other', echo])
      assert.equal(channel.protocol, echo)
      const answer = readAll(channel)
      for (let index = 0; index < 200; index++) await channel.write([Buffer.from(`${index},`), Buffer.from(' ')])
      await channel.close()
      return (await answer).toString()
    })()
    const text = await time.until(done, 600_000)
    assert.equal(text, Array.from({ length: 200 }, (_, index) => `${index}, `).join(''))
    assert.deepEqual(
      networkOf(a)
        .connected()
        .map(({ peer, direction }) => [peer, direction]),
      [[b.peer, 'in']],
    )
  })
}

test('a writer waits for a reader that does not read', async () => {
  const { a, b, time } = await two()
  let taken: Channel | undefined
  await networkOf(a).handle('/slow', { streamsMax: 1 }, async (channel) => {
    taken = channel
    await new Promise(() => {})
  })
  let written = 0
  void (async () => {
    await networkOf(b).connect(addressOf(a))
    const channel = await networkOf(b).open(a.peer, ['/slow'])
    for (; written < 100; written++) await channel.write([new Uint8Array(64 * 1024)])
  })()
  await time.run(10_000)
  assert.ok(written < 10, `${written} of 100`)
  const total = time.until(
    (async () => {
      let bytes = 0
      while (bytes < 100 * 64 * 1024) for (const piece of (await taken!.read())!) bytes += piece.byteLength
      return bytes
    })(),
    60_000,
  )
  assert.equal(await total, 100 * 64 * 1024)
})

test('what a peer does not speak, who is not there and where another lives', async () => {
  const { a, b, time, cluster } = await two()
  const failure = async (work: Promise<unknown>) =>
    codeOf(
      await time.until(
        work.then(
          () => undefined,
          (error: unknown) => error,
        ),
        60_000,
      ),
    )
  assert.equal(await failure(networkOf(b).open(a.peer, [echo])), 'DIAL_FAILED')
  assert.equal(await failure(networkOf(b).connect(`${a.machine.address}/p2p/${b.peer}`)), 'DIAL_FAILED')
  assert.equal(await failure(networkOf(b).connect(addressOf(a))), undefined)
  assert.equal(await failure(networkOf(b).open(a.peer, ['/other'])), 'PROTOCOL_UNSUPPORTED')
  assert.equal(await failure(networkOf(b).open(a.peer, [echo])), undefined)
  cluster.crash(a, { power: true })
  await time.run(60_000)
  const beforeMs = time.nowMs
  assert.equal(await failure(networkOf(b).open(a.peer, [echo])), 'DIAL_FAILED')
  assert.ok(time.nowMs - beforeMs > 1_000, 'a machine without power does not even refuse')
})

test('streams break: at once when a program is killed, in their own time when a machine loses power', async () => {
  for (const power of [false, true]) {
    const { a, b, time, cluster } = await two()
    const events: boolean[] = []
    networkOf(b).onPeer(({ connected }) => events.push(connected))
    const channel = await time.until(
      (async () => {
        await networkOf(b).connect(addressOf(a))
        return await networkOf(b).open(a.peer, [echo])
      })(),
      10_000,
    )
    const startMs = time.nowMs
    const broke = channel.read().then(() => assert.fail('it read on'), codeOf)
    cluster.crash(a, { power })
    assert.equal(await time.until(broke, 60_000), 'STREAM_BROKEN')
    assert.equal(time.nowMs - startMs > 5_000, power)
    assert.deepEqual(events, [true, false])
  }
})

test('a cut stalls a stream; healed in time it goes on, else it breaks at both ends', async () => {
  for (const { cutMs, oneWay } of [
    { cutMs: 3_000, oneWay: false },
    { cutMs: 3_000, oneWay: true },
    { cutMs: 60_000, oneWay: true },
  ]) {
    const { a, b, time, cluster } = await two()
    const channel = await time.until(
      networkOf(b)
        .connect(addressOf(a))
        .then(() => networkOf(b).open(a.peer, [echo])),
      10_000,
    )
    cluster.partition([b], { oneWay })
    const answer = (async () => {
      await channel.write([Buffer.from('hello')])
      // It may come in two parts.
      let text = ''
      while (text.length < 5) text += Buffer.concat((await channel.read())!).toString()
      return text
    })().catch(codeOf)
    await time.run(cutMs)
    cluster.healAll()
    assert.equal(await time.until(answer, 60_000), cutMs > 30_000 ? 'STREAM_BROKEN' : 'hello')
    assert.equal(networkOf(a).connected().length, cutMs > 30_000 ? 0 : 1)
  }
})

test('a machine that slept long finds its connections gone; one that napped does not', async () => {
  for (const sleepMs of [3_000, 90_000]) {
    const { a, b, time, cluster } = await two()
    await time.until(networkOf(b).connect(addressOf(a)), 10_000)
    cluster.sleep(b)
    await time.run(sleepMs)
    assert.equal(networkOf(a).connected().length, sleepMs > 30_000 ? 0 : 1)
    cluster.wake(b)
    await time.run(30_000)
    assert.equal(networkOf(b).connected().length, sleepMs > 30_000 ? 0 : 1)
  }
})

test('gossip reaches those that lines lead to, sometimes late or twice, and nobody else', async () => {
  const { a, b, time, cluster } = await two({ seed: 3 })
  const c = cluster.add()
  await cluster.startAll([c])
  const heard: string[] = []
  const portsOf = (peer: Peer) => peer.run!.program!.ports
  portsOf(c).broadcast.subscribe('news', ({ from, bytes }) =>
    heard.push(`${cluster.nameOf(from)} ${Buffer.from(bytes).toString()}`),
  )
  assert.equal(await portsOf(a).broadcast.publish('news', Buffer.from('too early')), 0)
  await time.until(Promise.all([networkOf(b).connect(addressOf(a)), networkOf(c).connect(addressOf(b))]), 10_000)
  for (let index = 0; index < 50; index++) await portsOf(a).broadcast.publish('news', Buffer.from(`${index}`))
  await time.run(10_000)
  assert.equal(new Set(heard).size, 50)
  assert.ok(heard.length > 50, 'some come twice')
  assert.notDeepEqual(heard, [...heard].sort(byNumber), 'some overtake others')
  cluster.partition([c])
  assert.equal(await portsOf(a).broadcast.publish('news', Buffer.from('cut')), 0)
})

function byNumber(a: string, b: string): number {
  return Number(a.split(' ')[1]) - Number(b.split(' ')[1])
}
