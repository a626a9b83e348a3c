// Many runs, one seed after the other, and what they come to. A run that failed is told with the part of its history that
// matters and the one command that replays it.
import { systemClock } from '../base/clock.ts'
import type { Finding } from './checkers.ts'

/** What every simulation gives of one seed. */
interface Outcome {
  seed: number
  findings: Finding[]
  history: { operations: readonly { outcome: string }[]; events: readonly unknown[] }
  events: number
  simulatedMs: number
  log: string[]
}

export interface SeedsOptions<R extends Outcome> {
  run: (seed: number, options: { isVerbose: boolean }) => Promise<R>
  /** What a person needs to see of a run that failed. */
  storyOf: (result: R) => string[]
  /** The command that runs one seed again. */
  replayOf: (seed: number) => string
  /** The first seed. */
  seed: number
  seeds: number
  signal: AbortSignal
  /** Progress and failures, for people. */
  say: (sentence: string) => void
  /** Hears of every run. */
  onResult?: (result: R) => void
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

export async function runSeeds<R extends Outcome>(options: SeedsOptions<R>): Promise<SeedsReport> {
  const { run, seed, seeds, say, signal, onResult } = options
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
    const result = await run(at, { isVerbose: seeds === 1 })
    count(report, result)
    onResult?.(result)
    const nowMs = systemClock.monotonicMs()
    report.seconds = (nowMs - startMs) / 1000
    if (result.findings.length > 0) tell(report, result, options)
    if (nowMs - saidMs < progressEveryMs) continue
    saidMs = nowMs
    say(`${report.seeds} of ${seeds} seeds, ${report.failures.length} failed`)
  }
  return report
}

function count(report: SeedsReport, { history, events, simulatedMs }: Outcome): void {
  report.seeds++
  report.operations += history.operations.length
  report.acknowledged += history.operations.filter(({ outcome }) => outcome === 'done').length
  report.faults += history.events.length
  report.events += events
  report.simulatedHours += simulatedMs / 3_600_000
}

/** Only the first failure is told at length: the next ones are often the same. */
function tell<R extends Outcome>(
  report: SeedsReport,
  result: R,
  { storyOf, replayOf, say, seeds }: SeedsOptions<R>,
): void {
  const replay = replayOf(result.seed)
  report.failures.push({ seed: result.seed, findings: result.findings, replay })
  const told = report.failures.length === 1 ? [...storyOf(result), ...(seeds === 1 ? result.log : [])] : headOf(result)
  for (const line of told) say(line)
  say(`seed ${result.seed} failed; again with: ${replay}`)
}

function headOf({ findings }: Outcome): string[] {
  return findings.slice(0, 1).map(({ checker, sentence }) => `${checker}: ${sentence}`)
}
