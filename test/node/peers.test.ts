// Peers in one process over real sockets: a fetch that takes from several, and what one that lies, rots, vanishes or lacks
// half of it costs.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { CID } from 'multiformats/cid'
import { codecs } from '../../src/core/block.ts'
import { Home } from '../../src/node/home.ts'
import type { LocalPeer } from '../../src/node/local-peer.ts'
import { openPeer } from '../../src/node/open.ts'
import { until } from '../twins/until.ts'

const directory = await mkdtemp(join(tmpdir(), 'potluck-peers-'))
after(() => rm(directory, { recursive: true, force: true }))
const film = randomBytes(24 << 20)
await writeFile(join(directory, 'film'), film)

const open = (name: string, { capacity = 100e9 } = {}) =>
  openPeer({
    home: new Home(join(directory, name)),
    online: true,
    doing: 'start',
    flags: { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false, capacity },
  })

/** `count` peers that have the film, and one that has not and is connected to them all. */
async function withCluster(
  name: string,
  count: number,
  work: (cid: string, holders: LocalPeer[], eve: LocalPeer) => Promise<void>,
) {
  const holders: LocalPeer[] = []
  // She holds nothing for others, so that she has to fetch.
  const eve = await open(`${name}-eve`, { capacity: 0 })
  try {
    const { line } = await eve.invite()
    let cid = ''
    for (let index = 0; index < count; index++) {
      const holder = await open(`${name}-${index}`)
      holders.push(holder)
      await holder.join(line)
      // Small blocks, so that there is something left to ask of whoever answers last.
      cid = (await holder.add(join(directory, 'film'), { profile: 'unixfs-v0-2015' })).cid
    }
    await until('all have met', async () => {
      for (const peer of [eve, ...holders]) if ((await aliveAt(peer)) !== count + 1) return false
      return true
    })
    await work(cid, holders, eve)
  } finally {
    for (const peer of [...holders, eve]) await peer[Symbol.asyncDispose]()
  }
}

async function aliveAt(peer: LocalPeer): Promise<number> {
  let alive = 0
  for await (const { liveness } of peer.members()) if (liveness === 'alive') alive++
  return alive
}

async function rot(name: string): Promise<void> {
  const blocks = join(directory, name, 'blocks')
  for (const shard of await readdir(blocks))
    for (const file of await readdir(join(blocks, shard))) {
      const path = join(blocks, shard, file)
      const bytes = await readFile(path)
      bytes[7]! ^= 0xff
      await writeFile(path, bytes)
    }
}

const signal = () => AbortSignal.timeout(60_000)

test('several holders contribute, and what is written is what was added', () =>
  withCluster('three', 3, async (cid, holders, eve) => {
    const output = join(directory, 'three-output')
    const got = await eve.get(cid, { output, signal: signal() })
    // On a busy machine the last one to answer may find that nothing is left to ask of it.
    const sources = Object.keys(got.sources)
    const ids = holders.map((peer) => peer.identity().peerId as string)
    assert.ok(sources.length >= 2 && sources.every((source) => ids.includes(source)), sources.join())
    assert.deepEqual(await readFile(output), film)
    assert.ok(eve.settings.mdns === false)
  }))

test('a holder whose disk rotted is found out, and the others bring the rest', () =>
  withCluster('rot', 2, async (cid, _holders, eve) => {
    await rot('rot-0')
    const output = join(directory, 'rot-output')
    await eve.get(cid, { output, signal: signal() })
    assert.deepEqual(await readFile(output), film)
    assert.deepEqual((await eve.verify()).problems, [])
  }))

test('a holder that vanishes in the middle costs only its share', () =>
  withCluster('vanish', 2, async (cid, [first], eve) => {
    const output = join(directory, 'vanish-output')
    let closing: Promise<void> | undefined
    await eve.get(cid, {
      output,
      signal: signal(),
      onProgress: ({ phase, done }) => {
        if (phase === 'fetching' && done > 4 << 20) closing ??= first?.[Symbol.asyncDispose]()
      },
    })
    assert.ok(closing)
    await closing
    assert.deepEqual(await readFile(output), film)
  }))

test('a fetch that was stopped goes on where it was', () =>
  withCluster('resume', 1, async (cid, [holder], eve) => {
    const stop = new AbortController()
    const stopped = eve.pinAdd(cid, {
      signal: stop.signal,
      onProgress: ({ phase, done }) => phase === 'fetching' && done > 8 << 20 && stop.abort(new Error('enough')),
    })
    await assert.rejects(stopped, /enough/)
    const before = eve.identity().peerId
    const got = await eve.get(cid, { output: join(directory, 'resume-output'), signal: signal() })
    const fetched = got.sources[holder?.identity().peerId ?? ''] ?? 0
    assert.ok(fetched > 0 && fetched < film.byteLength - (4 << 20), `${fetched} bytes were fetched again`)
    assert.equal(eve.identity().peerId, before)
  }))

test('a range of a remote file brings only the blocks that it needs', () =>
  withCluster('range', 1, async (cid, _holders, eve) => {
    const bytes = Buffer.concat(
      await Array.fromAsync(eve.cat(cid, { offset: 10_000_000, length: 100, signal: signal() })),
    )
    assert.deepEqual(bytes, film.subarray(10_000_000, 10_000_100))
    const status = await eve.status()
    assert.ok('store' in status && status.store.bytes < 4 << 20)
  }))

test('a deadline ends a search for what nobody has', () =>
  withCluster('nobody', 1, async (_cid, _holders, eve) => {
    const nobody = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
    await assert.rejects(eve.pinAdd(nobody, { signal: AbortSignal.timeout(1_500) }), { name: 'TimeoutError' })
    const found = await Array.fromAsync(eve.find(nobody, { signal: signal() }))
    assert.deepEqual(found, [])
  }))

test('a copy that nobody else can hold stays here, whatever is asked', async () => {
  await using peer = await open('alone')
  const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index)
  const added = peer.add(Readable.from([bytes]), { offload: true, signal: signal() })
  const error = (await added.catch((error) => error)) as { code: string; message: string }
  assert.equal(error.code, 'COPIES_UNAVAILABLE', error.message)
  await peer.gc()
  const [, cid = ''] = /^(bafk\w+) stays here/.exec(error.message) ?? []
  assert.deepEqual(Buffer.concat(await Array.fromAsync(peer.cat(cid))), Buffer.from(bytes))
  await assert.rejects(peer.add(Readable.from([bytes]), { pin: false, copies: 2 }), { code: 'REQUEST_INVALID' })
})

test('what is announced stays so while a pin under another codec needs it', async () => {
  await using peer = await open('codecs')
  const announcing = async () => {
    const status = await peer.status()
    return 'workers' in status && status.workers?.find(({ name }) => name === 'announcing')?.status
  }
  // One byte that is a file, and a number in CBOR.
  const { cid } = await peer.add(Readable.from([Uint8Array.of(1)]))
  const number = CID.createV1(codecs.dagCbor, CID.parse(cid).multihash).toString()
  await peer.pinAdd(number)
  await peer.pinRemove(cid)
  assert.match(String(await announcing()), / of 1 roots/)
  await peer.pinRemove(number)
  await until('nothing is announced', async () => (await announcing()) === 'nothing to announce')
})
