// `potluck sim`: runs whole clusters in one process, with time, network and disks that are simulated, and says whether the
// promises of the program held. The simulating itself is in src/sim; here are the flags and what is printed.
import { formatTime } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import type { SeedsReport } from '../../sim/seeds.ts'
import { define, type Register } from '../define.ts'
import type { Output } from '../output.ts'
import { networkFlags, simNetwork } from './sim-network.ts'

export const registerSim: Register = (parent) =>
  define(parent, {
    name: 'sim',
    args: '<name>',
    summary:
      "simulate: 'records' or 'pins' (faults of every kind; are the promises kept?), 'members' (traffic by cluster size) or 'network' (hundreds of real peers that come and go)",
    flags: [
      ['--seeds <count>', 'records, pins: runs, each of another seed (default 100; with --seed 1)'],
      [
        '--seed <number>',
        'records, pins, network: the first seed; a failed run prints the one to give here (default 1)',
      ],
      ['--peers <count>', 'records, pins: peers at the beginning (default 5)'],
      ['--steps <count>', 'records, pins: operations of clients in a run (default 200)'],
      ['--members <counts>', 'members: sizes of the cluster (default 5,20,50,100,200,500)'],
      [
        '--plant <bug>',
        'break a promise on purpose; records: ack-before-fsync, wall-clock-wins, no-overlap or dots-per-key; pins: held-too-soon, trims-too-soon or names-blindly',
      ],
      ...networkFlags,
    ],
    examples: [
      'potluck sim records',
      'potluck sim records --seeds 1000',
      'potluck sim records --seed 42',
      'potluck sim pins --seeds 20',
      'potluck sim members',
      'potluck sim network --nodes 100 --churn 20%/min',
    ],
    async action({ output, signal }, [name = ''], flags) {
      if (name === 'records') await simRecords(output, signal, flags)
      else if (name === 'pins') await simPins(output, signal, flags)
      else if (name === 'members') await simMembers(output, signal, flags)
      else if (name === 'network') await simNetwork(output, signal, flags)
      else
        throw new NodeError(
          'REQUEST_INVALID',
          `there is no simulation '${name}'; there are 'records', 'pins', 'members' and 'network'`,
        )
    },
  })

async function simRecords(output: Output, signal: AbortSignal, flags: Record<string, unknown>): Promise<void> {
  const { startPeer } = await import('../../sim/peer.ts')
  const { plants } = await import('../../sim/plants.ts')
  const { runSeed, storyOf } = await import('../../sim/run.ts')
  const { runSeeds } = await import('../../sim/seeds.ts')
  const plant = plantOf(flags, plants)
  const { peers, steps, ...range } = rangeOf(flags)
  const report = await runSeeds({
    ...range,
    run: (seed, { isVerbose }) =>
      runSeed((ports) => startPeer(ports, { copies: 3, plant }), {
        seed,
        peers,
        steps,
        disksLie: plant === 'ack-before-fsync',
        isVerbose,
      }),
    storyOf,
    replayOf: (seed) => replayOf('records', { seed, peers, steps, plant }),
    signal,
    say: (sentence) => output.say(sentence),
  })
  await tell(output, report)
}

async function simPins(output: Output, signal: AbortSignal, flags: Record<string, unknown>): Promise<void> {
  const { measureDag } = await import('../../files/dag.ts')
  const { linksOf } = await import('../../files/links.ts')
  const { pinOf } = await import('../../replicas/pin.ts')
  const { startPinPeer } = await import('../../sim/pins/peer.ts')
  const { pinPlants, spoilerOf } = await import('../../sim/pins/plants.ts')
  const { pinStoryOf, runPinSeed } = await import('../../sim/pins/run.ts')
  const { runSeeds } = await import('../../sim/seeds.ts')
  const plant = plantOf(flags, pinPlants)
  const spoil = spoilerOf(plant)
  const { peers, steps, ...range } = rangeOf(flags)
  let moved = { bytes: 0, needed: 0, most: 0 }
  const report = await runSeeds({
    ...range,
    run: (seed, { isVerbose }) =>
      runPinSeed((ports, graceMs) => startPinPeer(ports, { copies: 3, graceMs, linksOf, measureDag, pinOf, spoil }), {
        seed,
        peers,
        steps,
        isVerbose,
      }),
    storyOf: pinStoryOf,
    replayOf: (seed) => replayOf('pins', { seed, peers, steps, plant }),
    signal,
    say: (sentence) => output.say(sentence),
    onResult: ({ movedBytes, neededBytes }) => {
      const factor = neededBytes > 0 ? movedBytes / neededBytes : 0
      moved = {
        bytes: moved.bytes + movedBytes,
        needed: moved.needed + neededBytes,
        most: Math.max(moved.most, factor),
      }
    },
  })
  const factor = moved.needed > 0 ? moved.bytes / moved.needed : 0
  const explained = `moved ${factor.toFixed(2)} times the bytes that had to be, ${moved.most.toFixed(2)} times at most`
  await tell(output, { ...report, moved }, explained)
}

