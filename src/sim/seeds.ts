// Many runs, one seed after the other, and what they come to. A run that failed is told with the part of its history that
// matters and the one command that replays it.
import { systemClock } from '../base/clock.ts'
import type { Finding } from './checkers.ts'
import type { Program } from './client.ts'
import type { StartProgram } from './cluster.ts'
import { type RunResult, runSeed, storyOf } from './run.ts'

export interface SeedsOptions {
  start: StartProgram<Program>
  /** The first seed. */
  seed: number
  seeds: number
  peers: number
  steps: number
  /** The name of a promise that is broken on purpose; what `start` does about it is its own business. */
  plant?: string | undefined
  signal: AbortSignal
  /** Progress and failures, for people. */
  say: (sentence: string) => void
}

/** What all runs came to. */
export interface SeedsReport {
  seeds: number
  operations: number
  acknowledged: number
  faults: number
  /** Events fired. */
  events: number
  simulatedHours: number
  /** Real time. */
  seconds: number
  failures: { seed: number; findings: Finding[]; replay: string }[]
}

const progressEveryMs = 5_000

export async function runSeeds(options: SeedsOptions): Promise<SeedsReport> {
  const { start, seed, seeds, peers, steps, plant, say, signal } = options
  const disksLie = plant === 'ack-before-fsync'
  const startMs = systemClock.monotonicMs()
  let saidMs = startMs
  const report: SeedsReport = {
    seeds: 0,
    operations: 0,
    acknowledged: 0,
    faults: 0,
    events: 0,
    simulatedHours: 0,
    seconds: 0,
    failures: [],
  }
  for (let at = seed; at < seed + seeds; at++) {
    signal.throwIfAborted()
    const result = await runSeed(start, { seed: at, peers, steps, disksLie, isVerbose: seeds === 1 })
    count(report, result)
    const nowMs = systemClock.monotonicMs()
    report.seconds = (nowMs - startMs) / 1000
    if (result.findings.length > 0) tell(report, result, options)
    if (nowMs - saidMs < progressEveryMs) continue
    saidMs = nowMs
    say(`${report.seeds} of ${seeds} seeds, ${report.failures.length} failed`)
  }
  return report
}

function count(report: SeedsReport, { history, events, simulatedMs }: RunResult): void {
  report.seeds++
  report.operations += history.operations.length
  report.acknowledged += history.operations.filter(({ outcome }) => outcome === 'done').length
  report.faults += history.events.length
  report.events += events
  report.simulatedHours += simulatedMs / 3_600_000
}

/** Only the first failure is told at length: the next ones are often the same. */
function tell(report: SeedsReport, result: RunResult, { peers, steps, plant, say, seeds }: SeedsOptions): void {
  const planted = plant === undefined ? '' : ` --plant ${plant}`
  const replay = `potluck sim records --seed ${result.seed} --peers ${peers} --steps ${steps}${planted}`
  report.failures.push({ seed: result.seed, findings: result.findings, replay })
  const told = report.failures.length === 1 ? [...storyOf(result), ...(seeds === 1 ? result.log : [])] : headOf(result)
  for (const line of told) say(line)
  say(`seed ${result.seed} failed; again with: ${replay}`)
}

function headOf({ findings }: RunResult): string[] {
  return findings.slice(0, 1).map(({ checker, sentence }) => `${checker}: ${sentence}`)
}
