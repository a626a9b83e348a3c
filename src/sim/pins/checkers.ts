// What must hold of content that a cluster keeps, judged from the history of a run and from what lies on the disks at its
// end. Every checker is pure and gives findings; none means that it holds. They believe the disks and the clients, and
// nothing that a peer says of itself, but to compare it with the truth.
import type { Finding } from '../checkers.ts'
import type { Holding, PinHistory, PinOperation } from './history.ts'
import type { KnownPin, ShownPin } from './program.ts'

/** A member and its disk at the end. */
export interface MemberAtEnd {
  name: string
  zone: string
  capacity: number
  /** It hands over what it holds and takes nothing more. */
  isLeaving: boolean
  /** Bytes that it says it holds or has promised to hold. */
  usedBytes: number
  /** Contents whose every block is durable there, and right. */
  full: ReadonlySet<string>
  /** Contents of which its catalog lists a block that is in no other content, after a collection. */
  traces: ReadonlySet<string>
  pinned: ReadonlySet<string>
}

export interface PinEnding {
  members: readonly MemberAtEnd[]
  /** By content, what the records say. */
  known: ReadonlyMap<string, KnownPin>
  /** By content, what some peer showed of it. */
  shown: ReadonlyMap<string, { peer: string; status: ShownPin | undefined }>
  /** Contents whose every block is on the disk of some member. */
  whole: ReadonlySet<string>
  /**
   * What the slowest and the fastest clock of a member say; and for pins that were made by a clock that was off, and heard of
   * no other: so much earlier and later as any clock of the whole run was ahead.
   */
  wallMs: { earliest: number; latest: number; earliestEver: number; latestEver: number }
  movedBytes: number
  /** Bytes that may be moved for each that must be. */
  factor: number
}

/** All that must hold. */
export function pinFindingsOf(history: PinHistory, ending: PinEnding): Finding[] {
  return [
    ...restlessOf(history, ending),
    ...falseAcknowledgements(history),
    ...lostContent(history, ending),
    ...wrongStatus(ending),
    ...needlessMoves(history, ending),
    ...blindNamings(history),
    ...brokenPromises(history),
  ]
}

/** Those that are mended by waiting: a cluster at rest has none of them. */
export function restlessOf(history: PinHistory, ending: PinEnding): Finding[] {
  return [...missedWishes(history, ending), ...misplaced(ending), ...strangers(history, ending), ...leftovers(ending)]
}

/** What has become of a content, as far as its clients can know. */
type Fate = 'kept' | 'ended' | 'unknown'

/**
 * `kept`: a pin was acknowledged, and no unpin can have come after it. `ended`: a well-informed unpin came after every pin.
 * Pins that end by the clock are so only when every clock agrees. `sinceMs`: when the first pin began that is kept.
 */
export function fateOf(
  { operations, holdings }: Pick<PinHistory, 'operations' | 'holdings'>,
  dag: string,
  { earliestEver, latestEver }: PinEnding['wallMs'],
): { fate: Fate; copies: number; sinceMs: number } {
  const own = operations.filter((operation) => operation.dag === dag && operation.outcome !== 'failed')
  const pins = own.filter(({ kind }) => kind === 'pin')
  const unpins = own.filter(({ kind }) => kind === 'unpin')
  const mayEnd = (pin: PinOperation) => pin.endsMs !== undefined && pin.endsMs <= latestEver
  const hasEnded = (pin: PinOperation) => pin.endsMs !== undefined && pin.endsMs < earliestEver
  // One durable copy of the record is enough for a pin to succeed: it may have been that of a disk that is lost.
  const isShaky = (pin: PinOperation) =>
    holdings.some(({ atMs, peer, change }) => peer === pin.peer && isLoss(change) && atMs >= pin.endMs)
  const kept = pins.filter(
    (pin) =>
      pin.outcome === 'done' && !mayEnd(pin) && !isShaky(pin) && unpins.every(({ endMs }) => endMs < pin.startMs),
  )
  const sinceMs = Math.min(...kept.map(({ startMs }) => startMs))
  if (kept.length > 0) return { fate: 'kept', copies: Math.max(...kept.map(({ copies }) => copies)), sinceMs }
  const lastUnpin = unpins.findLast(({ outcome, isInformed, found }) => {
    return outcome === 'done' && isInformed && found.length > 0
  })
  const isOver = (pin: PinOperation) => hasEnded(pin) || (lastUnpin !== undefined && pin.endMs < lastUnpin.startMs)
  return { fate: pins.length > 0 && pins.every(isOver) ? 'ended' : 'unknown', copies: 0, sinceMs }
}

