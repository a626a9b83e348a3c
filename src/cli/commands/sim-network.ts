// `potluck sim network`: the one simulation that simulates nothing but the machines. Its peers are real processes' peers
// with real sockets, which src/bench runs; here are its flags, read strictly, and what is printed.
import { parseTime } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import type { Output } from '../output.ts'

export const networkFlags: [flag: string, explain: string][] = [
  ['--nodes <count>', 'network: peers (default 200)'],
  ['--processes <count>', 'network: processes that they run in (default 4)'],
  ['--churn <share>', 'network: peers that are killed, and others started, in a minute (default 10%/min)'],
  ['--minutes <count>', 'network: how long there is churn (default 1)'],
]

const nodesMax = 1_000
const processesMax = 64
const minutesMax = 24 * 60

export async function simNetwork(output: Output, signal: AbortSignal, flags: Record<string, unknown>): Promise<void> {
  const { runSwarm } = await import('../../bench/swarm.ts')
  const { swarmLines } = await import('../../bench/swarm-report.ts')
  const text = (flag: string, fallback: string) => (flags[flag] as string | undefined) ?? fallback
  const nodes = within('nodes', text('nodes', '200'), { least: 4, most: nodesMax })
  const result = await runSwarm({
    nodes,
    processes: within('processes', text('processes', '4'), { least: 1, most: Math.min(processesMax, nodes) }),
    seed: within('seed', text('seed', '1'), { least: 0, most: 2 ** 32 - 1 }),
    churnPerMinute: share(text('churn', '10%/min')),
    churnMs: within('minutes', text('minutes', '1'), { least: 0, most: minutesMax, whole: false }) * parseTime('1m'),
    restMs: parseTime('15s'),
    settleMs: parseTime('10s'),
    // An announcement takes half a second of a core, and the lookups shall measure the network, not this machine.
    asksPerSecond: 2,
    signal,
    say: (sentence) => output.say(sentence),
  })
  await output.result(result, swarmLines(result.phases).join('\n'))
}

function within(
  flag: string,
  text: string,
  { least, most, whole = true }: { least: number; most: number; whole?: boolean },
): number {
  const value = Number(text)
  const isRight = text.trim() !== '' && value >= least && value <= most && (!whole || Number.isInteger(value))
  if (!isRight)
    throw new NodeError('REQUEST_INVALID', `--${flag} takes a number from ${least} to ${most}, and '${text}' is none`)
  return value
}

/** '10%/min', or '10%': parts of 1 in a minute. */
function share(text: string): number {
  const percent = Number(/^(\d+(?:\.\d+)?)%(?:\/min)?$/.exec(text.trim())?.[1])
  if (percent >= 0 && percent <= 100) return percent / 100
  throw new NodeError('REQUEST_INVALID', `--churn takes a share of the peers, 0% to 100%/min, and '${text}' is none`)
}
