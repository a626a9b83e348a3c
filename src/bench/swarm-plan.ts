// What happens in a swarm of peers, decided before it happens: who is killed, who starts and by whom it gets in, who
// announces and who looks for what, and when. Pure, from a seed. Only peers that live through a round ask in it, and only
// for content whose announcer does: what fails then, the network has failed.
import * as Digest from 'multiformats/hashes/digest'
import type { Random } from '../base/random.ts'
import { sha256, sha256Code } from '../core/block.ts'
import type { PeerId } from '../core/peer.ts'

/** Who is there: by PeerId, the process that it runs in and its address. */
export type Roll = ReadonlyMap<PeerId, { process: number; address: string }>

/** Contents are numbered; each has one announcer. */
export type Contents = ReadonlyMap<number, PeerId>

export type Step = { atMs: number } & (
  | { do: 'start'; bootstrap: string[] }
  | { do: 'kill'; peer: PeerId }
  /** Looks up the servers nearest to the content and tells them. */
  | { do: 'announce'; peer: PeerId; content: number }
  /** Looks for the announcer. */
  | { do: 'find'; peer: PeerId; content: number; announcer: PeerId }
  /** Looks up the servers nearest to the content. */
  | { do: 'closest'; peer: PeerId; content: number }
)

export interface Round {
  durationMs: number
  kills: number
  starts: number
  /** Lookups of each kind. */
  asks: { announce: number; find: number; closest: number }
}

/** How many of those who are there a new peer knows from the beginning. */
const bootstrapCount = 3

/** The steps of a round, by process. Each kind is spread evenly over the round. */
export function planRound(
  { roll, contents, processes, random }: { roll: Roll; contents: Contents; processes: number; random: Random },
  { durationMs, kills, starts, asks }: Round,
): Step[][] {
  const plan: Step[][] = Array.from({ length: processes }, () => [])
  const put = (peer: PeerId, step: Step) => plan[roll.get(peer)!.process]!.push(step)
  const spread = (count: number, take: (atMs: number) => void) => {
    for (let index = 0; index < count; index++) take(((index + random.unit()) * durationMs) / count)
  }
  const order = shuffled([...roll.keys()], random)
  const killed = order.slice(0, kills)
  const staying = order.slice(kills)
  const stayingSet = new Set(staying)
  const sought = [...contents].filter(([, announcer]) => stayingSet.has(announcer))
  const anyone = () => pick(staying, random)
  spread(killed.length, (atMs) => {
    const peer = killed.pop()!
    put(peer, { atMs, do: 'kill', peer })
  })
  let next = 0
  spread(starts, (atMs) => {
    const bootstrap = shuffled(staying, random).slice(0, bootstrapCount)
    plan[next++ % processes]!.push({ atMs, do: 'start', bootstrap: bootstrap.map((peer) => roll.get(peer)!.address) })
  })
  let content = contents.size === 0 ? 0 : Math.max(...contents.keys()) + 1
  spread(asks.announce, (atMs) => {
    const peer = anyone()
    put(peer, { atMs, do: 'announce', peer, content: content++ })
  })
  if (sought.length > 0)
    spread(asks.find, (atMs) => {
      const [found, announcer] = pick(sought, random)
      const peer = pick(
        staying.filter((other) => other !== announcer),
        random,
      )
      put(peer, { atMs, do: 'find', peer, content: found, announcer })
    })
  spread(asks.closest, (atMs) => {
    const peer = anyone()
    put(peer, { atMs, do: 'closest', peer, content: Math.floor(random.unit() * 2 ** 32) })
  })
  return plan.map((steps) => steps.sort((a, b) => a.atMs - b.atMs))
}

/** The multihash of a content: its key in the DHT. */
export function contentKey(seed: number, content: number): Uint8Array {
  return Digest.create(sha256Code, sha256(new TextEncoder().encode(`swarm ${seed} content ${content}`))).bytes
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[Math.floor(random.unit() * list.length)]!
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  const copy = [...list]
  for (let left = copy.length; left > 1; left--) {
    const other = Math.floor(random.unit() * left)
    const last = copy[left - 1]!
    copy[left - 1] = copy[other]!
    copy[other] = last
  }
  return copy
}
