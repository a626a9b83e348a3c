// Helia, an implementation that is not ours, fetches a folder from potluck and potluck one from Helia, over Bitswap in an open
// network. Helia is large, so it lives in a package of its own beside this file: `npm run test:interop` installs it.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CID } from 'multiformats/cid'
import { Block, codecs } from '../../src/core/block.ts'
import { addPath } from '../../src/files/add.ts'
import { linksOf } from '../../src/files/links.ts'
import { unixfsV1 } from '../../src/files/profiles.ts'
import { Home } from '../../src/node/home.ts'
import { openPeer } from '../../src/node/open.ts'
import { openStore } from '../../src/store/open.ts'
import { deps } from '../store/stores.ts'

const installed = existsSync(new URL('./node_modules/helia/package.json', import.meta.url))
const skip = !installed && "Helia is not installed: 'npm run test:interop' does that"

/** As much of Helia as is used here; its own types are there only when it is installed. */
interface Helia {
  blockstore: {
    get(cid: CID, options: { signal: AbortSignal }): AsyncIterable<Uint8Array>
    put(cid: CID, bytes: Uint8Array): Promise<CID>
  }
  libp2p: { getMultiaddrs(): { toString(): string }[] }
  start(): Promise<void>
  stop(): Promise<void>
}

const directory = await mkdtemp(join(tmpdir(), 'potluck-interop-'))
after(() => rm(directory, { recursive: true, force: true }))
const signal = () => AbortSignal.timeout(60_000)

async function makeFolder(name: string): Promise<string> {
  const folder = join(directory, name)
  await mkdir(join(folder, 'deep'), { recursive: true })
  await writeFile(join(folder, 'film'), randomBytes(5 << 20))
  for (let index = 0; index < 50; index++) await writeFile(join(folder, 'deep', `note ${index}`), `${name} ${index}`)
  return folder
}

async function startHelia(): Promise<Helia> {
  const from = async (name: string) =>
    (await import(import.meta.resolve(name))) as Record<string, (...args: unknown[]) => unknown>
  const [{ createHeliaLight }, { withLibp2pLight }, { withBitswap }] = await Promise.all([
    from('helia'),
    from('@helia/libp2p'),
    from('@helia/bitswap'),
  ])
  const [{ tcp }, { noise }, { yamux }, { identify }] = await Promise.all([
    from('@libp2p/tcp'),
    from('@libp2p/noise'),
    from('@libp2p/yamux'),
    from('@libp2p/identify'),
  ])
  const libp2p = {
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp?.()],
    connectionEncrypters: [noise?.()],
    streamMuxers: [yamux?.()],
    services: { identify: identify?.() },
  }
  const helia = withBitswap?.(withLibp2pLight?.(createHeliaLight?.(), libp2p)) as Helia
  await helia.start()
  return helia
}

const startPotluck = (name: string) =>
  openPeer({
    home: new Home(join(directory, name)),
    online: true,
    doing: 'start',
    flags: { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false, network: 'open' },
  })

async function heliaBlock(helia: Helia, cid: CID): Promise<Block> {
  const pieces = await Array.fromAsync(helia.blockstore.get(cid, { signal: signal() }))
  return Block.verify(cid, Buffer.concat(pieces))
}

test('Helia fetches a folder from potluck', { skip }, async () => {
  await using peer = await startPotluck('giver')
  const helia = await startHelia()
  try {
    const { cid, blocks } = await peer.add(await makeFolder('from potluck'))
    await peer.connect(String(helia.libp2p.getMultiaddrs()[0]))
    const waiting = [CID.parse(cid)]
    let fetched = 0
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const block = await heliaBlock(helia, next)
      fetched++
      if (next.code !== codecs.raw) waiting.push(...linksOf(block))
    }
    assert.equal(fetched, blocks)
  } finally {
    await helia.stop()
  }
})

test('potluck fetches a folder from Helia', { skip }, async () => {
  await using peer = await startPotluck('taker')
  const helia = await startHelia()
  try {
    const folder = await makeFolder('from Helia')
    await using store = await openStore(deps, { directory: join(directory, 'blocks of Helia') })
    using lease = store.lease('test')
    const writer = store.writer(lease)
    const { cid } = await addPath({ writer }, folder, { profile: unixfsV1 })
    await writer.flush()
    const waiting = [cid]
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const block = await store.get(next)
      await helia.blockstore.put(next, block.bytes)
      waiting.push(...linksOf(block))
    }
    await peer.connect(String(helia.libp2p.getMultiaddrs()[0]))
    const output = join(directory, 'got from Helia')
    const got = await peer.get(cid.toString(), { output, signal: signal() })
    assert.equal(Object.keys(got.sources).length, 1)
    assert.deepEqual(await readFile(join(output, 'film')), await readFile(join(folder, 'film')))
    assert.equal(await readFile(join(output, 'deep', 'note 7'), 'utf8'), 'from Helia 7')
    await peer.find('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy').next()
  } finally {
    await helia.stop()
  }
})
