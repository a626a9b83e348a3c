// What is known of pins, asked of those that drive them. Many pins are asked for at once, a few messages to each driver; who
// is asked and does not know, or does not answer, is passed over for the next owner.
import type { Abortable } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { partitionOf } from '../core/keyspace.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { formatSize } from '../core/units.ts'
import { type Driven, isConfirmed } from './driven.ts'
import type { DriverWorker } from './driver.ts'
import type { Told, ToldPlace } from './messages.ts'
import type { Peers } from './peers.ts'
import { copiesOf, encodePin } from './pin.ts'
import type { Plan } from './plan.ts'
import type { Presence } from './presence.ts'

export interface TellingDeps {
  driver: DriverWorker
  presence: Presence
  peers: Peers
  log: Log
}

/** Answers for as many of the keys as anybody knows. */
export async function askDrivers(
  { driver, presence, peers, log }: TellingDeps,
  keys: Iterable<string>,
  { signal }: Abortable = {},
): Promise<Map<string, Told>> {
  const told = new Map<string, Told>()
  let open = [...keys]
  const asked = new Map<string, Set<PeerId>>(open.map((key) => [key, new Set()]))
  while (open.length > 0) {
    const byPeer = new Map<PeerId, string[]>()
    for (const key of open) {
      const next = driver
        .ownersOf(partitionOf(key))
        .find((peer) => presence.seesPeer(peer) && !asked.get(key)!.has(peer))
      if (next === undefined) continue
      asked.get(key)!.add(next)
      const list = byPeer.get(next)
      if (list) list.push(key)
      else byPeer.set(next, [key])
    }
    const ask = async ([peer, list]: [PeerId, string[]]) => {
      for (let at = 0; at < list.length; ) {
        const part = list.slice(at, at + limits.pinsCarried)
        const answer = await peers.ask(peer, { kind: 'tell', keys: part }, 'told', { signal })
        for (const [index, one] of answer.told.entries()) if (one && part[index]) told.set(part[index], one)
        // What did not fit comes after all that did, and is asked for again.
        const last = part.findLastIndex((key) => told.has(key))
        at += last === -1 ? part.length : last + 1
      }
    }
    const asking = [...byPeer].map((one) =>
      ask(one).catch((error: unknown) => {
        signal?.throwIfAborted()
        log.debug(`${one[0]} did not tell of its pins: ${sentenceOf(error)}`)
      }),
    )
    await Promise.all(asking)
    const before = open
    open = open.filter((key) => !told.has(key) && byPeer.size > 0)
    if (byPeer.size === 0 || open.length === 0) break
    if (open.length === before.length && [...asked.values()].every(({ size }) => size >= limits.copiesMax)) break
  }
  return told
}

/** What this peer knows of a pin as its driver; undefined if it does not drive it. */
export function tellOf({ driver, presence }: Pick<TellingDeps, 'driver' | 'presence'>, key: string): Told | undefined {
  const driven = driver.get(key)
  if (!driven || !driver.drives(driven)) return undefined
  const plan = driver.plan(driven)
  const peers = new Set([...driven.pin.holders, ...plan.target, ...driven.said.keys()])
  const places = [...peers].map((peer) => placeOf(driven, peer, presence)).filter((place) => place !== undefined)
  const rates = [...driven.said.values()].map(({ bytesPerSecond }) => bytesPerSecond)
  return {
    pin: encodePin(driven.pin),
    // Who is about to be named would let go of what it is counted for.
    enough: plan.isHeld && plan.toName.length === 0,
    places,
    bytesPerSecond: rates.reduce((sum, rate) => sum + rate, 0),
    why: whyNot(driven, plan, places, { driver, presence }),
  }
}

function placeOf(driven: Driven, peer: PeerId, presence: Presence): ToldPlace | undefined {
  const said = driven.said.get(peer)
  const isNamed = driven.pin.holders.includes(peer)
  if (!presence.seesPeer(peer))
    return isNamed ? { peer, state: 'away', doneBytes: said?.doneBytes ?? 0, why: awayText(peer, presence) } : undefined
  if (!said && presence.isDeaf(peer, { hasCopy: false }))
    return { peer, state: 'failing', doneBytes: 0, why: 'it is alive, and does not answer about pins' }
  if (!said) return { peer, state: 'asked', doneBytes: 0 }
  const { doneBytes, why } = said
  if (said.failedAudits > 0)
    return { peer, state: 'failing', doneBytes, why: 'it says that it holds everything, and could not prove it' }
  // Whoever holds it and is not named is about to let go.
  if (said.state === 'held' && !isNamed) return undefined
  return { peer, state: isConfirmed(driven, peer) ? 'held' : said.state, doneBytes, why }
}

function awayText(peer: PeerId, presence: Presence): string {
  const leftMs = presence.goneInMs(peer)
  if (leftMs === undefined) return 'it does not answer'
  return leftMs === 0
    ? 'it has been away for too long, and is being replaced'
    : `it does not answer; it is replaced if it stays away for ${Math.ceil(leftMs / 60_000)} min more`
}

/** Why there are fewer copies than wanted, in a sentence; undefined when nothing is in the way. */
function whyNot(
  { pin }: Driven,
  plan: Plan,
  places: ToldPlace[],
  { driver, presence }: Pick<TellingDeps, 'driver' | 'presence'>,
): string | undefined {
  const copies = copiesOf(pin)
  const held = places.filter(({ state }) => state === 'held').length
  if (held >= copies) return undefined
  if (!presence.seesMost) {
    const { joined, seen } = presence.counted
    return `only ${seen} of ${joined} members are seen, and more than half must be before others are named`
  }
  // For one that is being replaced nobody waits.
  const isWaitedFor = ({ peer, state }: ToldPlace) =>
    state === 'failing' || (state === 'away' && !presence.isGone(peer))
  const reason = places.find(isWaitedFor)
  if (reason) return `${reason.peer.slice(-8)}: ${reason.why}`
  // Members that had no room may be asked again; until then that is what the pin waits for.
  const isMoving = places.some(({ state }) => state === 'fetching' || state === 'asked')
  if (plan.target.length >= copies && isMoving) return undefined
  const full = places.filter(({ state }) => state === 'full').length
  const possible = driver.possibleFor(pin)
  if (pin.sizeBytes > driver.largestRoom)
    return `it has ${formatSize(pin.sizeBytes)}, and no member gives more than ${formatSize(driver.largestRoom)}; add it in parts, or raise 'capacity' on some machines`
  if (full > 0) return `${full} ${full === 1 ? 'member has' : 'members have'} no room for it`
  if (possible >= copies) {
    const seen = plan.target.filter((peer) => presence.seesPeer(peer)).length
    const missing = `only ${seen} ${seen === 1 ? 'answers' : 'answer'} now`
    return seen < copies
      ? `${copies} copies are wanted, and of the ${possible} members that can hold it ${missing}`
      : undefined
  }
  return `${copies} copies are wanted, and ${possible} ${possible === 1 ? 'member' : 'members'} can hold it; others follow when more join`
}
