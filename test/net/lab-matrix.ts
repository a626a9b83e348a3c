// The laboratory's matrix: whole peers of one cluster behind each kind of NAT, each pair first kept apart, so that a file
// must go through a relay, then left to find a direct way, and to fetch another file by that. `node test/net/lab-matrix.ts`
// prints it; the test of the laboratory judges it.
import { until } from '../twins/until.ts'
import { type HomeKind, Lab, labMissing, type Place } from './lab.ts'
import { type Actor, Cast } from './lab-cast.ts'

export interface Pair {
  kinds: [HomeKind, HomeKind]
  /** How long a file of 512 KiB took by the relay. */
  relayedMs: number
  /** How long after they could a direct connection was there; undefined if there was none when both had given up. */
  punchedMs: number | undefined
  /** How long a file took then. */
  thenMs: number
}

const fileBytes = 512 * 1024
/** Each look asks several processes. */
const lookEveryMs = 50

export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  await until(what, holds, { everyMs: lookEveryMs })
}

/**
 * A peer for each kind, which nobody can dial, and that has a place at one of the relays. They are kept apart: only the
 * relays can be reached. All of them go to the relays at the same time, so that none tries for long what cannot work yet.
 */
export async function hiddenPeers(lab: Lab, cast: Cast, kinds: HomeKind[], relays: Actor[]): Promise<Actor[]> {
  const places: Place[] = []
  for (const kind of kinds) places.push(await lab.home(kind))
  for (const place of places) await place.isolate(true)
  const actors = await Promise.all(places.map((place) => cast.start(place)))
  const goTo = (actor: Actor, { address }: Actor) =>
    eventually('a relay is connected', () => actor.ask('connect', address).then(Boolean, () => false))
  for (const relay of relays) await Promise.all(actors.map((actor) => goTo(actor, relay)))
  await eventually('all have a place at a relay', async () => {
    const told = await Promise.all(actors.map((actor) => relayedAddress(actor)))
    return told.every((address) => address !== undefined)
  })
  return actors
}

export async function relayedAddress(actor: Actor): Promise<string | undefined> {
  return (await actor.ask('addresses')).find((address) => address.includes('/p2p-circuit'))
}

/** How `from` is connected to `to` now. */
export async function wayTo(from: Actor, to: Actor): Promise<'relayed' | 'direct' | undefined> {
  const known = (await from.ask('peers')).find(({ peerId }) => peerId === to.peerId)
  return known && (known.relayed ? 'relayed' : 'direct')
}

let seed = 0

/** Milliseconds in which `to` got a file that only `from` has. */
export async function share(from: Actor, to: Actor, sizeBytes = fileBytes): Promise<number> {
  const cid = await from.ask('add', ++seed, sizeBytes)
  const got = await to.ask('cat', cid)
  if (got.sizeBytes !== sizeBytes) throw new Error(`${got.sizeBytes} bytes came instead of ${sizeBytes}`)
  return got.ms
}

/** Whether TCP can cross both: a NAT with another port for each connection cannot be met anywhere. */
export function crosses(kinds: [HomeKind, HomeKind]): boolean {
  return !kinds.includes('symmetric')
}

async function hasGivenUp(one: Actor, other: Actor): Promise<boolean> {
  return (await one.ask('gaveUp')).includes(other.peerId) || (await other.ask('gaveUp')).includes(one.peerId)
}

async function punched([one, other]: [Actor, Actor], sinceMs: number): Promise<number | undefined> {
  let ms: number | undefined
  await eventually(`${one.place.kind} and ${other.place.kind} are connected directly, or have given up`, async () => {
    const ways = await Promise.all([wayTo(one, other), wayTo(other, one)])
    if (ways.every((way) => way === 'direct')) ms = performance.now() - sinceMs
    return ms !== undefined || (!crosses(kindsOf(one, other)) && (await hasGivenUp(one, other)))
  })
  return ms
}

/** Connects two that may be dialing each other's dead addresses just now. */
export async function meet(one: Actor, other: Actor): Promise<void> {
  const address = (await relayedAddress(other))!
  await eventually(`${one.place.kind} and ${other.place.kind} are connected`, async () => {
    if ((await wayTo(one, other)) === undefined) await one.ask('connect', address).catch(() => {})
    return (await wayTo(one, other)) !== undefined
  })
}

async function meetAndShare(one: Actor, other: Actor): Promise<number> {
  await meet(one, other)
  const ms = await share(other, one)
  const way = await wayTo(one, other)
  if (way !== 'relayed') throw new Error(`${one.place.kind} and ${other.place.kind} are ${way}, though kept apart`)
  return ms
}

/** Every pair of them, which were kept apart so far: through a relay, then without. */
export async function matrixOf(actors: Actor[]): Promise<Pair[]> {
  const pairs = actors.flatMap((one, index) => actors.slice(index + 1).map((other): [Actor, Actor] => [one, other]))
  const relayed = await Promise.all(pairs.map(([one, other]) => meetAndShare(one, other)))
  const sinceMs = performance.now()
  for (const { place } of actors) await place.isolate(false)
  const direct = await Promise.all(pairs.map((pair) => punched(pair, sinceMs)))
  const then = await Promise.all(pairs.map(([one, other]) => share(other, one)))
  return pairs.map(([one, other], index) => ({
    kinds: kindsOf(one, other),
    relayedMs: relayed[index]!,
    punchedMs: direct[index],
    thenMs: then[index]!,
  }))
}

function kindsOf(one: Actor, other: Actor): [HomeKind, HomeKind] {
  return [one.place.kind, other.place.kind]
}

export function formatMatrix(rows: Pair[]): string {
  const lines = rows.map(({ kinds, relayedMs, punchedMs, thenMs }) =>
    [
      kinds.join(' - ').padEnd(22),
      `${relayedMs.toFixed(0)} ms`.padStart(8),
      (punchedMs === undefined ? 'no' : `${punchedMs.toFixed(0)} ms`).padStart(9),
      `${thenMs.toFixed(0)} ms`.padStart(9),
    ].join(' '),
  )
  return [
    `${'NATs'.padEnd(22)} ${'relayed'.padStart(8)} ${'punched'.padStart(9)} ${'then'.padStart(9)}`,
    ...lines,
  ].join('\n')
}

if (import.meta.main) {
  const missing = await labMissing()
  if (missing !== undefined) throw new Error(missing)
  await using lab = await Lab.open()
  await using cast = await Cast.open()
  const relay = await cast.start(await lab.home('open'))
  const kinds: HomeKind[] = ['cone', 'address', 'port', 'symmetric', 'double', 'firewall']
  console.log(formatMatrix(await matrixOf(await hiddenPeers(lab, cast, kinds, [relay]))))
}
