// How fast one peer fetches from another, each a process of its own on loopback: every byte verified and durable in the
// fetcher's store, beside a bare stream between the same two processes that stores nothing.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { abortable } from '../base/abort.ts'
import type { FetchCommand, RoleAnswer } from './fetch-role.ts'
import type { BenchOptions, BenchResult, Figure } from './report.ts'
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
  using server = new Role(signal)
  using fetcher = new Role(signal)
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

/** One of the two processes. */
class Role implements Disposable {
  readonly #child: ChildProcess
  readonly #signal: AbortSignal
  readonly #gone: Promise<never>

  constructor(signal: AbortSignal) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#child = fork(fileURLToPath(new URL(`./fetch-role.${extension}`, import.meta.url)), { serialization: 'json' })
    this.#signal = signal
    this.#gone = once(this.#child, 'exit').then(() => {
      throw new Error('a process of the benchmark ended early')
    })
    this.#gone.catch(() => {})
  }

  async ask(command: FetchCommand): Promise<RoleAnswer> {
    this.#child.send(command)
    const given = await abortable(Promise.race([this.#answer(), this.#gone]), this.#signal)
    if (given.failed) throw new Error(given.failed)
    return given
  }

  async #answer(): Promise<RoleAnswer> {
    const [message] = await once(this.#child, 'message')
    return message as RoleAnswer
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}
