// How well a peer is reached that nobody can dial: round trips to its first block over slow lines, what a relay costs beside
// a direct connection, and how long it cannot be reached when its only relay dies and comes back. Each peer is a process of
// its own on loopback.
import { join } from 'node:path'
import { systemClock } from '../base/clock.ts'
import type { ReachAnswer, ReachCommand } from './reach-role.ts'
import type { BenchOptions, BenchResult, Figure } from './report.ts'
import { Role } from './role.ts'
import { freePort, openSlowLine } from './slow-line.ts'

/** Of a round trip from one end to the other: each of the two lines to the relay makes up a half. */
const roundTripMs = 100

type Peer = Role<ReachCommand, ReachAnswer>

export async function benchReach(options: BenchOptions): Promise<BenchResult> {
  const { runs, say } = options
  const figure = (what: string, unit: Figure['unit']): Figure => ({ what, unit, values: [] })
  const warm = figure('first block of a peer met before, through a connected relay', 'round trips')
  const cold = figure('the same through a relay that is not connected yet', 'round trips')
  const loopback = figure('connection to first block on loopback', 'ms')
  const direct = { what: 'direct', values: [] as number[] }
  const relayed: Figure = { what: 'transfer through a relay', unit: 'MB/s', values: [], ceiling: direct }
  const again = figure('its only relay killed and started again, to first block', 's')
  for (let run = 0; run < runs; run++) {
    say(`run ${run + 1} of ${runs}`)
    const directory = join(options.directory, String(run))
    const far = await overSlowLines({ ...options, directory })
    warm.values.push(far.warm)
    cold.values.push(far.cold)
    const near = await onLoopback({ ...options, directory })
    loopback.values.push(near.firstBlockMs)
    direct.values.push(near.direct)
    relayed.values.push(near.relayed)
    again.values.push(near.againSeconds)
  }
  return { bench: 'reach', figures: [warm, cold, loopback, relayed, again] }
}

const anyPort = ['/ip4/127.0.0.1/tcp/0']

async function openRelay(relay: Peer, directory: string, listen = anyPort, identity?: string) {
  const opened = await relay.ask({ do: 'open', directory, listen, bootstrap: [], ...(identity && { identity }) })
  const [address = ''] = opened.addresses ?? []
  return { address, port: portOf(address), peer: opened.peer!, identity: opened.identity! }
}

async function overSlowLines({ directory, signal }: BenchOptions): Promise<{ warm: number; cold: number }> {
  using relay: Peer = new Role('reach-role', signal)
  using hidden: Peer = new Role('reach-role', signal)
  const port = await freePort()
  const oneWayMs = roundTripMs / 4
  await using near = await openSlowLine(port, { oneWayMs })
  await using far = await openSlowLine(port, { oneWayMs })
  // It tells nobody of the quick way to it.
  const { peer = '' } = await relay.ask({
    do: 'open',
    directory: join(directory, 'slow-relay'),
    listen: [`/ip4/127.0.0.1/tcp/${port}`],
    bootstrap: [],
    announce: [`/ip4/127.0.0.1/tcp/${near.port}`],
  })
  const by = (line: { port: number }) => `/ip4/127.0.0.1/tcp/${line.port}/p2p/${peer}`
  await hidden.ask({ do: 'open', directory: join(directory, 'slow-hidden'), listen: [], bootstrap: [by(far)] })
  const placed = await hidden.ask({ do: 'place' })
  const target = { peer: placed.peer!, addresses: [`${by(near)}/p2p-circuit`] }
  using dialer: Peer = new Role('reach-role', signal)
  const measure = async (name: string, connects: boolean) => {
    await dialer.ask({ do: 'open', directory: join(directory, name), listen: [], bootstrap: [] })
    if (connects) await dialer.ask({ do: 'connect', address: by(near) })
    const { seconds = 0 } = await dialer.ask({ do: 'block', ...target })
    await dialer.ask({ do: 'close' })
    return (seconds * 1000) / roundTripMs
  }
  // Programs that have just started are slower, whatever they do.
  await measure('slow-first', true)
  return { warm: await measure('slow-warm', true), cold: await measure('slow-cold', false) }
}

interface Near {
  firstBlockMs: number
  direct: number
  relayed: number
  againSeconds: number
}

async function onLoopback({ directory, sizeBytes, signal }: BenchOptions): Promise<Near> {
  using hidden: Peer = new Role('reach-role', signal)
  using dialer: Peer = new Role('reach-role', signal)
  const killed: Peer = new Role('reach-role', signal)
  const at = (name: string) => join(directory, name)
  const relay = await openRelay(killed, at('relay'))
  const bootstrap = [`${relay.address}/p2p/${relay.peer}`]
  await hidden.ask({ do: 'open', directory: at('hidden'), listen: [], bootstrap })
  const { peer } = await hidden.ask({ do: 'place' })
  await dialer.ask({ do: 'open', directory: at('dialer'), listen: anyPort, bootstrap: [] })
  const toRelay = { peer: relay.peer, addresses: [relay.address] }
  const through = { peer: peer!, addresses: [`${relay.address}/p2p/${relay.peer}/p2p-circuit`] }
  await dialer.ask({ do: 'block', ...toRelay })
  await dialer.ask({ do: 'close' })
  await dialer.ask({ do: 'open', directory: at('dialer-warm'), listen: anyPort, bootstrap: [] })
  const first = await dialer.ask({ do: 'block', ...toRelay })
  // The first of all is slower, whichever way it goes.
  await dialer.ask({ do: 'transfer', ...toRelay, bytes: sizeBytes })
  const direct = await dialer.ask({ do: 'transfer', ...toRelay, bytes: sizeBytes })
  await dialer.ask({ do: 'close' })
  // Listening nowhere and asking at once: otherwise the two have found a direct way by the time they are asked.
  await dialer.ask({ do: 'open', directory: at('dialer-hidden'), listen: [], bootstrap: [] })
  const relayed = await dialer.ask({ do: 'transfer', ...through, bytes: sizeBytes })
  const { relayedBytes = 0 } = await killed.ask({ do: 'relayed' })
  if (relayedBytes < sizeBytes) throw new Error(`only ${relayedBytes} of ${sizeBytes} bytes went through the relay`)
  await dialer.ask({ do: 'close' })
  killed[Symbol.dispose]()
  const startedMs = systemClock.monotonicMs()
  using again: Peer = new Role('reach-role', signal)
  const listen = [`/ip4/127.0.0.1/tcp/${relay.port}`]
  await openRelay(again, at('relay-again'), listen, relay.identity)
  await reach(dialer, at('dialer-again'), through)
  const againSeconds = (systemClock.monotonicMs() - startedMs) / 1000
  const rate = ({ seconds = 0 }: ReachAnswer) => sizeBytes / 1e6 / seconds
  return { firstBlockMs: (first.seconds ?? 0) * 1000, direct: rate(direct), relayed: rate(relayed), againSeconds }
}

// Nobody told it that the relay is back: it tries until it gets through.
async function reach(dialer: Peer, directory: string, target: { peer: ReachAnswer['peer']; addresses: string[] }) {
  await dialer.ask({ do: 'open', directory, listen: [], bootstrap: [] })
  for (;;) {
    const tried = await dialer
      .ask({ do: 'block', peer: target.peer!, addresses: target.addresses })
      .catch(() => undefined)
    if (tried) return
  }
}

function portOf(address: string): number {
  return Number(/\/tcp\/(\d+)/.exec(address)?.[1])
}