/** What was pinned and not unpinned is a pin at the end; what was unpinned is none. */
export function missedWishes(history: PinHistory, { known, wallMs }: PinEnding): Finding[] {
  return [...history.sizes.keys()].flatMap((dag) => {
    const { fate, copies } = fateOf(history, dag, wallMs)
    const pin = known.get(dag)
    const wanted = pin && isLive(pin, wallMs) ? pin.copies : 0
    if (fate === 'kept' && wanted < copies) {
      const sentence = `${dag} shall have ${copies} copies; the records say ${wanted}`
      return [{ checker: 'a pin stays', sentence, key: dag }]
    }
    if (fate !== 'ended' || wanted === 0) return []
    const sentence = `${dag} was unpinned or has ended; the records want ${wanted} copies of it`
    return [{ checker: 'unpinned stays unpinned', sentence, key: dag }]
  })
}

/** Every pin has as many copies as it wants or as there are members that can, in as many zones as that allows. */
export function misplaced({ members, known, wallMs, whole }: PinEnding): Finding[] {
  return [...known].flatMap(([dag, pin]) => {
    // What is lost cannot be held; whether it may be lost is another question.
    if (!isLive(pin, wallMs) || !whole.has(dag)) return []
    const found = (sentence: string) => [{ checker: 'every pin has its copies where it should', sentence, key: dag }]
    const can = members.filter(
      ({ name, capacity, isLeaving }) => capacity > 0 && !isLeaving && !pin.elsewhere.includes(name),
    )
    const holders = can.filter(({ name }) => pin.holders.includes(name))
    const others = can.filter((member) => !holders.includes(member))
    const withRoom = others.filter(({ capacity, usedBytes }) => capacity - usedBytes >= pin.sizeBytes)
    // Who shall not hold it does until somebody else can: it would be gone.
    const mustStay = holders.length === 0 && withRoom.length === 0
    const barred = members.filter(
      ({ name, isLeaving }) => mustStay && !isLeaving && pin.elsewhere.includes(name) && pin.holders.includes(name),
    )
    const partial = [...holders, ...barred]
      .filter(({ full, pinned }) => !full.has(dag) || !pinned.has(dag))
      .map(({ name }) => name)
    if (partial.length > 0)
      return found(`${dag} is not wholly at ${partial.join(' ')}, which ${partial.length > 1 ? 'are' : 'is'} named`)
    const named = pin.holders.join(' ') || 'nobody'
    const leaving = members.filter(({ name, isLeaving }) => isLeaving && pin.holders.includes(name))
    if (pin.holders.length !== holders.length + barred.length + leaving.length)
      return found(`${dag} is named at ${named}, of whom some cannot hold it`)
    if (holders.length > pin.copies) return found(`${dag} shall have ${pin.copies} copies and is held by ${named}`)
    if (holders.length < pin.copies && withRoom.length > 0)
      return found(`${dag} is held by ${named} and not by ${withRoom[0]!.name}; it shall have ${pin.copies} copies`)
    const count = (zone: string) => holders.filter((holder) => holder.zone === zone).length
    const crowded = Math.max(0, ...holders.map(({ zone }) => count(zone)))
    const better = withRoom.find(({ zone }) => count(zone) + 1 < crowded)
    if (better) return found(`${dag} is held by ${named}, several in one zone; ${better.name} is in another`)
    return []
  })
}

/** Nobody else keeps a pin, but those that wished it. */
export function strangers(
  history: Pick<PinHistory, 'operations'>,
  { members, known, wallMs, whole }: PinEnding,
): Finding[] {
  const adders = new Set(
    history.operations.flatMap(({ kind, dag, peer }) => (kind === 'pin' ? [`${dag} ${peer}`] : [])),
  )
  const staying = new Set(members.flatMap(({ name, isLeaving }) => (isLeaving ? [] : [name])))
  return members.flatMap(({ name, pinned }) =>
    [...pinned].flatMap((dag) => {
      const pin = known.get(dag)
      // While the clocks do not agree whether it has ended, it may be kept, and need not.
      if (pin && !isOver(pin, wallMs) && (pin.holders.includes(name) || adders.has(`${dag} ${name}`))) return []
      // What is lost nobody can take over: who has something left of it lets go only when it ends.
      if (pin && !isOver(pin, wallMs) && !whole.has(dag)) return []
      // Who leaves lets go when enough of those that stay have it. Whether they could is looked at above.
      const isShort = pin && pin.holders.filter((holder) => staying.has(holder)).length < pin.copies
      if (isShort && isLive(pin, wallMs) && !staying.has(name)) return []
      const sentence = `${name} keeps ${dag}, ${pin && isLive(pin, wallMs) ? `which ${pin.holders.join(' ')} hold` : 'which is no pin any more'}`
      return [{ checker: 'nobody else keeps it', sentence, key: dag }]
    }),
  )
}

