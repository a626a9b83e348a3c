// A cluster in which two members can be reached only through others, over real sockets: they share content through a relay,
// and a relay that is killed in the middle of a transfer costs a moment.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Home } from '../../src/node/home.ts'
import type { LocalPeer } from '../../src/node/local-peer.ts'
import { openPeer } from '../../src/node/open.ts'
import { until } from '../twins/until.ts'

const directory = await mkdtemp(join(tmpdir(), 'potluck-reach-'))
after(() => rm(directory, { recursive: true, force: true }))

const open = (name: string, listen: string[], rate = 0) =>
  openPeer({
    home: new Home(join(directory, name)),
    online: true,
    doing: 'start',
    flags: { listen, mdns: false, upnp: false, capacity: name === 'holder' ? 100e9 : 0, 'relay.rate': rate },
  })

const anyPort = ['/ip4/127.0.0.1/tcp/0']

async function relaysOf(peer: LocalPeer): Promise<string[]> {
  const status = await peer.status()
  return 'reachability' in status ? (status.reachability?.relays ?? []) : []
}

test('two members that nobody can dial share a film, though the relay between them is killed meanwhile', async () => {
  const film = randomBytes(24 << 20)
  await writeFile(join(directory, 'film'), film)
  // Slow enough that there is a middle.
  const relays = await Promise.all(['first', 'second'].map((name) => open(name, anyPort, 8 << 20)))
  const [holder, reader] = (await Promise.all(['holder', 'reader'].map((name) => open(name, [])))) as [
    LocalPeer,
    LocalPeer,
  ]
  const closed = new Set<LocalPeer>()
  const close = async (peer: LocalPeer) => {
    if (!closed.has(peer)) {
      closed.add(peer)
      await peer[Symbol.asyncDispose]()
    }
  }
  try {
    const { line } = await relays[0]!.invite()
    for (const peer of [relays[1]!, holder, reader]) await peer.join(line)
    await until('both have both relays', async () => {
      const places = await Promise.all([holder, reader].map(relaysOf))
      return places.every((each) => each.length === 2)
    })
    const { cid } = await holder.add(join(directory, 'film'), { profile: 'unixfs-v0-2015' })
    const output = join(directory, 'fetched')
    let killed: Promise<void> | undefined
    const kill = async () => {
      for await (const { peerId, relayed, addresses } of reader.peers()) {
        if (peerId !== holder.identity().peerId) continue
        assert.equal(relayed, true)
        const used = relays.find((relay) => addresses[0]?.includes(relay.identity().peerId))
        assert.ok(used, 'the transfer runs through one of the two')
        await close(used)
      }
    }
    const got = await reader.get(cid, {
      output,
      onProgress: ({ phase, done }) => {
        if (phase === 'fetching' && done > 4 << 20) killed ??= kill()
      },
    })
    await killed
    assert.equal(closed.size, 1, 'one relay was killed in the middle')
    assert.equal(Buffer.compare(await readFile(output), film), 0)
    assert.deepEqual(Object.keys(got.sources), [holder.identity().peerId])
    assert.equal((await relaysOf(reader)).length, 1)
    const checks: string[] = []
    for await (const { check, ok, message } of reader.doctor()) checks.push(`${check} ${ok} ${message}`)
    assert.match(checks[0] ?? '', /^reachability true .*listens nowhere.*through 1 relay/)
    for (const peer of relays) await close(peer)
    await until('nobody relays', async () => (await relaysOf(reader)).length === 0)
    const [first] = await Array.fromAsync(reader.doctor())
    assert.equal(first?.ok, false)
    assert.match(first?.mend ?? '', /private cluster without one reachable machine.*hub/)
  } finally {
    for (const peer of [holder, reader, ...relays]) await close(peer)
  }
})
