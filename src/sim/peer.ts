// A simulated peer: the organs of a real one, wired by the node as in production, over simulated ports. Here is the only
// place that knows how a client's wishes become calls of the records, and what the checkers may look at.
import { sleep } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import { partitionOf } from '../core/keyspace.ts'
import type { PeerId } from '../core/peer.ts'
import { type ClusterOrgans, openCluster, openMembership } from '../node/cluster.ts'
import type { ClientWrite, Inspected, Program, Shown, Written } from './client.ts'
import type { MachinePorts } from './cluster.ts'
import { type Plant, plantedLaws } from './plants.ts'
import type { MemberProgram } from './traffic.ts'

export interface PeerOptions {
  copies: number
  plant?: Plant | undefined
}

/** Addresses in an invite line, and how often they are tried. */
const invitersMax = 3
const meetEveryMs = 2_000
/** How often a peer that leaves looks whether its records have gone. */
const drainPollMs = 500

/** Errors after which a write has not happened and never will. */
const refusals = new Set([
  'KEY_INVALID',
  'LEVEL_INVALID',
  'NOT_MEMBER',
  'TOO_MANY_SIBLINGS',
  'VALUE_TOO_LARGE',
  'VERSION_INVALID',
  'VERSION_MISMATCH',
])

type LocalRecord = ReturnType<ClusterOrgans['records']['local']> extends Iterable<infer One> ? One : never

/** Members and records, wired as in production. */
export async function startPeer(ports: MachinePorts, options: PeerOptions): Promise<Program> {
  const { zone, capacity } = ports
  const laws = plantedLaws(options.plant)
  const organs = await openCluster(
    { ...clusterPorts(ports), ...(laws && { laws }) },
    { zone, capacity, copies: options.copies, isInvited: ports.invitedBy.length > 0 },
  )
  return new PeerProgram(organs, ports, meetInviters(ports))
}

/** Members alone. */
export async function startMember(ports: MachinePorts): Promise<MemberProgram> {
  const organs = await openMembership(clusterPorts(ports), ports)
  const stopMeeting = meetInviters(ports)
  return {
    epoch: () => organs.members.view().epoch,
    untold: () => organs.members.untold,
    notAlive: () => organs.members.members().flatMap(({ peer, liveness }) => (liveness === 'alive' ? [] : [peer])),
    livenessOf: (peer) => organs.members.member(peer)?.liveness,
    async [Symbol.asyncDispose]() {
      stopMeeting()
      await organs[Symbol.asyncDispose]()
    },
  }
}

function clusterPorts(ports: MachinePorts) {
  return { ...ports, tables: { members: ports.table('members'), records: ports.table('records') } }
}

/** Dials who invited this peer until somebody is connected, as the host does with its bootstrap addresses. */
export function meetInviters({ network, clock, invitedBy }: MachinePorts): () => void {
  let isStopped = false
  const meet = async () => {
    if (network.connected().length === 0)
      for (const address of invitedBy.slice(0, invitersMax)) await network.connect(address).catch(() => {})
    if (!isStopped) clock.timer(meetEveryMs, () => void meet())
  }
  void meet()
  return () => {
    isStopped = true
  }
}

class PeerProgram implements Program {
  readonly #organs: ClusterOrgans
  readonly #ports: MachinePorts

  readonly #stopMeeting: () => void

  constructor(organs: ClusterOrgans, ports: MachinePorts, stopMeeting: () => void) {
    this.#stopMeeting = stopMeeting
    this.#organs = organs
    this.#ports = ports
  }

  async get(key: string, { strict }: { strict: boolean }): Promise<Shown> {
    const found = await this.#organs.records.get(key, strict ? { strict, r: 'quorum' } : {})
    if (strict && found.stale) throw new StaleRead()
    return { values: valuesOf(found.siblings), context: found.context }
  }

  async write(key: string, { value, context, strict, isConditional }: ClientWrite): Promise<Written> {
    const { records } = this.#organs
    const seen = (context as string | undefined) ?? 'none'
    const over = isConditional ? { ifVersion: seen } : seen === 'unread' ? {} : { context: seen }
    const options = { ...over, ...(strict && { strict }) }
    const written =
      value === undefined
        ? await records.remove(key, options)
        : await records.put(key, new TextEncoder().encode(value), options)
    const acknowledgedBy = [...written.from.owners, ...written.from.standIns].map((peer) => this.#ports.nameOf(peer))
    return { acknowledgedBy, left: valuesOf(written.siblings) }
  }

  async list(): Promise<string[]> {
    return (await this.#organs.records.list('')).entries.map(({ key }) => key)
  }

  watch(listen: (key: string, values: string[]) => void): () => void {
    return this.#organs.records.watch('', ({ key, siblings }) => listen(key, valuesOf(siblings)))
  }

  isRefusal(error: unknown): boolean {
    return refusals.has(codeOf(error) ?? '')
  }

  async leave(): Promise<void> {
    const { members, records } = this.#organs
    await members.beginLeave()
    while (!records.drained()) await sleep(this.#ports.clock, drainPollMs)
    await members.finishLeave()
  }

  async forget(peer: PeerId): Promise<void> {
    await this.#organs.members.forget(peer)
  }

  inspect(): Inspected {
    const { records, members } = this.#organs
    let all: Map<string, LocalRecord> | undefined
    return {
      held: (key) => {
        all ??= new Map([...records.local()].map((record) => [record.key, record]))
        const siblings = all.get(key)?.siblings
        if (!siblings) return undefined
        return { values: valuesOf(siblings), removed: siblings.some(({ value }) => value === undefined) }
      },
      owns: (key) => this.#organs.owners(partitionOf(key)).includes(members.self),
      hints: records.pendingHints(),
      epoch: members.view().epoch,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopMeeting()
    await this.#organs[Symbol.asyncDispose]()
  }
}

/** A read that could not ask enough owners. */
class StaleRead extends Error {
  readonly code = 'STALE'
}

function valuesOf(siblings: readonly { value: Uint8Array | undefined }[]): string[] {
  return siblings.flatMap(({ value }) => (value ? [new TextDecoder().decode(value)] : []))
}
