// A storm over a cluster in memory: clients read and write a few keys while links are cut, answers are lost and peers crash;
// then all heals, and the books are compared with what every replica has. One seed gives one run.
import { sleep } from '../../src/base/clock.ts'
import { seededRandom } from '../../src/base/random.ts'
import type { Laws } from '../../src/records/laws.ts'
import { bytes, Cluster, text } from './cluster.ts'

export interface StormOptions {
  seed: number
  laws?: Laws
  /** Members that join and leave. */
  moves?: boolean
  steps?: number
}

interface Booked {
  value: string
  key: string
  /** Values that its author had seen, which it replaces. */
  replaces: string[]
  acknowledged: boolean
  strict: boolean
}

/** Sentences about what is wrong at the end; none if all is well. */
export async function storm({ seed, laws, moves = false, steps = 60 }: StormOptions): Promise<string[]> {
  const random = seededRandom(seed * 7919)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random.unit() * list.length)]!
  const names = ['a', 'b', 'c', 'd', 'e'].slice(0, 3 + Math.floor(random.unit() * 3))
  await using cluster = await Cluster.of(names, {
    seed,
    copies: random.unit() < 0.3 ? 2 : 3,
    notices: random.unit() < 0.5,
    ...(laws && { laws }),
  })
  const keys = ['k/1', 'k/2', 'k/3', 'k/4', 'k/5', 'k/6']
  const books = new Map<string, Booked>()
  const wins = new Map<string, string[]>()
  let count = 0
  let moved = false

  const client = async () => {
    const up = [...cluster.peers.values()].filter(({ isUp }) => isUp)
    if (up.length === 0) return
    const { records, crashed } = pick(up)
    const ask = <T>(call: Promise<T>) => Promise.race([call, crashed.promise])
    const key = pick(keys)
    const value = `v${count++}`
    const kind = pick(['plain', 'plain', 'blind', 'strict', 'set', 'set', 'quorum'])
    const strict = kind === 'strict' || kind === 'set'
    try {
      const seen = kind === 'blind' ? undefined : await ask(records.get(key, { strict }))
      if (strict && seen?.stale) return
      const replaces = (seen?.siblings ?? []).map((sibling) => text(sibling.value) ?? '')
      const book = { value, key, replaces, acknowledged: false, strict }
      books.set(value, book)
      const context = seen?.context ?? 'none'
      if (kind === 'set') await ask(records.put(key, bytes(value), { ifVersion: context }))
      else
        await ask(
          records.put(key, bytes(value), {
            context,
            ...(kind === 'quorum' && { w: 'quorum' }),
            ...(strict && { strict }),
          }),
        )
      book.acknowledged = true
      if (kind === 'set')
        wins.set(`${key} ${replaces.sort()}`, [...(wins.get(`${key} ${replaces.sort()}`) ?? []), value])
    } catch (error) {
      const { code } = error as { code?: string }
      if (
        !['CRASHED', 'QUORUM_UNAVAILABLE', 'VERSION_MISMATCH', 'RING_CHANGED', 'TOO_MANY_SIBLINGS'].includes(code ?? '')
      )
        throw error
    }
  }

  const trouble = async () => {
    const peers = [...cluster.peers.values()]
    const kind = pick(['cut', 'partition', 'heal', 'crash', 'restart', 'lose', 'heal', 'restart', 'move'])
    const [one, other] = [pick(peers), pick(peers)]
    if (kind === 'cut' && one !== other) cluster.cut(one.id, other.id)
    if (kind === 'partition') {
      const left = peers.filter(() => random.unit() < 0.5).map(({ id }) => id)
      cluster.partition(
        left,
        peers.map(({ id }) => id).filter((id) => !left.includes(id)),
      )
    }
    if (kind === 'heal') cluster.heal()
    if (kind === 'crash' && one.isUp && peers.filter(({ isUp }) => isUp).length > 2) await cluster.crash(one.id)
    if (kind === 'restart' && !one.isUp) await cluster.restart(one.id)
    if (kind === 'lose') {
      const part = random.unit() * 0.4
      cluster.losesAnswer = () => random.unit() < part
    }
    if (kind === 'move' && moves && !moved) {
      moved = true
      if (random.unit() < 0.5) {
        await cluster.add('n', names)
        cluster.claim(
          'n',
          {},
          [...cluster.peers.keys()].filter(() => random.unit() < 0.7),
        )
      } else
        cluster.claim(
          names[0]!,
          { state: 'leaving' },
          [...cluster.peers.keys()].filter(() => random.unit() < 0.7),
        )
    }
  }

  const running: Promise<void>[] = []
  for (let step = 0; step < steps; step++) {
    for (let index = Math.floor(random.unit() * 4); index > 0; index--) running.push(client())
    if (random.unit() < 0.3) await trouble()
    await cluster.clock.advance(random.unit() * 400)
  }
  cluster.losesAnswer = () => false
  for (const peer of [...cluster.peers.values()]) if (!peer.isUp) await cluster.restart(peer.id)
  cluster.heal()
  const ended = Promise.race([Promise.allSettled(running), sleep(cluster.clock, 120_000).then(() => undefined)])
  const results = await cluster.run(ended)
  const claims = [...cluster.peers.values()].flatMap(({ membership }) => membership.claims())
  for (const { membership } of cluster.peers.values()) membership.learn(claims)
  await cluster.settled(180_000)
  const faults = (results ?? []).flatMap((result) =>
    result.status === 'rejected' ? [`a client failed: ${result.reason?.stack}`] : [],
  )
  if (!results) faults.push('a call never ended')
  return [...faults, ...compare(cluster, keys, books, wins)]
}

function compare(cluster: Cluster, keys: string[], books: Map<string, Booked>, wins: Map<string, string[]>): string[] {
  const faults: string[] = []
  const sets = new Map<string, Set<string>>()
  for (const peer of cluster.peers.values()) {
    const { hints, partitionsToHandOver } = peer.records.status()
    if (hints > 0) faults.push(`${peer.id} still has ${hints} hints`)
    if (partitionsToHandOver > 0) faults.push(`${peer.id} still has ${partitionsToHandOver} partitions of others`)
    for (const { key, standIn, siblings, context } of peer.records.local()) {
      if (standIn) continue
      const seen = `${context}: ${siblings.map(({ value }) => text(value))}`
      sets.set(key, (sets.get(key) ?? new Set()).add(seen))
    }
  }
  for (const [key, versions] of sets) if (versions.size > 1) faults.push(`${key} differs: ${[...versions].join(' / ')}`)
  for (const key of keys) {
    const shown = [...(sets.get(key) ?? [])][0]?.split(': ')[1] ?? ''
    const live = new Set(shown.split(',').filter(Boolean))
    const all = [...books.values()].filter((book) => book.key === key)
    const survives = new Map<string, boolean>()
    const doesSurvive = (value: string): boolean => {
      const known = survives.get(value)
      if (known !== undefined) return known
      survives.set(value, false)
      const holds = live.has(value) || all.some((book) => book.replaces.includes(value) && doesSurvive(book.value))
      survives.set(value, holds)
      return holds
    }
    for (const book of all) {
      if (book.acknowledged && !doesSurvive(book.value))
        faults.push(`${key}: ${book.value} was acknowledged and is lost; there is ${shown}`)
    }
    for (const value of live) {
      const successor = all.find((book) => book.replaces.includes(value) && doesSurvive(book.value))
      if (successor) faults.push(`${key}: ${value} was replaced by ${successor.value} and is still there: ${shown}`)
    }
  }
  for (const [version, values] of wins) if (values.length > 1) faults.push(`${version}: all of ${values} won`)
  return faults
}
