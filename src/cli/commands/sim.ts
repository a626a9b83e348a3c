// `potluck sim`: runs whole clusters in one process, with time, network and disks that are simulated, and says whether the
// promises of the program held. The simulating itself is in src/sim; here are the flags and what is printed.
import { formatTime } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import { define, type Register } from '../define.ts'
import type { Output } from '../output.ts'

export const registerSim: Register = (parent) =>
  define(parent, {
    name: 'sim',
    args: '<name>',
    summary:
      "simulate: 'records' (faults of every kind; are the promises kept?) or 'members' (traffic by cluster size)",
    flags: [
      ['--seeds <count>', 'records: runs, each of another seed (default 100; with --seed 1)'],
      ['--seed <number>', 'records: the first seed; a failed run prints the one to give here (default 1)'],
      ['--peers <count>', 'records: peers at the beginning (default 5)'],
      ['--steps <count>', 'records: operations of clients in a run (default 200)'],
      ['--members <counts>', 'members: sizes of the cluster (default 5,20,50,100,200,500)'],
      [
        '--plant <bug>',
        'records: break a promise on purpose: ack-before-fsync, wall-clock-wins, no-overlap or dots-per-key',
      ],
    ],
    examples: [
      'potluck sim records',
      'potluck sim records --seeds 1000',
      'potluck sim records --seed 42',
      'potluck sim members',
    ],
    async action({ output, signal }, [name = ''], flags) {
      if (name === 'records') await simRecords(output, signal, flags)
      else if (name === 'members') await simMembers(output, signal, flags)
      else throw new NodeError('REQUEST_INVALID', `there is no simulation '${name}'; there are 'records' and 'members'`)
    },
  })

async function simRecords(output: Output, signal: AbortSignal, flags: Record<string, unknown>): Promise<void> {
  const { startPeer } = await import('../../sim/peer.ts')
  const { plants } = await import('../../sim/plants.ts')
  const { runSeeds } = await import('../../sim/seeds.ts')
  const text = (flag: string, fallback: string) => (flags[flag] as string | undefined) ?? fallback
  const plant = plants.find((name) => name === flags.plant)
  if (flags.plant !== undefined && !plant)
    throw new NodeError('REQUEST_INVALID', `there is no bug '${flags.plant}' to plant; there are ${plants.join(', ')}`)
  const peers = count('peers', text('peers', '5'))
  const steps = count('steps', text('steps', '200'))
  const report = await runSeeds({
    start: (ports) => startPeer(ports, { copies: 3, plant }),
    plant,
    peers,
    steps,
    seed: count('seed', text('seed', '1')),
    seeds: count('seeds', text('seeds', flags.seed === undefined ? '100' : '1')),
    signal,
    say: (sentence) => output.say(sentence),
  })
  const { seeds, failures, operations, acknowledged, faults, simulatedHours, seconds } = report
  const ran = `${seeds} seeds, ${operations} operations (${acknowledged} acknowledged), ${faults} faults, ${simulatedHours.toFixed(1)} simulated hours in ${formatTime(seconds * 1000)}`
  await output.result(report, `${ran}: ${failures.length === 0 ? 'every promise held' : `${failures.length} failed`}`)
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
    point.joinedSeconds.toFixed(1),
    point.restSeconds.toFixed(1),
    point.noticedByHalfSeconds.toFixed(1),
    point.noticedByAllSeconds.toFixed(1),
    point.falseAlarms,
  ])
  const lines = [heads, ...rows].map((row) => row.map((cell) => String(cell).padStart(15)).join(''))
  const explained =
    'all join at once; sent by each member in a minute at rest, when the news of that are told, headers included; then one machine loses power: when others think it dead'
  await output.result({ points }, `${lines.join('\n')}\n${explained}`)
}
