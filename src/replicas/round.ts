// One round of a driver, carried out: each member gets its part of what was decided in few messages, the most endangered
// first, and then the records are written. What does not work is tried again in a later round; nothing here decides.

import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { type Driven, hear, isWorthAsking } from './driven.ts'
import type { Holding } from './messages.ts'
import type { Peers } from './peers.ts'
import { encodePin, type Pin } from './pin.ts'
import type { PinRecords } from './words.ts'

/** What is to be done. */
export interface Round {
  asks: Map<PeerId, { driven: Driven; holding: Holding }[]>
  releases: Map<PeerId, Driven[]>
  writes: { driven: Driven; pin: Pin }[]
  /** Ended so long ago that nobody can bring them back. */
  removals: Driven[]
}

/** Whom to tell of what came of it. */
export interface Outcomes {
  stir(key: string): void
  stirring(): void
  next(key: string): void
  again(key: string): void
  /** A member was asked, and answered or not. */
  asked(peer: PeerId, result: { answered: boolean }): void
}

export interface RoundDeps {
  records: PinRecords
  peers: Peers
  clock: Clock
  log: Log
}

export async function carryOut(deps: RoundDeps, round: Round, outcomes: Outcomes, signal: AbortSignal): Promise<void> {
  const { records } = deps
  // A record that changes while others are asked is decided on anew: what was decided must not replace what it did not know.
  const unchanged = (driven: Driven, act: (context: string) => Promise<unknown>) => {
    const { key, context } = driven
    return { key, act: async () => (driven.context === context ? await act(context) : undefined) }
  }
  const writes = round.writes.map(({ driven, pin }) =>
    unchanged(driven, (context) => records.put(driven.key, encodePin(pin), { context, signal })),
  )
  const removals = round.removals.map((driven) =>
    unchanged(driven, (context) => records.remove(driven.key, { context, signal })),
  )
  const asking = [...round.asks].map(([peer, list]) => ask(deps, peer, list, outcomes, signal))
  const releasing = [...round.releases].map(([peer, list]) => release(deps, peer, list, outcomes, signal))
  await Promise.all([...asking, ...releasing])
  const acts = [...writes, ...removals]
  for (let at = 0; at < acts.length; at += limits.pinWritesInFlight)
    await Promise.all(acts.slice(at, at + limits.pinWritesInFlight).map((one) => attempt(deps, one, outcomes)))
}

async function ask(
  { peers, clock, log }: RoundDeps,
  peer: PeerId,
  list: { driven: Driven; holding: Holding }[],
  outcomes: Outcomes,
  signal: AbortSignal,
): Promise<void> {
  list.sort((a, b) => a.holding.others - b.holding.others)
  for (let at = 0, part = fitting(list, at); part.length > 0; at += part.length, part = fitting(list, at)) {
    try {
      const request = { kind: 'hold', holdings: part.map(({ holding }) => holding) } as const
      const { progress } = await peers.ask(peer, request, 'progress', { signal })
      outcomes.asked(peer, { answered: true })
      for (const [index, { driven }] of part.entries()) {
        const one = progress[index]
        if (!one) continue
        const before = driven.said.get(peer)
        hear(driven, peer, one, clock.monotonicMs())
        if (one.state !== before?.state) outcomes.stir(driven.key)
        // It was hoped that it can by now; whoever comes after it is asked in its stead.
        else if (isWorthAsking(before, clock.monotonicMs())) outcomes.next(driven.key)
        else if (one.doneBytes !== before.doneBytes) outcomes.stirring()
      }
    } catch (error) {
      if (signal.aborted) return
      log.debug(`${peer} did not say how far it is: ${sentenceOf(error)}`)
      outcomes.asked(peer, { answered: false })
      for (const { driven } of list.slice(at)) {
        driven.said.delete(peer)
        outcomes.again(driven.key)
      }
      return
    }
  }
}

async function release(
  { peers, log }: RoundDeps,
  peer: PeerId,
  list: Driven[],
  outcomes: Outcomes,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < list.length; at += limits.pinsCarried) {
    const part = list.slice(at, at + limits.pinsCarried)
    try {
      await peers.ask(peer, { kind: 'release', keys: part.map(({ key }) => key) }, 'noted', { signal })
      for (const driven of part) {
        driven.released = new Set([...driven.released, peer])
        // Who failed is remembered, or it would be chosen again at once.
        const said = driven.said.get(peer)
        if (said?.failedAudits === 0 && said.state !== 'failing') driven.said.delete(peer)
        outcomes.stir(driven.key)
      }
    } catch (error) {
      return log.debug(`${peer} was not told what it need not hold: ${sentenceOf(error)}`)
    }
  }
}

async function attempt(
  { log }: RoundDeps,
  { key, act }: { key: string; act: () => Promise<unknown> },
  outcomes: Outcomes,
): Promise<void> {
  try {
    await act()
  } catch (error) {
    log.debug(`${key} was not written: ${sentenceOf(error)}`)
    outcomes.again(key)
  }
}

/** As many of the list, from a place on, as go into one message. */
function fitting<T extends { holding: Holding }>(list: readonly T[], from: number): T[] {
  let roomBytes = limits.pinsCarriedBytes
  const part: T[] = []
  for (const one of list.slice(from, from + limits.pinsCarried)) {
    roomBytes -= one.holding.pin.byteLength
    if (roomBytes < 0 && part.length > 0) break
    part.push(one)
  }
  return part
}

export function addTo<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list) list.push(value)
  else map.set(key, [value])
}
