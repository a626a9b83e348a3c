// One of the two processes of `bench fetch`: it serves files, or fetches them into a new home, as its parent says.

import { systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import type { Channel } from '../core/ports.ts'
import { linksOf } from '../files/links.ts'
import { type Host, openHost } from '../net/host.ts'
import { newIdentity } from '../net/identity.ts'
import type { Config } from '../node/config.ts'
import { countBuffersAsHeap } from '../node/heap.ts'
import { Home } from '../node/home.ts'
import { openPeer } from '../node/open.ts'
import { openStore } from '../store/open.ts'
import { answerParent } from './role.ts'

export type FetchCommand =
  | { role: 'serve'; home: string; paths: string[] }
  | { role: 'fetch'; home: string; line: string; rawAddress: string; cid?: string; rawBytes?: number }

export interface RoleAnswer {
  seconds: number
  peakRssBytes: number
  line?: string
  rawAddress?: string
  cids?: string[]
}

const rawProtocol = '/potluck/bench-raw/1.0.0'
const pieceBytes = 1 << 20
const quiet = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false }
/** Or the cluster would copy to the fetcher of its own accord what it is about to fetch. */
const givesNothing = { capacity: 0 }
let rawHost: Host | undefined

countBuffersAsHeap()

answerParent<FetchCommand, RoleAnswer>(async (command) => {
  const answer = command.role === 'serve' ? await serve(command.home, command.paths) : await fetch(command)
  return { seconds: 0, peakRssBytes: process.resourceUsage().maxRSS * 1024, ...answer }
})

async function serve(home: string, paths: string[]): Promise<Partial<RoleAnswer>> {
  const peer = await online(home)
  const cids: string[] = []
  for (const path of paths) cids.push((await peer.add(path)).cid)
  const { line } = await peer.invite()
  rawHost = await bareHost(home)
  await rawHost.network.handle(rawProtocol, { streamsMax: 4 }, sendRaw)
  return { line, rawAddress: rawHost.network.addresses()[0] ?? '', cids }
}

// The request is the number of bytes, as text.
async function sendRaw(channel: Channel): Promise<void> {
  const asked = await channel.read()
  const piece = new Uint8Array(pieceBytes)
  for (let left = Number(Buffer.concat(asked ?? []).toString()); left > 0; left -= pieceBytes)
    await channel.write([piece])
  await channel.close()
}

async function fetch(command: FetchCommand & { role: 'fetch' }): Promise<Partial<RoleAnswer>> {
  if (command.rawBytes !== undefined)
    return { seconds: await rawSeconds(command.home, command.rawAddress, command.rawBytes) }
  if (command.cid === undefined) return {}
  await using peer = await online(command.home, givesNothing)
  await peer.join(command.line)
  const startedMs = systemClock.monotonicMs()
  await peer.pinAdd(command.cid)
  return { seconds: (systemClock.monotonicMs() - startedMs) / 1000 }
}

async function rawSeconds(home: string, address: string, sizeBytes: number): Promise<number> {
  rawHost ??= await bareHost(home)
  const server = await rawHost.network.connect(address)
  const channel = await rawHost.network.open(server, [rawProtocol])
  const startedMs = systemClock.monotonicMs()
  await channel.write([Buffer.from(String(sizeBytes))])
  let received = 0
  for (let pieces = await channel.read(); pieces; pieces = await channel.read())
    for (const piece of pieces) received += piece.byteLength
  const seconds = (systemClock.monotonicMs() - startedMs) / 1000
  if (received < sizeBytes) throw new Error(`the bare stream ended after ${received} of ${sizeBytes} bytes`)
  await channel.close()
  return seconds
}

const online = (home: string, flags: Partial<Config> = {}) =>
  openPeer({ home: new Home(home), online: true, doing: 'start', flags: { ...quiet, ...flags } })

async function bareHost(home: string): Promise<Host> {
  const common = { clock: systemClock, random: systemRandom, log: silentLog }
  const store = await openStore({ ...common, linksOf }, { directory: `${home}-raw` })
  const deps = { ...common, datastore: store.table('libp2p') }
  const identity = await newIdentity()
  return await openHost(deps, { identity, ...quiet, bootstrap: [], network: { kind: 'open' } })
}
