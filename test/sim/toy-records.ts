// A toy of a record store, to try the simulator on: every peer keeps every key as a set of writes, tells all others of a new
// one over a stream, and hands everything over when it meets somebody. It can be told to break promises, so that the tests
// see each checker catch it.
import type { PeerId } from '../../src/core/peer.ts'
import type { Channel, Table } from '../../src/core/ports.ts'
import type { ClientWrite, Inspected, Program, Shown, Written } from '../../src/sim/client.ts'
import type { MachinePorts } from '../../src/sim/cluster.ts'

export type Flaw = 'forgets' | 'resurrects' | 'diverges'

interface Entry {
  key: string
  write: string
  removes: boolean
  replaces: string[]
}

const protocol = '/toy/1.0.0'

export const startToy =
  (flaw?: Flaw) =>
  async (ports: MachinePorts): Promise<Program> => {
    const toy = new Toy(ports, flaw)
    await toy.open()
    return toy
  }

class Toy implements Program {
  readonly #ports: MachinePorts
  readonly #flaw: Flaw | undefined
  readonly #table: Table
  readonly #watchers = new Set<(key: string, values: string[]) => void>()
  #isClosed = false

  constructor(ports: MachinePorts, flaw: Flaw | undefined) {
    this.#ports = ports
    this.#flaw = flaw
    this.#table = ports.table('toy')
  }

  async open(): Promise<void> {
    const { network, invitedBy, clock } = this.#ports
    await network.handle(protocol, { streamsMax: 100 }, (channel) => this.#receive(channel))
    network.onPeer(({ peer, connected }) => {
      if (connected) void this.#tell(peer, this.#all()).catch(() => {})
    })
    for (const address of invitedBy) void network.connect(address).catch(() => {})
    const meet = () => {
      if (this.#isClosed) return
      for (const address of invitedBy) void network.connect(address).catch(() => {})
      for (const { peer } of network.connected()) void this.#tell(peer, this.#all()).catch(() => {})
      clock.timer(3_000, meet)
    }
    clock.timer(3_000, meet)
  }

  async get(key: string, { strict }: { strict: boolean }): Promise<Shown> {
    if (strict) throw new Error('the toy has no quorums')
    const values = this.#held(key).values
    return { values, context: values }
  }

  async write(key: string, { value, context, strict }: ClientWrite): Promise<Written> {
    if (strict) throw new Error('the toy has no quorums')
    const replaces = context === 'unread' ? this.#held(key).values : ((context as string[] | undefined) ?? [])
    const write = value ?? `removal of ${replaces.join(' ')}`
    const entry: Entry = { key, write, removes: value === undefined, replaces }
    if (this.#flaw !== 'forgets') await this.#merge([entry])
    const others = this.#ports.network.connected().map(({ peer }) => peer)
    if (this.#flaw !== 'diverges') for (const peer of others) void this.#tell(peer, [entry]).catch(() => {})
    return { acknowledgedBy: [this.#ports.name], left: this.#held(key).values }
  }

  async list(): Promise<string[]> {
    return [...new Set(this.#all().map(({ key }) => key))]
  }

  watch(listen: (key: string, values: string[]) => void): () => void {
    this.#watchers.add(listen)
    for (const { key } of this.#all()) listen(key, this.#held(key).values)
    return () => this.#watchers.delete(listen)
  }

  isRefusal(error: unknown): boolean {
    return error instanceof Error && error.message.includes('no quorums')
  }

  async leave(): Promise<void> {
    for (const { peer } of this.#ports.network.connected()) await this.#tell(peer, this.#all())
  }

  async forget(_peer: PeerId): Promise<void> {}

  inspect(): Inspected {
    return { held: (key) => this.#held(key), owns: () => true, hints: 0, epoch: 'one' }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
  }

  #held(key: string): { values: string[]; removed: boolean } {
    const entries = this.#all().filter((entry) => entry.key === key)
    const replaced = new Set(entries.flatMap(({ replaces }) => (this.#flaw === 'resurrects' ? [] : replaces)))
    const values = entries.filter(({ write, removes }) => !removes && !replaced.has(write)).map(({ write }) => write)
    return { values: values.sort(), removed: entries.some(({ removes }) => removes) }
  }

  #all(): Entry[] {
    return [...this.#table.range({})].map(([, bytes]) => JSON.parse(Buffer.from(bytes).toString()) as Entry)
  }

  async #merge(entries: Entry[]): Promise<void> {
    const fresh = entries.filter(({ key, write }) => !this.#table.get(`${key} ${write}`))
    if (fresh.length === 0) return
    await this.#table.write(
      fresh.map((entry) => ({ put: `${entry.key} ${entry.write}`, value: Buffer.from(JSON.stringify(entry)) })),
    )
    for (const { key } of fresh) for (const listen of this.#watchers) listen(key, this.#held(key).values)
  }

  async #tell(peer: PeerId, entries: Entry[]): Promise<void> {
    const channel = await this.#ports.network.open(peer, [protocol])
    await channel.write([Buffer.from(JSON.stringify(entries))])
    await channel.close()
  }

  async #receive(channel: Channel): Promise<void> {
    const pieces: Uint8Array[] = []
    for (let read = await channel.read(); read; read = await channel.read()) pieces.push(...read)
    if (this.#flaw !== 'diverges') await this.#merge(JSON.parse(Buffer.concat(pieces).toString()) as Entry[])
    await channel.close()
  }
}