/** What nobody keeps takes no room after a collection. */
export function leftovers({ members, known, wallMs }: PinEnding): Finding[] {
  return members.flatMap(({ name, pinned, traces, full }) =>
    [...traces].flatMap((dag) => {
      // A pin with a hole in it may hide anything: nothing is collected then.
      const pin = known.get(dag)
      // It may be on its way here, and stuck since some of it is nowhere.
      if (pin && !isOver(pin, wallMs) && pin.holders.includes(name)) return []
      if (pinned.has(dag) || [...pinned].some((other) => !full.has(other))) return []
      return [{ checker: 'unpinned frees its room', sentence: `${name} has blocks of ${dag}, and no pin`, key: dag }]
    }),
  )
}

/** When a wait for N copies ends, N disks have all of it, but for those that lost it since. */
export function falseAcknowledgements({
  operations,
  holdings,
}: Pick<PinHistory, 'operations' | 'holdings'>): Finding[] {
  return operations.flatMap(({ id, kind, dag, copies, outcome, found, endMs }) => {
    if (kind !== 'wait' || outcome !== 'done') return []
    const lost = new Set<string>()
    for (const { atMs, dag: of, peer, change } of holdings)
      if (of === dag && isMishap(change) && atMs <= endMs && !found.includes(peer)) lost.add(peer)
    if (found.length + lost.size >= copies) return []
    const sentence = `#${id} was told that ${copies} members have ${dag}; ${found.join(' ') || 'nobody'} had`
    return [{ checker: 'a copy that is told of is there', sentence, key: dag }]
  })
}

/**
 * Content that somebody waited for until N had it is there at the end, if fewer than N of those that kept it lost it since
 * the last moment in which N did, or left while nobody had room for it. Whoever has only read it, or has let go of it and not
 * collected yet, keeps nothing.
 */
export function lostContent(history: PinHistory, { whole, wallMs }: PinEnding): Finding[] {
  return [...history.sizes.keys()].flatMap((dag) => {
    const { fate, sinceMs } = fateOf(history, dag, wallMs)
    if (fate !== 'kept' || whole.has(dag)) return []
    // What was waited for before may have been another pin, which has ended.
    const waits = history.operations.filter(
      (wait) => wait.dag === dag && wait.kind === 'wait' && wait.outcome === 'done' && wait.endMs >= sinceMs,
    )
    return waits.slice(-1).flatMap(({ id, copies }) => {
      const keepers = new Set<string>()
      let mishaps: string[] = []
      for (const { peer, change } of history.holdings.filter((holding) => holding.dag === dag)) {
        if (change === 'kept') keepers.add(peer)
        else if (change !== 'gained') keepers.delete(peer)
        // Who has told that it holds it may have lost it before that was heard.
        if (isMishap(change) || change === 'given up') mishaps.push(`${peer} (${change})`)
        if (keepers.size >= copies) mishaps = []
      }
      if (mishaps.length >= copies) return []
      const sentence = `#${id}: ${copies} had ${dag}, and nobody has it; gone meanwhile: ${mishaps.join(' ') || 'nobody'}`
      return [{ checker: 'nothing pinned is lost', sentence, key: dag }]
    })
  })
}

