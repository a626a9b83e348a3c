// Figures as people can trust them: the machine, medians of several runs, and each figure beside the ceiling that was
// measured in the same run, as a ratio. Nothing here judges.
import { cpus, loadavg, totalmem } from 'node:os'
import { formatSize } from '../core/units.ts'
import { version } from '../node/version.ts'

export interface Figure {
  what: string
  unit: 'MB/s' | 'files/s' | 'writes/s' | 'reads/s' | 'MB' | 'ms' | 's' | '%' | 'round trips'
  /** One per run, in order. */
  values: number[]
  /** The same work by the ceiling, run by run. */
  ceiling?: { what: string; values: number[] }
}

export interface BenchResult {
  bench: string
  figures: Figure[]
}

export interface BenchOptions {
  /** Where to work; made, and removed at the very end. */
  directory: string
  runs: number
  sizeBytes: number
  files: number
  signal: AbortSignal
  say: (sentence: string) => void
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function machine(): string {
  const processors = cpus()
  return `potluck ${version}, Node.js ${process.versions.node}, ${process.platform} ${process.arch}, ${processors.length} x ${processors[0]?.model.trim()}, ${formatSize(totalmem())}, load ${loadavg()[0]!.toFixed(1)}`
}

/** One line per figure: median, range, and the median of the ratios. */
export function lines({ bench, figures }: BenchResult): string[] {
  return [`bench ${bench}: ${machine()}`, ...figures.map(line)]
}

function line({ what, unit, values, ceiling }: Figure): string {
  const own = `${what}: ${show(median(values))} ${unit} (${show(Math.min(...values))} to ${show(Math.max(...values))}, ${values.length} runs)`
  if (!ceiling) return own
  const ratios = values.map((value, run) => value / ceiling.values[run]!)
  return `${own}; ${ceiling.what}: ${show(median(ceiling.values))} ${unit}; ratio ${median(ratios).toFixed(2)}`
}

/** The same for programs. */
export function document({ bench, figures }: BenchResult): object {
  return {
    bench,
    machine: machine(),
    figures: figures.map(({ what, unit, values, ceiling }) => ({
      what,
      unit,
      median: median(values),
      values,
      ...(ceiling && { ceiling: { what: ceiling.what, median: median(ceiling.values), values: ceiling.values } }),
    })),
  }
}

function show(value: number): string {
  return value >= 100 ? Math.round(value).toString() : value.toFixed(1)
}
