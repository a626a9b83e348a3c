// The peers of a laboratory as seen from outside: started in their places, all members of one cluster, and asked through
// their standard input.
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { CreatePeerOptions } from '../../src/index.ts'
import type { Place } from './lab.ts'
import type { LabCalls } from './lab-peer.ts'

export interface Actor {
  place: Place
  peerId: string
  /** Where it listens, at its own address. */
  address: string
  ask<Name extends keyof LabCalls>(call: Name, ...asks: LabCalls[Name]['asks']): Promise<LabCalls[Name]['gets']>
  /** As a power cut would. */
  kill(): Promise<void>
}

export class Cast implements AsyncDisposable {
  readonly #folder: string
  #homes = 0
  #key: string | undefined

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async open(): Promise<Cast> {
    return new Cast(await mkdtemp(join(tmpdir(), 'potluck-lab-')))
  }

  /** The first makes the cluster, and the others are members of it. */
  async start(place: Place, settings: CreatePeerOptions = {}): Promise<Actor> {
    const home = join(this.#folder, `${this.#homes++}`)
    await mkdir(home, { mode: 0o700 })
    if (this.#key) await copyFile(this.#key, join(home, 'cluster.key'))
    const options = {
      home,
      listen: ['/ip4/0.0.0.0/tcp/4101'],
      mdns: false,
      zone: place.kind,
      ...settings,
    }
    const child = place.run([join(import.meta.dirname, 'lab-peer.ts'), JSON.stringify(options)])
    const answers = createInterface({ input: child.stdout! })
    const waiting = new Map<number, PromiseWithResolvers<never>>()
    const ready = Promise.withResolvers<{ peerId: string }>()
    answers.on('line', (line) => {
      const { id, gets, error, ...first } = JSON.parse(line)
      if (id === undefined) return ready.resolve(first)
      if (error === undefined) waiting.get(id)?.resolve(gets as never)
      else waiting.get(id)?.reject(new Error(error))
      waiting.delete(id)
    })
    child.once('exit', () => {
      const gone = new Error(`the peer behind ${place.kind} has ended`)
      ready.reject(gone)
      for (const { reject } of waiting.values()) reject(gone)
    })
    const { peerId } = await ready.promise
    this.#key ??= join(home, 'cluster.key')
    let last = 0
    return {
      place,
      peerId,
      address: `/ip4/${place.address}/tcp/4101/p2p/${peerId}`,
      ask: (call, ...asks) => {
        const answer = Promise.withResolvers<never>()
        waiting.set(++last, answer)
        child.stdin?.write(`${JSON.stringify({ id: last, call, asks })}\n`)
        return answer.promise
      },
      kill: async () => {
        child.kill('SIGKILL')
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 })
  }
}
