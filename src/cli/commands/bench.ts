// `potluck bench`: measures this machine's potluck beside what limits it. The measuring itself is in src/bench; here are
// the flags, a folder to work in, and what is printed.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseSize } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import { define, type Register } from '../define.ts'

/** Pins of the driver that `bench repair` lets plan. */
const plannedPins = 100_000

export const registerBench: Register = (parent) =>
  define(parent, {
    name: 'bench',
    args: '<name>',
    summary:
      "measure: 'add' (files into the store), 'fetch' (between two processes), 'records' (of three members), 'repair' (of five) or 'reach' (through relays)",
    flags: [
      ['--runs <count>', 'runs; medians are shown (default 5, for repair 1)'],
      ['--size <size>', 'size of the large file (default 256MiB)'],
      ['--files <count>', 'number of 4 KiB files (default 10000)'],
      ['--pins <count>', 'contents that are held while members are killed (default 200)'],
      ['--pinned <size>', 'size of all these together (default 2GiB)'],
      ['--budget <size>', 'what each member may copy in a second while others read (default 20MB)'],
      ['--dir <path>', 'work on the disk of this folder (default: the temporary folder)'],
    ],
    examples: [
      'potluck bench add',
      'potluck bench fetch',
      'potluck bench records',
      'potluck bench repair',
      'potluck bench reach',
      'potluck bench add --size 4GiB --runs 1 --dir /mnt/disk',
    ],
    async action({ output, signal }, [name = ''], flags) {
      const { benchAdd } = await import('../../bench/add.ts')
      const { benchFetch } = await import('../../bench/fetch.ts')
      const { benchReach } = await import('../../bench/reach.ts')
      const { benchRecords } = await import('../../bench/records.ts')
      const { benchRepair } = await import('../../bench/repair.ts')
      const { document, lines } = await import('../../bench/report.ts')
      const all = { add: benchAdd, fetch: benchFetch, reach: benchReach, records: benchRecords, repair: benchRepair }
      const bench = Object.hasOwn(all, name) ? all[name as keyof typeof all] : undefined
      if (!bench)
        throw new NodeError(
          'REQUEST_INVALID',
          `there is no benchmark '${name}'; there are 'add', 'fetch', 'reach', 'records' and 'repair'`,
        )
      const text = (flag: string, fallback: string) => (flags[flag] as string | undefined) ?? fallback
      const directory = await mkdtemp(join(resolve(text('dir', tmpdir())), 'potluck-bench-'))
      try {
        const runs = count(text('runs', name === 'repair' ? '1' : '5'))
        const sizeBytes = parseSize(text('size', '256MiB'))
        const files = count(text('files', '10000'))
        const pins = count(text('pins', '200'))
        const pinnedBytes = parseSize(text('pinned', '2GiB'))
        const budget = parseSize(text('budget', '20MB'))
        const say = (sentence: string) => output.say(sentence)
        const result = await bench({
          directory,
          runs,
          sizeBytes,
          files,
          pins,
          pinnedBytes,
          budget,
          plannedPins,
          signal,
          say,
        })
        await output.result(document(result), lines(result).join('\n'))
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    },
  })

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new NodeError('REQUEST_INVALID', `'${text}' is not a count`)
  return value
}
