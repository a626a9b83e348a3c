// The process of `bench repair` that only plans: one driver with very many pins, whose members are made up and answer at once.
// It is a process of its own so that the memory seen is the driver's and nobody else's. Messages are encoded and decoded as
// they would be for a line; only the line, and the disk below the records, are not there.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import { Block, codecs } from '../core/block.ts'
import type { Member, View } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Calls, Membership } from '../core/ports.ts'
import { newIdentity, peerIdOf } from '../net/identity.ts'
import { viewOf } from '../placement/ring.ts'
import { ClusterTime } from '../replicas/cluster-time.ts'
import type { Driven } from '../replicas/driven.ts'
import { DriverWorker } from '../replicas/driver.ts'
import { type Answer, decodeRequest, encodeAnswer, type Request } from '../replicas/messages.ts'
import { Peers } from '../replicas/peers.ts'
import { encodePin, pinKey, withWish } from '../replicas/pin.ts'
import { Presence } from '../replicas/presence.ts'
import type { PinRecord, PinRecords } from '../replicas/words.ts'
import { memoryTable } from '../store/memory.ts'
import { answerParent } from './role.ts'

export interface PlanningCommand {
  pins: number
  members: number
}

export interface PlanningAnswer {
  /** Deciding for every pin, after a member has gone, who shall hold it: the new ring included. */
  planSeconds: number
  /** Pins that get a new holder by that. */
  moves: number
  /** The rounds in which the driver asks the new holders and names them, until nothing is left to do. */
  roundSeconds: number
  /** What the driver and its pins take at most, a round that is under way included and garbage left out. */
  heapBytes: number
}

const copies = 3
const zones = 3
const pinBytes = 1_000_000
const capacity = 100e9
const clock = systemClock
const log = silentLog

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

answerParent(measure)

async function measure({ pins, members: count }: PlanningCommand): Promise<PlanningAnswer> {
  const world = new World(count)
  const before = usedBytes()
  const driver = world.driver()
  for (let pin = 0; pin < pins; pin++) driver.follow(world.wished(pin))
  await settle(driver)
  world.loseOne()
  const startedMs = clock.monotonicMs()
  let moves = 0
  for (const driven of driver.driven()) moves += driver.plan(driven).toName.length
  const plannedMs = clock.monotonicMs()
  await settle(driver)
  const settledMs = clock.monotonicMs()
  // Once more, to see what is in use while a round is under way.
  let heapBytes = usedBytes() - before
  world.loseOne()
  world.onCall = () => {
    world.onCall = () => {}
    heapBytes = Math.max(heapBytes, usedBytes() - before)
  }
  await settle(driver)
  return {
    planSeconds: (plannedMs - startedMs) / 1_000,
    moves,
    roundSeconds: (settledMs - plannedMs) / 1_000,
    heapBytes,
  }
}

/** Drives whatever it knows of: in a cluster so many pins have more than one driver. */
class DriverOfAll extends DriverWorker {
  override drives(driven: Driven): boolean {
    super.drives(driven)
    return true
  }
}

async function settle(driver: DriverWorker): Promise<void> {
  const { signal } = new AbortController()
  while ((await driver.step(signal)).next !== 'later');
}

function usedBytes(): number {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Members that hold whatever they are asked to, and records that are there as soon as they are written. */
class World {
  /** Called before every message. */
  onCall = () => {}
  #members: readonly Member[]
  #byPeer!: ReadonlyMap<PeerId, Member>
  #view!: View
  #driver: DriverWorker | undefined

  constructor(count: number) {
    this.#members = Array.from({ length: count }, (_, index) => ({
      peer: peerIdOf(newIdentity()),
      incarnation: 1,
      state: 'joined',
      zone: `zone ${index % zones}`,
      capacity,
      addresses: [],
      liveness: 'alive',
    }))
    this.#become(this.#members)
  }

  driver(): DriverWorker {
    const membership = this.#membership()
    const time = new ClusterTime(clock)
    const peers = new Peers({
      self: membership.self,
      time,
      calls: () => this.#calls(),
      local: async (request) => answerTo(request),
    })
    const presence = new Presence({ membership, table: memoryTable(), clock }, { graceMs: 0 })
    const deps = { membership, records: this.#records(), peers, presence, time, clock, log }
    this.#driver = new DriverOfAll(deps, { recordCopies: copies })
    return this.#driver
  }

  /** The record of a pin that one of the members has just wished for. */
  wished(index: number): PinRecord {
    const { cid } = Block.of(codecs.raw, Buffer.from(String(index)))
    const id = Buffer.from(String(index).padStart(12, '0')).toString('base64url')
    const by = this.#members[index % this.#members.length]!.peer
    const pin = withWish(undefined, cid, pinBytes, { id, by, copies, expiresMs: undefined, elsewhere: false })
    return recordOf(pinKey(cid), encodePin(pin))
  }

  /** The last of the members is forgotten; the first one is the driver. */
  loseOne(): void {
    this.#become(this.#members.slice(0, -1))
  }

  #become(members: readonly Member[]): void {
    this.#members = members
    this.#byPeer = new Map(members.map((member) => [member.peer, member]))
    this.#view = viewOf(members)
  }

  #membership(): Membership {
    return {
      self: this.#members[0]!.peer,
      members: () => this.#members,
      member: (peer) => this.#byPeer.get(peer),
      view: () => this.#view,
      proven: () => true,
      claims: () => [],
      learn: () => false,
      onChange: () => () => {},
    }
  }

  #calls(): Calls {
    return {
      call: async (_peer, request) => {
        this.onCall()
        return encodeAnswer(answerTo(decodeRequest(request)))
      },
      [Symbol.asyncDispose]: async () => {},
    }
  }

  #records(): PinRecords {
    return {
      get: async (key) => ({ ...recordOf(key), acks: 1, wanted: 1 }),
      put: async (key, value) => {
        this.#driver?.follow(recordOf(key, value))
        return { acks: 1, wanted: 1 }
      },
      remove: async () => {},
      list: async () => ({ entries: [], unreached: [] }),
      follow: () => () => {},
    }
  }
}

function recordOf(key: string, value?: Uint8Array): PinRecord {
  return { key, siblings: value ? [{ value }] : [], context: 'of the only writer' }
}

function answerTo(request: Request): Answer {
  const head = { nowMs: clock.nowMs(), usedBytes: 0 }
  if (request.kind !== 'hold') return { ...head, kind: 'noted' }
  return { ...head, kind: 'progress', progress: request.holdings.map(() => ({ state: 'held', doneBytes: pinBytes })) }
}
