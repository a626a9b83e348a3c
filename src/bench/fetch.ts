// How fast one peer fetches from another, each a process of its own on loopback: every byte verified and durable in the
// fetcher's store, beside a bare stream between the same two processes that stores nothing.
import { join } from 'node:path'
import type { FetchCommand, RoleAnswer } from './fetch-role.ts'
import type { BenchOptions, BenchResult, Figure } from './report.ts'
import { Role } from './role.ts'
import { largeFile, smallFiles } from './workload.ts'

export async function benchFetch({
  directory,
  runs,
  sizeBytes,
  files,
  signal,
  say,
}: BenchOptions): Promise<BenchResult> {
  const raw = { what: 'bare libp2p stream, nothing stored', values: [] as number[] }
  const large: Figure = { what: 'fetch one file, verified and durable', unit: 'MB/s', values: [], ceiling: raw }
  const small: Figure = { what: 'fetch 4 KiB files, verified and durable', unit: 'files/s', values: [] }
  const paths = [await largeFile(directory, sizeBytes), await smallFiles(directory, files)]
  using server = new Role<FetchCommand, RoleAnswer>('fetch-role', signal)
  using fetcher = new Role<FetchCommand, RoleAnswer>('fetch-role', signal)
  const { line, rawAddress, cids } = await server.ask({ role: 'serve', home: join(directory, 'server'), paths })
  const [largeCid = '', smallCid = ''] = cids ?? []
  const common = { role: 'fetch', line: line ?? '', rawAddress: rawAddress ?? '' } as const
  for (let run = 0; run < runs; run++) {
    say(`run ${run + 1} of ${runs}`)
    const home = (name: string) => join(directory, `fetcher-${name}-${run}`)
    const rawRun = await fetcher.ask({ ...common, home: home('raw'), rawBytes: sizeBytes })
    raw.values.push(sizeBytes / 1e6 / rawRun.seconds)
    const largeRun = await fetcher.ask({ ...common, home: home('large'), cid: largeCid })
    large.values.push(sizeBytes / 1e6 / largeRun.seconds)
    const smallRun = await fetcher.ask({ ...common, home: home('small'), cid: smallCid })
    small.values.push(files / smallRun.seconds)
  }
  const { peakRssBytes } = await fetcher.ask({ ...common, home: '' })
  const peak: Figure = { what: 'peak memory of the fetcher', unit: 'MB', values: [peakRssBytes / 1e6] }
  return { bench: 'fetch', figures: [large, small, peak] }
}
