// The program as a user runs it: processes with homes of their own, on loopback, ended when the test ends.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const launch = fileURLToPath(new URL('../../src/cli/launch.js', import.meta.url))

export interface Ran {
  code: number | null
  stdout: string
  stderr: string
  /** The JSON lines of stdout. */
  lines: Record<string, unknown>[]
}

export interface RunningPeer {
  home: string
  peerId: string
  addresses: string[]
  api: string
  /** Where a hub answers over HTTP. */
  routing: string | null
  process: ChildProcess
  /** Runs a command for this peer. */
  run(...args: string[]): Promise<Ran>
  /** Ends it with a signal and waits for its exit code. */
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | null>
}

export class Program implements AsyncDisposable {
  readonly #children = new Set<ChildProcess>()
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  static async open(): Promise<Program> {
    return new Program(await mkdtemp(join(tmpdir(), 'potluck-test-')))
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Runs a command with `--json`; `input` goes to its stdin. */
  async run(home: string, args: string[], input?: Uint8Array): Promise<Ran> {
    const child = this.spawn(['--home', home, '--json', ...args])
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    const [stdout, stderr] = [collect(child, 'stdout'), collect(child, 'stderr')]
    const [code] = (await once(child, 'close')) as [number | null]
    const text = await stdout
    const lines = text.trimStart().startsWith('{')
      ? text
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line))
      : []
    return { code, stdout: text, stderr: await stderr, lines }
  }

  async start(name: string, ...flags: string[]): Promise<RunningPeer> {
    const home = this.path(name)
    const listen = flags.includes('--listen') ? [] : ['--listen', '/ip4/127.0.0.1/tcp/0']
    const local = [...listen, '--api', '127.0.0.1:0', '--no-mdns', '--no-upnp']
    const child = this.spawn(['--home', home, '--json', 'start', ...local, ...flags])
    const stderr = collect(child, 'stderr')
    const ended = once(child, 'exit').then(async () => {
      throw new Error(`the peer did not start: ${await stderr}`)
    })
    ended.catch(() => {})
    const first = once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')
    const [line] = (await Promise.race([first, ended])) as [string]
    const ready = JSON.parse(line) as { peerId: string; addresses: string[]; api: string; routing: string | null }
    return {
      ...ready,
      home,
      process: child,
      run: (...args) => this.run(home, args),
      async end(signal) {
        const exit = once(child, 'exit')
        child.kill(signal)
        return ((await exit) as [number | null])[0]
      },
    }
  }

  /** Starts a peer again where others know it from before. */
  again(name: string, { addresses: [address = ''] }: RunningPeer): Promise<RunningPeer> {
    return this.start(name, '--listen', address.replace(/\/p2p\/.*/, ''))
  }

  /** A cluster: the first peer makes it, the others join by its invite line, and start with these flags. */
  async cluster(names: string[], ...flags: string[]): Promise<RunningPeer[]> {
    const [first = '', ...rest] = names
    const maker = await this.start(first)
    const line = String((await maker.run('invite')).lines[0]?.line)
    const others = rest.map(async (name) => {
      const joined = await this.run(this.path(name), ['join', line])
      if (joined.code !== 0) throw new Error(joined.stderr)
      return await this.start(name, ...flags)
    })
    return [maker, ...(await Promise.all(others))]
  }

  spawn(args: string[]): ChildProcess {
    const child = spawn(process.execPath, [launch, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#children.add(child)
    child.on('exit', () => this.#children.delete(child))
    return child
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exits = [...this.#children].map((child) => once(child, 'exit'))
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all(exits)
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function collect(child: ChildProcess, name: 'stdout' | 'stderr'): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of child[name] as AsyncIterable<Uint8Array>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
