// How fast lost copies come back: five members of a cluster as five processes on this machine, in two zones, hold pins that a
// sixth gave them before it left. One is killed; beside the rate at which the others copy what it held stands a fetch from
// one peer by another in the same run. Then a second one is killed, repair gets a budget, and it is seen what that costs those
// who read meanwhile. Last, how long a driver thinks about very many pins.
import { join } from 'node:path'
import { withDeadline } from '../base/abort.ts'
import { sleep, systemClock } from '../base/clock.ts'
import { formatSize } from '../core/units.ts'
import type { PlanningAnswer, PlanningCommand } from './planning-role.ts'
import type { Look, RepairAnswer, RepairCommand } from './repair-role.ts'
import { type BenchOptions, type BenchResult, type Figure, median } from './report.ts'
import { Role } from './role.ts'

export interface RepairOptions extends BenchOptions {
  /** Contents that are held, and their bytes together. */
  pins: number
  pinnedBytes: number
  /** The budget of each member while others read, bytes per second. */
  budget: number
  /** Pins of the driver that only plans. */
  plannedPins: number
}

type MemberRole = Role<RepairCommand, RepairAnswer>

/** The first to be killed has two others in its zone, which share its part; the second one has one. */
const places = { a: 'attic', b: 'attic', c: 'attic', d: 'cellar', e: 'cellar' } as const
type Name = keyof typeof places
const names = Object.keys(places) as Name[]

const copies = 2
const capacity = 100e9
const reads = 3
const lookEveryMs = 50
const repairMs = 1_800_000
const plannedMembers = [20, 500]

export async function benchRepair(options: RepairOptions): Promise<BenchResult> {
  const { directory, runs, plannedPins, signal, say } = options
  const figures = emptyFigures(options)
  for (let run = 0; run < runs; run++) {
    say(`run ${run + 1} of ${runs}`)
    using cluster = new Cluster(join(directory, `cluster-${run}`), signal)
    await cluster.start(options)
    await measureRepair(cluster, options, figures)
    await measureReading(cluster, options, figures)
  }
  const planned = await measurePlanning({ runs, plannedPins, signal, say })
  return { bench: 'repair', figures: [...Object.values(figures), ...planned] }
}

function emptyFigures({ pins, pinnedBytes, sizeBytes, budget }: RepairOptions) {
  const figure = (what: string, unit: Figure['unit']): Figure => ({ what, unit, values: [] })
  const beside = (what: string, unit: Figure['unit'], ceiling: string) => ({
    ...figure(what, unit),
    ceiling: { what: ceiling, values: [] as number[] },
  })
  const size = formatSize(sizeBytes)
  const get = `get of ${size} from one peer while others repair at ${formatSize(budget)}/s`
  return {
    rate: beside('repair, durable', 'MB/s', `fetch of ${size} from one peer, durable`),
    replacing: figure(
      `until ${pins} pins of ${formatSize(pinnedBytes)} have ${copies} copies again, from the first given away`,
      's',
    ),
    killed: figure('the same from the kill', 's'),
    copied: beside('copied for that', 'MB', 'what the killed member held'),
    serving: beside(`${get}, by one that serves them`, 's', 'without'),
    servingLoss: figure('speed that it loses', '%'),
    repairing: beside(`${get}, by one that repairs`, 's', 'without'),
    repairingLoss: figure('speed that it loses', '%'),
  }
}

type Figures = ReturnType<typeof emptyFigures>

async function measureRepair(cluster: Cluster, options: RepairOptions, figures: Figures): Promise<void> {
  const { sizeBytes, pins, say } = options
  const { cids = [] } = await cluster.ask('a', { do: 'serve', files: reads, sizeBytes })
  const fetched: number[] = []
  for (const cid of cids) fetched.push((await cluster.ask('d', { do: 'fetch', cid })).seconds!)
  say('a member is killed')
  const before = await cluster.look()
  const lost = before.get('c')!
  before.delete('c')
  const killedMs = systemClock.monotonicMs()
  cluster.kill('c')
  const startedMs = await cluster.until('the first pin is given to another', (looks) =>
    [...looks].some(([name, { pins }]) => pins > before.get(name)!.pins),
  )
  const endedMs = await cluster.until('every pin is held again', (looks) => isWhole(looks, pins))
  const after = await cluster.look()
  await cluster.confirm(pins)
  const copied = received(after) - received(before)
  const seconds = (endedMs - startedMs) / 1_000
  figures.rate.values.push(copied / 1e6 / seconds)
  figures.rate.ceiling.values.push(sizeBytes / 1e6 / median(fetched))
  figures.replacing.values.push(seconds)
  figures.killed.values.push((endedMs - killedMs) / 1_000)
  figures.copied.values.push(copied / 1e6)
  figures.copied.ceiling.values.push(lost.heldBytes / 1e6)
}

async function measureReading(cluster: Cluster, options: RepairOptions, figures: Figures): Promise<void> {
  const { sizeBytes, budget, say } = options
  say(`repair gets a budget of ${formatSize(budget)}/s`)
  await cluster.reopen(budget)
  const readers = ['b', 'd'] as const
  const { cids = [] } = await cluster.ask('a', { do: 'serve', files: 2 * readers.length * reads, sizeBytes })
  const readAll = async () => {
    const seconds = { b: [] as number[], d: [] as number[] }
    for (let read = 0; read < reads; read++)
      for (const name of readers) {
        const cid = cids.pop()!
        const output = join(cluster.directory, cid)
        seconds[name].push((await cluster.ask(name, { do: 'get', cid, output })).seconds!)
      }
    return seconds
  }
  const alone = await readAll()
  say('another member is killed')
  const before = await cluster.look()
  cluster.kill('e')
  await cluster.until('the first pin is given to another', (looks) => looks.get('d')!.pins > before.get('d')!.pins)
  const beside = await readAll()
  if (isWhole(await cluster.look(), options.pins))
    throw new Error('the repair was over before all was read: give more bytes to pin, or a smaller budget')
  for (const [name, figure, loss] of [
    ['b', figures.serving, figures.servingLoss],
    ['d', figures.repairing, figures.repairingLoss],
  ] as const) {
    figure.values.push(...beside[name])
    figure.ceiling.values.push(...alone[name])
    loss.values.push(100 * (1 - median(alone[name]) / median(beside[name])))
  }
}

