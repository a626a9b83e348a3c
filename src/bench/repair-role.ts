// One of the processes of `bench repair`: a peer like any other, in a private cluster on loopback, that adds, fetches and
// says how far it is as its parent tells it. It does so through the peer's own API alone, so that what is measured is what a
// user gets.
import { randomFillSync } from 'node:crypto'
import { withDeadline } from '../base/abort.ts'
import { sleep, systemClock } from '../base/clock.ts'
import type { Status } from '../node/api.ts'
import type { Config } from '../node/config.ts'
import { countBuffersAsHeap } from '../node/heap.ts'
import { Home } from '../node/home.ts'
import type { LocalPeer } from '../node/local-peer.ts'
import { openPeer } from '../node/open.ts'
import { answerParent } from './role.ts'

export type RepairCommand =
  /** Opens the home's peer, or opens it again with another budget, and joins the cluster of the line if one is given. */
  | { do: 'open'; home: string; line?: string; zone: string; capacity: number; bytesPerSecond: number }
  /** Waits until so many members are seen alive, this one included. */
  | { do: 'gather'; alive: number }
  /** Adds so many files of random bytes, with so many copies, and leaves the cluster once all are held. */
  | { do: 'give'; pins: number; pinBytes: number; copies: number }
  /** Adds random files that nobody pins. */
  | { do: 'serve'; files: number; sizeBytes: number }
  /** Fetches it into the store, durably, and writes nothing else. */
  | { do: 'fetch'; cid: string }
  | { do: 'get'; cid: string; output: string }
  | { do: 'look' }
  /** Reads the state of all pins: how many there are, and how many copies the worst off of them has. */
  | { do: 'list' }

export interface RepairAnswer {
  line?: string
  cids?: string[]
  seconds?: number
  look?: Look
  pins?: number
  copies?: number
}

/** What one member holds and drives. */
export interface Look {
  pins: number
  heldBytes: number
  reservedBytes: number
  underReplicated: number
  bytesReceived: number
}

/** A holder that has been away for longer is replaced: just longer than a busy machine takes to answer. */
const graceMs = 1_000
const pollMs = 50
const gatherMs = 60_000
const addedAtATime = 4
const pieceBytes = 1 << 20

let peer: LocalPeer | undefined

countBuffersAsHeap()
answerParent(answer)

async function answer(command: RepairCommand): Promise<RepairAnswer> {
  if (command.do === 'open') return await open(command)
  const own = peer!
  switch (command.do) {
    case 'gather':
      await until('the members see each other', () =>
        statusOf(own).then(({ membersAlive }) => membersAlive === command.alive),
      )
      return {}
    case 'give':
      await give(own, command)
      return {}
    case 'serve': {
      const cids: string[] = []
      while (cids.length < command.files) cids.push((await own.add(randomBytes(command.sizeBytes), { pin: false })).cid)
      return { cids }
    }
    case 'fetch':
      return { seconds: await timed(() => fetched(own, command.cid)) }
    case 'get':
      return { seconds: await timed(() => own.get(command.cid, { output: command.output })) }
    case 'look':
      return { look: lookAt(await statusOf(own)) }
    case 'list': {
      const held: number[] = []
      for await (const pin of own.pinList()) if (pin.size !== null) held.push(pin.held)
      return { pins: held.length, copies: Math.min(...held) }
    }
  }
}

async function open({ home, line, zone, capacity, bytesPerSecond }: RepairCommand & { do: 'open' }) {
  await peer?.[Symbol.asyncDispose]()
  const flags: Partial<Config> = {
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    upnp: false,
    zone,
    capacity,
    'repair.grace': graceMs,
    'repair.rate': bytesPerSecond,
  }
  peer = await openPeer({ home: new Home(home), online: true, doing: 'start', flags })
  if (line !== undefined) await peer.join(line)
  return { line: (await peer.invite()).line }
}

async function give(own: LocalPeer, { pins, pinBytes, copies }: RepairCommand & { do: 'give' }): Promise<void> {
  let left = pins
  const lane = async () => {
    while (left-- > 0) await own.add(randomBytes(pinBytes), { copies, wait: copies })
  }
  await Promise.all(Array.from({ length: addedAtATime }, lane))
  await own.leave()
}

/** What is exported is first brought here whole. */
async function fetched(own: LocalPeer, cid: string): Promise<void> {
  for await (const _bytes of own.exportCar(cid)) return
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = systemClock.monotonicMs()
  await work()
  return (systemClock.monotonicMs() - startedMs) / 1_000
}

async function* randomBytes(sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let left = sizeBytes; left > 0; left -= pieceBytes)
    yield randomFillSync(new Uint8Array(Math.min(left, pieceBytes)))
}

async function statusOf(own: LocalPeer): Promise<Status> {
  return (await own.status()) as Status
}

function lookAt({ replicas, bytesReceived = 0 }: Status): Look {
  const { pins = 0, heldBytes = 0, reservedBytes = 0, underReplicated = 0 } = replicas ?? {}
  return { pins, heldBytes, reservedBytes, underReplicated, bytesReceived }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  await withDeadline(systemClock, gatherMs, `waiting until ${what}`, async (signal) => {
    while (!(await holds())) await sleep(systemClock, pollMs, signal)
  })
}