/** What a status shows is so. */
export function wrongStatus({ members, known, shown, wallMs }: PinEnding): Finding[] {
  return [...shown].flatMap(([dag, { peer, status }]) => {
    const pin = known.get(dag)
    const found = (sentence: string) => [{ checker: 'a status is true', sentence, key: dag }]
    if (!pin || isOver(pin, wallMs)) return status ? found(`${peer} shows ${dag}, which is no pin any more`) : []
    if (!isLive(pin, wallMs)) return []
    if (!status) return found(`${peer} knows nothing of ${dag}`)
    const told = status.places.flatMap((place) => (place.state === 'held' ? [place.peer] : [])).sort()
    const real = pin.holders.filter((name) => members.some((member) => member.name === name && member.full.has(dag)))
    if (told.join(' ') !== real.toSorted().join(' '))
      return found(`${peer} shows ${dag} at ${told.join(' ') || 'nobody'}; it is at ${real.join(' ') || 'nobody'}`)
    if (status.held !== told.length || status.copies !== pin.copies)
      return found(`${peer} shows ${status.held} of ${status.copies} copies of ${dag}; ${told.length} of ${pin.copies}`)
    if (status.held >= status.copies !== (status.state === 'held'))
      return found(`${peer} shows ${dag} as ${status.state} with ${status.held} of ${status.copies} copies`)
    if (status.state !== 'waiting' || status.why) return []
    const places = status.places.map((place) => `${place.peer} ${place.state}`).join(', ')
    return found(`${peer} does not say why ${dag} waits (${status.held} of ${status.copies} copies: ${places})`)
  })
}

/** Bytes that had to move, and those that did: no more than a small factor lies between them. */
export function needlessMoves(history: PinHistory, { movedBytes, factor }: PinEnding): Finding[] {
  const neededBytes = neededBytesOf(history)
  if (movedBytes <= factor * neededBytes + slackBytes) return []
  const sentence = `${movedBytes} bytes were moved; ${neededBytes} had to be`
  return [{ checker: 'little is moved in vain', sentence }]
}

/** What a few interrupted transfers cost: in a small run they would decide the factor. */
const slackBytes = 200_000

/**
 * For each content: its size for each copy that was placed, except where it was added; for each holder that lost it, left or
 * was away past the grace time; and for each new member that came to hold it. Never more than came to hold it.
 */
export function neededBytesOf(history: PinHistory): number {
  let bytes = 0
  for (const [dag, sizeBytes] of history.sizes) {
    const pins = history.operations.filter((operation) => operation.dag === dag && operation.kind === 'pin')
    const adders = new Set(pins.map(({ peer }) => peer))
    const named = history.named.get(dag) ?? new Set()
    const copies = Math.max(...pins.map((pin) => pin.copies), 0)
    const free = [...named].slice(0, copies).filter((peer) => adders.has(peer)).length
    const own = history.holdings.filter((holding) => holding.dag === dag)
    const losses = own.filter(({ change, peer }) => named.has(peer) && (isMishap(change) || change === 'left')).length
    const newcomers = [...named].filter((peer) => history.joined.has(peer)).length
    const absences = history.absences.filter(({ peer }) => named.has(peer)).length
    const gains = own.filter(({ change, peer }) => change === 'gained' && !adders.has(peer)).length
    bytes += sizeBytes * Math.min(gains, Math.max(0, copies - free) + losses + newcomers + absences)
  }
  return bytes
}

export function blindNamings({ namings }: Pick<PinHistory, 'namings'>): Finding[] {
  return namings.map(({ atMs, side, dag, holders }) => {
    const sentence = `${side}, cut off from the rest, named ${holders.join(' ')} for ${dag} at ${Math.round(atMs)} ms`
    return { checker: 'an isolated peer names no new holders', sentence, key: dag }
  })
}

export function brokenPromises({ overfull }: Pick<PinHistory, 'overfull'>): Finding[] {
  return overfull.slice(0, 1).map(({ peer, bytes, capacity }) => {
    const sentence = `${peer} holds and has promised ${bytes} bytes of ${capacity}`
    return { checker: 'nobody promises more than it has', sentence }
  })
}

/** The whole disk has gone. */
function isLoss(change: Holding['change']): boolean {
  return change === 'wiped' || change === 'lost'
}

/** No fault of the peer: the bytes were taken from it. */
function isMishap(change: Holding['change']): boolean {
  return change === 'wiped' || change === 'lost' || change === 'rotted'
}

/** Wanted by every clock. */
function isLive({ wishes, endsMs }: KnownPin, { latest }: PinEnding['wallMs']): boolean {
  return wishes.length > 0 && (endsMs === undefined || endsMs > latest)
}

/** Wanted by no clock. */
function isOver({ wishes, endsMs }: KnownPin, { earliest }: PinEnding['wallMs']): boolean {
  return wishes.length === 0 || (endsMs !== undefined && endsMs < earliest)
}
