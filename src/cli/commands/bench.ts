// `potluck bench`: measures this machine's potluck beside what limits it. The measuring itself is in src/bench; here are
// the flags, a folder to work in, and what is printed.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseSize } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import { define, type Register } from '../define.ts'

export const registerBench: Register = (parent) =>
  define(parent, {
    name: 'bench',
    args: '<name>',
    summary: "measure: 'add' (files into the store), 'fetch' (between two processes) or 'records' (of three members)",
    flags: [
      ['--runs <count>', 'runs; medians are shown (default 5)'],
      ['--size <size>', 'size of the large file (default 256MiB)'],
      ['--files <count>', 'number of 4 KiB files (default 10000)'],
      ['--dir <path>', 'work on the disk of this folder (default: the temporary folder)'],
    ],
    examples: [
      'potluck bench add',
      'potluck bench fetch',
      'potluck bench records',
      'potluck bench add --size 4GiB --runs 1 --dir /mnt/disk',
    ],
    async action({ output, signal }, [name = ''], flags) {
      const { benchAdd } = await import('../../bench/add.ts')
      const { benchFetch } = await import('../../bench/fetch.ts')
      const { benchRecords } = await import('../../bench/records.ts')
      const { document, lines } = await import('../../bench/report.ts')
      const bench = { add: benchAdd, fetch: benchFetch, records: benchRecords }[name]
      if (!bench)
        throw new NodeError(
          'REQUEST_INVALID',
          `there is no benchmark '${name}'; there are 'add', 'fetch' and 'records'`,
        )
      const text = (flag: string, fallback: string) => (flags[flag] as string | undefined) ?? fallback
      const directory = await mkdtemp(join(resolve(text('dir', tmpdir())), 'potluck-bench-'))
      try {
        const runs = count(text('runs', '5'))
        const sizeBytes = parseSize(text('size', '256MiB'))
        const files = count(text('files', '10000'))
        const say = (sentence: string) => output.say(sentence)
        const result = await bench({ directory, runs, sizeBytes, files, signal, say })
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