function received(looks: ReadonlyMap<Name, Look>): number {
  return [...looks.values()].reduce((sum, { bytesReceived }) => sum + bytesReceived, 0)
}

/** True when so many pins have all their copies, and whoever drives them knows it. */
function isWhole(looks: ReadonlyMap<Name, Look>, pins: number): boolean {
  const all = [...looks.values()]
  const held = all.reduce((sum, look) => sum + look.pins, 0)
  return (
    held >= pins * copies && all.every(({ reservedBytes, underReplicated }) => reservedBytes + underReplicated === 0)
  )
}

async function measurePlanning({
  runs,
  plannedPins,
  signal,
  say,
}: Pick<RepairOptions, 'runs' | 'plannedPins' | 'signal' | 'say'>): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const members of plannedMembers) {
    const of = `${plannedPins} pins of ${members} members`
    const planning: Figure = { what: `planning a change of ${of}`, unit: 's', values: [] }
    const round: Figure = { what: `a round of a driver after it, messages and records included`, unit: 's', values: [] }
    const heap: Figure = { what: `memory of ${of}`, unit: 'MB', values: [] }
    for (let run = 0; run < runs; run++) {
      say(`planning for ${members} members, run ${run + 1} of ${runs}`)
      using planner = new Role<PlanningCommand, PlanningAnswer>('planning-role', signal)
      const answer = await planner.ask({ pins: plannedPins, members })
      planning.values.push(answer.planSeconds)
      round.values.push(answer.roundSeconds)
      heap.values.push(answer.heapBytes / 1e6)
    }
    figures.push(planning, round, heap)
  }
  return figures
}

/** Those that are alive of the five. */
class Cluster implements Disposable {
  readonly directory: string
  readonly #signal: AbortSignal
  readonly #roles = new Map<Name, MemberRole>()

  constructor(directory: string, signal: AbortSignal) {
    this.directory = directory
    this.#signal = signal
  }

  async start({ pins, pinnedBytes, say }: RepairOptions): Promise<void> {
    say('five members start')
    for (const name of names) this.#roles.set(name, new Role('repair-role', this.#signal))
    const [first, ...others] = names as [Name, ...Name[]]
    const line = await this.#open(first, 0)
    await Promise.all(others.map((name) => this.#open(name, 0, { line })))
    await this.#gather()
    say(`they get ${pins} pins of ${formatSize(pinnedBytes)}`)
    using giver: MemberRole = new Role('repair-role', this.#signal)
    const common = { zone: 'elsewhere', capacity: 0, bytesPerSecond: 0 }
    await giver.ask({ do: 'open', home: join(this.directory, 'giver'), line, ...common })
    await giver.ask({ do: 'gather', alive: names.length + 1 })
    await giver.ask({ do: 'give', pins, pinBytes: Math.ceil(pinnedBytes / pins), copies })
    await this.#gather()
    await this.until('every pin is held', (looks) => isWhole(looks, pins))
    await this.confirm(pins)
  }

  /** Opens everybody again, one after the other, since budgets are settings. */
  async reopen(bytesPerSecond: number): Promise<void> {
    for (const name of this.#roles.keys()) {
      await this.#open(name, bytesPerSecond)
      await this.#gather()
    }
  }

  async ask(name: Name, command: RepairCommand): Promise<RepairAnswer> {
    return await this.#roles.get(name)!.ask(command)
  }

  kill(name: Name): void {
    this.#roles.get(name)![Symbol.dispose]()
    this.#roles.delete(name)
  }

  async look(): Promise<Map<Name, Look>> {
    const all = [...this.#roles].map(async ([name, role]) => [name, (await role.ask({ do: 'look' })).look!] as const)
    return new Map(await Promise.all(all))
  }

  /** Looks again and again; returns the monotonic time at which it held. */
  async until(what: string, holds: (looks: ReadonlyMap<Name, Look>) => boolean): Promise<number> {
    const until = async (signal: AbortSignal) => {
      while (!holds(await this.look())) await sleep(systemClock, lookEveryMs, signal)
      return systemClock.monotonicMs()
    }
    return await withDeadline(systemClock, repairMs, `waiting until ${what}`, until, { signal: this.#signal })
  }

  /** Throws if a member that lists all pins sees one with too few copies. */
  async confirm(pins: number): Promise<void> {
    const listed = await this.ask('a', { do: 'list' })
    if (listed.pins !== pins || listed.copies! < copies)
      throw new Error(`of ${pins} pins ${listed.pins} are listed, and one has ${listed.copies} copies`)
  }

  [Symbol.dispose](): void {
    for (const role of this.#roles.values()) role[Symbol.dispose]()
  }

  async #open(name: Name, bytesPerSecond: number, invited: { line?: string } = {}): Promise<string> {
    const place = { home: join(this.directory, name), zone: places[name], capacity, bytesPerSecond }
    const { line } = await this.ask(name, { do: 'open', ...place, ...invited })
    return line!
  }

  async #gather(): Promise<void> {
    for (const role of this.#roles.values()) await role.ask({ do: 'gather', alive: this.#roles.size })
  }
}
