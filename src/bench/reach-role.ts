// A process of `bench reach`: a relay, a peer that only relays bring anybody to, or one that dials such a peer. It does one
// thing after the other, as its parent says, and measures on its own clock.
import { randomBytes } from 'node:crypto'
import type { CID } from 'multiformats/cid'
import { type Clock, sleep, systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import { Block, codecs } from '../core/block.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import type { Channel } from '../core/ports.ts'
import { BlocksSupplier } from '../exchange/blocks-client.ts'
import { blocksProtocol } from '../exchange/blocks-protocol.ts'
import { serveBlocks } from '../exchange/blocks-server.ts'
import { linksOf } from '../files/links.ts'
import { type Host, openHost } from '../net/host.ts'
import { newIdentity } from '../net/identity.ts'
import { secretsOf } from '../net/secrets.ts'
import { openStore, type Store } from '../store/open.ts'
import { answerParent } from './role.ts'

export type ReachCommand =
  | { do: 'open'; directory: string; listen: string[]; bootstrap: string[]; identity?: string; announce?: string[] }
  /** Waits until it has a place at a relay. */
  | { do: 'place' }
  /** The first block of a peer, on a new connection or on the one that there is. */
  | { do: 'block'; peer: PeerId; addresses: string[] }
  | { do: 'connect'; address: string }
  | { do: 'transfer'; peer: PeerId; addresses: string[]; bytes: number }
  /** How much it has relayed. */
  | { do: 'relayed' }
  | { do: 'close' }

export interface ReachAnswer {
  seconds?: number
  relayedBytes?: number
  peer?: PeerId
  addresses?: string[]
  identity?: string
}

const clock: Clock = systemClock
const rawProtocol = '/potluck/bench-raw/1.0.0'
const pieceBytes = 1 << 20
const pollMs = 5
const block = Block.of(codecs.raw, new Uint8Array(64 * 1024).fill(7))
let host: Host | undefined
/** Kept while the process lives, as what it remembers of others. */
let store: Store | undefined

answerParent<ReachCommand, ReachAnswer>(async (command) => {
  if (command.do === 'open') return await open(command)
  const own = host!
  if (command.do === 'relayed') return { relayedBytes: own.status().relaying.relayedBytes }
  if (command.do === 'close') {
    await own[Symbol.asyncDispose]()
    return {}
  }
  const startedMs = clock.monotonicMs()
  if (command.do === 'place') while (own.reach().relays.length === 0) await sleep(clock, pollMs)
  if (command.do === 'connect') await own.network.connect(command.address)
  if (command.do === 'block') await firstBlock(own, command)
  if (command.do === 'transfer') await transfer(own, command, command.bytes)
  const seconds = (clock.monotonicMs() - startedMs) / 1000
  return { seconds, peer: own.network.self, addresses: own.network.addresses().map(withoutPeer) }
})

async function open(command: ReachCommand & { do: 'open' }): Promise<ReachAnswer> {
  const { directory, listen, bootstrap, identity, announce = [] } = command
  const common = { clock, random: systemRandom, log: silentLog }
  store ??= await openStore({ ...common, linksOf }, { directory })
  const own = identity ? new Uint8Array(Buffer.from(identity, 'base64')) : newIdentity()
  host = await openHost(
    { ...common, datastore: store.table('libp2p') },
    {
      identity: own,
      listen,
      bootstrap,
      network: { kind: 'private', secrets: secretsOf({ kind: 'member', bytes: new Uint8Array(32).fill(1) }) },
      mdns: false,
      upnp: false,
      announce,
      relay: { alwaysRelay: listen.length > 0, relayRate: 0 },
    },
  )
  using lease = store.lease('bench')
  const writer = store.writer(lease)
  await writer.put(block)
  await writer.flush()
  const blocks = store
  await host.network.handle(blocksProtocol, { streamsMax: 8 }, (channel) => serveBlocks(channel, blocks, () => {}))
  await host.network.handle(rawProtocol, { streamsMax: 4 }, sendRaw)
  const addresses = host.network.addresses().map(withoutPeer)
  return { peer: host.network.self, addresses, identity: Buffer.from(own).toString('base64') }
}

async function firstBlock(own: Host, { peer, addresses }: PeerInfo): Promise<void> {
  const channel = await own.network.open({ peer, addresses }, [blocksProtocol])
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAnswer = (cid: CID, bytes: Uint8Array | undefined) => {
    Block.verify(cid, bytes!)
    resolve()
  }
  const supplier = new BlocksSupplier(channel, { onAnswer, onGone: reject })
  supplier.ask([block.cid])
  await promise
  supplier.close()
}

// The request is the number of bytes, as text.
async function sendRaw(channel: Channel): Promise<void> {
  const asked = await channel.read()
  const piece = randomBytes(pieceBytes)
  for (let left = Number(Buffer.concat(asked ?? []).toString()); left > 0; left -= pieceBytes)
    await channel.write([piece])
  await channel.close()
}

async function transfer(own: Host, { peer, addresses }: PeerInfo, bytes: number): Promise<void> {
  const channel = await own.network.open({ peer, addresses }, [rawProtocol])
  await channel.write([Buffer.from(String(bytes))])
  let received = 0
  for (let pieces = await channel.read(); pieces; pieces = await channel.read())
    for (const piece of pieces) received += piece.byteLength
  if (received < bytes) throw new Error(`the transfer ended after ${received} of ${bytes} bytes`)
  await channel.close()
}

function withoutPeer(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}