function rangeOf(flags: Record<string, unknown>): { peers: number; steps: number; seed: number; seeds: number } {
  const text = (flag: string, fallback: string) => (flags[flag] as string | undefined) ?? fallback
  return {
    peers: count('peers', text('peers', '5')),
    steps: count('steps', text('steps', '200')),
    seed: count('seed', text('seed', '1')),
    seeds: count('seeds', text('seeds', flags.seed === undefined ? '100' : '1')),
  }
}

function plantOf<P extends string>(flags: Record<string, unknown>, plants: readonly P[]): P | undefined {
  const plant = plants.find((name) => name === flags.plant)
  if (flags.plant !== undefined && !plant)
    throw new NodeError('REQUEST_INVALID', `there is no bug '${flags.plant}' to plant; there are ${plants.join(', ')}`)
  return plant
}

function replayOf(
  name: string,
  { seed, peers, steps, plant }: { seed: number; peers: number; steps: number; plant: string | undefined },
): string {
  const planted = plant === undefined ? '' : ` --plant ${plant}`
  return `potluck sim ${name} --seed ${seed} --peers ${peers} --steps ${steps}${planted}`
}

async function tell(output: Output, report: SeedsReport & { moved?: unknown }, more?: string): Promise<void> {
  const { seeds, failures, operations, acknowledged, faults, simulatedHours, seconds } = report
  const ran = `${seeds} seeds, ${operations} operations (${acknowledged} acknowledged), ${faults} faults, ${simulatedHours.toFixed(1)} simulated hours in ${formatTime(seconds * 1000)}`
  const held = failures.length === 0 ? 'every promise held' : `${failures.length} failed`
  await output.result(report, `${ran}: ${held}${more === undefined ? '' : `\n${more}`}`)
  if (failures.length === 0) return
  throw new NodeError(
    'SIMULATION_FAILED',
    `${failures.length} of ${seeds} seeds failed; again with: ${failures[0]!.replay}`,
  )
}

function count(what: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    throw new NodeError('REQUEST_INVALID', `'${text}' is not a number of ${what}`)
  return value
}

async function simMembers(output: Output, signal: AbortSignal, flags: Record<string, unknown>): Promise<void> {
  const { startMember } = await import('../../sim/peer.ts')
  const { simulateMembers } = await import('../../sim/traffic.ts')
  const sizes = ((flags.members as string | undefined) ?? '5,20,50,100,200,500').split(',')
  const points = await simulateMembers(startMember, {
    sizes: sizes.map((size) => count('members', size)),
    seed: 1,
    signal,
    say: (sentence) => output.say(sentence),
  })
  const heads = [
    'members',
    'B/s each',
    'B/s busiest',
    'connections',
    'most',
    'pings B/s each',
    'joined in s',
    'at rest in s',
    'half know in s',
    'all know in s',
    'false alarms',
  ]
  const rows = points.map((point) => [
    point.members,
    Math.round(point.bytesPerSecond),
    Math.round(point.bytesPerSecondMost),
    Math.round(point.lines),
    point.linesMost,
    Math.round(point.pingBytesPerSecond),
    point.joinedSeconds.toFixed(1),
    point.restSeconds.toFixed(1),
    point.noticedByHalfSeconds.toFixed(1),
    point.noticedByAllSeconds.toFixed(1),
    point.falseAlarms,
  ])
  const lines = [heads, ...rows].map((row) => row.map((cell) => String(cell).padStart(15)).join(''))
  const explained =
    'all join, 50 at a time; sent by each member in a minute at rest, when the news of that are told, headers included, and by libp2p to keep its connections alive; then one machine loses power: when others think it dead'
  await output.result({ points }, `${lines.join('\n')}\n${explained}`)
}
