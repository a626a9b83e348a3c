// Where the organs of a cluster meet: members, and the records that they keep for each other. It takes ports and opens no file
// and no socket, so that production and simulation are wired alike.
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { Scope } from '../base/scope.ts'
import { type Worker, WorkerLoop } from '../base/worker.ts'
import { openCalls } from '../core/calls.ts'
import { membersOnly } from '../core/members-only.ts'
import type { PeerId } from '../core/peer.ts'
import type { Admission, AnswerCall, Broadcast, Network, Signer, Table } from '../core/ports.ts'
import { type Members, openMembers } from '../members/members.ts'
import { ringOf } from '../placement/ring.ts'
import { type Laws, realLaws } from '../records/laws.ts'
import { openRecords } from '../records/records.ts'
import type { Records } from '../records/words.ts'

export interface ClusterPorts {
  network: Network
  broadcast: Broadcast
  signer: Signer
  admission: Admission
  tables: { members: Table; records: Table }
  clock: Clock
  random: Random
  log: Log
  /** Replaces rules of the records; only a test of the tests does. */
  laws?: (real: Laws) => Laws
}

export interface ClusterOptions {
  zone: string
  /** Bytes given to the cluster; 0 holds nothing. */
  capacity: number
  /** Copies of each record. */
  copies: number
  /** True if this peer came into a cluster that was there. */
  isInvited: boolean
}

export interface ClusterOrgans extends AsyncDisposable {
  readonly members: Members
  readonly records: Records
  readonly loops: readonly WorkerLoop[]
  /** Opens the requests of a protocol that answers members alone. */
  readonly openCalls: ReturnType<typeof callsOf>
  /** The owners of a partition by the present ring, the primary first. */
  owners(partition: number): readonly PeerId[]
}

/** Opens both organs and starts their background work. */
export async function openCluster(ports: ClusterPorts, options: ClusterOptions): Promise<ClusterOrgans> {
  await using scope = new Scope()
  const { copies, isInvited } = options
  const opened = scope.use(await openMembership(ports, options))
  const { members } = opened
  const laws = ports.laws?.(realLaws) ?? realLaws
  const openCalls = callsOf({
    ...ports,
    network: membersOnly(ports.network, { ...ports, membership: members }),
  })
  const deps = { ...ports, laws, membership: members, table: ports.tables.records, openCalls }
  const records = scope.use(await openRecords(deps, { copies, isInvited }))
  const loops = [...opened.loops, ...runWorkers(scope, ports, records.workers)]
  const owners = (partition: number) => ringOf(members.view()).owners(partition, copies)
  const closing = scope.move()
  return { members, records, loops, openCalls, owners, [Symbol.asyncDispose]: () => closing.close() }
}

/** The members alone. */
export async function openMembership(
  ports: Omit<ClusterPorts, 'laws'>,
  { zone, capacity }: Pick<ClusterOptions, 'zone' | 'capacity'>,
): Promise<Pick<ClusterOrgans, 'members' | 'loops'> & AsyncDisposable> {
  await using scope = new Scope()
  const deps = { ...ports, table: ports.tables.members, openCalls: callsOf(ports) }
  const members = scope.use(await openMembers(deps, { zone, capacity }))
  const loops = runWorkers(scope, ports, members.workers)
  const closing = scope.move()
  return { members, loops, [Symbol.asyncDispose]: () => closing.close() }
}

/** Opens the calls of a protocol over the network. */
function callsOf({ network, clock, log }: Pick<ClusterPorts, 'network' | 'clock' | 'log'>) {
  return (options: { protocol: string; answer: AnswerCall }) => openCalls({ network, clock, log }, options)
}

/** Starts the loops, which end with the scope. */
export function runWorkers(
  scope: Scope,
  { clock, log }: Pick<ClusterPorts, 'clock' | 'log'>,
  workers: readonly Worker[],
): WorkerLoop[] {
  const loops = workers.map((worker) => new WorkerLoop({ worker, clock, log }))
  for (const loop of loops) {
    loop.start()
    scope.defer(() => loop.stop())
  }
  return loops
}
