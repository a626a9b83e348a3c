// How fast files become durable blocks: one large file and many small ones, each into a new store, beside `cp` and `sync`
// of the same bytes in the same run. Output is only moved on, and deleted at the very end, because deleting much slows
// the file system down for minutes.

import { join } from 'node:path'
import { systemClock } from '../base/clock.ts'
import { Home } from '../node/home.ts'
import { openPeer } from '../node/open.ts'
import type { BenchOptions, BenchResult, Figure } from './report.ts'
import { copySeconds, largeFile, smallFiles } from './workload.ts'

export async function benchAdd({ directory, runs, sizeBytes, files, signal, say }: BenchOptions): Promise<BenchResult> {
  const large: Figure = {
    what: 'add one file, durable',
    unit: 'MB/s',
    values: [],
    ceiling: { what: 'cp + sync', values: [] },
  }
  const small: Figure = {
    what: 'add 4 KiB files, durable',
    unit: 'files/s',
    values: [],
    ceiling: { what: 'cp + sync', values: [] },
  }
  const file = await largeFile(directory, sizeBytes)
  const folder = await smallFiles(directory, files)
  for (let run = 0; run < runs; run++) {
    signal.throwIfAborted()
    say(`run ${run + 1} of ${runs}`)
    const at = (name: string) => join(directory, `${name}-${run}`)
    large.ceiling?.values.push(sizeBytes / 1e6 / (await copySeconds(file, at('copied-large'))))
    large.values.push(sizeBytes / 1e6 / (await addSeconds(file, at('home-large'), signal)))
    small.ceiling?.values.push(files / (await copySeconds(folder, at('copied-small'))))
    small.values.push(files / (await addSeconds(folder, at('home-small'), signal)))
  }
  const peak: Figure = {
    what: 'peak memory of this process',
    unit: 'MB',
    values: [process.resourceUsage().maxRSS / 1024],
  }
  return { bench: 'add', figures: [large, small, peak] }
}

async function addSeconds(path: string, home: string, signal: AbortSignal): Promise<number> {
  await using peer = await openPeer({ home: new Home(home), online: false, doing: 'bench', signal })
  const startedMs = systemClock.monotonicMs()
  await peer.add(path, { signal })
  return (systemClock.monotonicMs() - startedMs) / 1000
}
