// A pin as its callers see it: what the record says, and what whoever drives it has told of its holders. Pure; it asks nobody.
// When nobody has told anything, the members that the record names count as asked, and none as a holder.
import { CID } from 'multiformats/cid'
import type { Membership } from '../core/ports.ts'
import type { DriverWorker } from './driver.ts'
import type { Told } from './messages.ts'
import { copiesOf, endOf, type Pin } from './pin.ts'
import type { PinStatus } from './words.ts'

export interface StatusDeps {
  membership: Pick<Membership, 'member'>
  driver: Pick<DriverWorker, 'possibleFor'>
}

/** `told` is undefined when nobody who looks after the pin has answered. */
export function statusOf({ membership, driver }: StatusDeps, pin: Pin, told: Told | undefined): PinStatus {
  const copies = copiesOf(pin)
  const placed = told?.places ?? pin.holders.map((peer) => ({ peer, state: 'asked' as const, doneBytes: 0 }))
  const places = placed.map((place) => ({ ...place, zone: membership.member(place.peer)?.zone ?? '' }))
  const held = places.filter(({ state }) => state === 'held').length
  const full = new Set(places.flatMap(({ peer, state }) => (state === 'full' ? [peer] : [])))
  const isMoving = places.some(({ state }) => state === 'fetching' || state === 'asked')
  const fetched = places.filter(({ state }) => state === 'fetching').map(({ doneBytes }) => doneBytes)
  const missing = Math.max(0, copies - held) * pin.sizeBytes
  return {
    cid: CID.parse(pin.cid),
    copies,
    held,
    possible: driver.possibleFor(pin, full),
    sizeBytes: pin.sizeBytes,
    places,
    state: held >= copies ? 'held' : isMoving || !told ? 'copying' : 'waiting',
    why: told ? told.why : 'the member that looks after it does not answer now',
    expiresMs: endOf(pin),
    bytesToGo: Math.max(0, missing - fetched.reduce((sum, bytes) => sum + bytes, 0)),
    bytesPerSecond: told?.bytesPerSecond ?? 0,
  }
}
