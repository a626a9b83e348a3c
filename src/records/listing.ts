// Listing keys by prefix. Every member that holds partitions knows its own part; their pages are merged, and the answer ends
// where the first of them ended, so that nothing is skipped. What could not be asked is said.

import type { Abortable } from '../base/abort.ts'
import { compareByCodePoint } from '../base/code-points.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Membership } from '../core/ports.ts'
import type { Laws } from './laws.ts'
import type { Carried, Request } from './messages.ts'
import { shownPast } from './past.ts'
import type { Peers } from './peers.ts'
import { decodeSet, decodeWrite, type Verifier } from './record.ts'
import type { Replica } from './replica.ts'
import { foundOf } from './shown.ts'
import { expect } from './sync.ts'
import { isRemoved, type SiblingSet, type Write } from './version.ts'
import type { Listed, ListOptions, PastWrite } from './words.ts'

export interface ListingDeps {
  membership: Membership
  replica: Replica
  peers: Peers
  verifier: Verifier
  laws: Laws
  log: Log
}

interface Page {
  records: readonly Carried[]
  more: boolean
}

export async function listRecords(deps: ListingDeps, prefix: string, options: ListOptions): Promise<Listed> {
  const { after = '', limit = limits.recordsListed, signal } = options
  const most = Math.min(Math.max(1, limit), limits.recordsListed)
  const request: Request = { type: 'list', prefix, after, limit: most }
  const { pages, unreached } = await askAll(deps, (peer) =>
    deps.peers.ask(peer, request, { signal }).then((answer) => expect(answer, 'records')),
  )
  const ends = pages.flatMap(({ records, more }) => (more ? [records.at(-1)?.[0] ?? after] : []))
  const end = ends.sort(compareByCodePoint)[0]
  const sets = new Map<string, SiblingSet>()
  for (const [key, bytes] of pages.flatMap((page: Page) => page.records)) {
    if (end !== undefined && compareByCodePoint(key, end) > 0) continue
    const set = checkedSet(deps, key, bytes)
    const other = sets.get(key)
    sets.set(key, other ? deps.laws.merge(other, set) : set)
  }
  const keys = [...sets.keys()].sort(compareByCodePoint)
  const shown = keys.slice(0, most)
  const next = shown.length < keys.length ? shown.at(-1) : end
  const entries = shown.filter((key) => !isRemoved(sets.get(key)!)).map((key) => foundOf(key, sets.get(key)!))
  return { entries, next, unreached }
}

export async function historyOf(
  deps: ListingDeps,
  key: string,
  owners: readonly PeerId[],
  { signal }: Abortable,
): Promise<PastWrite[]> {
  const writes = new Map<string, Write>()
  const note = (write: Write) => {
    if (write.key === key) writes.set(write.id, write)
  }
  for (const write of deps.replica.past(key)) note(write)
  const asked = owners.filter((peer) => peer !== deps.membership.self)
  await Promise.all(
    asked.map(async (peer) => {
      try {
        const answer = expect(await deps.peers.ask(peer, { type: 'past', key }, { signal }), 'past')
        for (const bytes of answer.writes) {
          const write = decodeWrite(bytes)
          deps.verifier.check(write)
          note(write)
        }
      } catch (error) {
        signal?.throwIfAborted()
        deps.log.debug(`${peer} did not tell the history of '${key}': ${sentenceOf(error)}`)
      }
    }),
  )
  const past = [...writes.values()].sort((a, b) => b.atMs - a.atMs || (a.id < b.id ? 1 : -1))
  return past.map(shownPast)
}

function checkedSet({ verifier, replica }: ListingDeps, key: string, bytes: Uint8Array): SiblingSet {
  const set = decodeSet(key, bytes)
  const known = replica.bytesOf(key)
  if (!known || !Buffer.from(known).equals(bytes)) for (const { write } of set.siblings) verifier.check(write)
  return set
}

async function askAll(
  { membership, log }: ListingDeps,
  ask: (peer: PeerId) => Promise<Page>,
): Promise<{ pages: Page[]; unreached: PeerId[] }> {
  const pages: Page[] = []
  const unreached: PeerId[] = []
  const holders = membership.view().members.filter(({ peer, capacity }) => capacity > 0 || peer === membership.self)
  const asked = new Set([membership.self, ...holders.map(({ peer }) => peer)])
  await Promise.all(
    [...asked].map(async (peer) => {
      try {
        if (membership.member(peer)?.liveness === 'dead') throw new Error('it is away')
        pages.push(await ask(peer))
      } catch (error) {
        unreached.push(peer)
        log.debug(`${peer} did not list its records: ${sentenceOf(error)}`)
      }
    }),
  )
  return { pages, unreached: unreached.sort() }
}
