// Replicas that copy nothing: they write down what they are asked and answer what a test has put there. For tests of what
// stands before them; whether copies are made is tested where they are made.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../../src/base/abort.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { Reporting } from '../../src/core/progress.ts'
import type { Change, PinOptions, PinStatus, Place, PlaceState, Replicas } from '../../src/replicas/words.ts'

export class FakeReplicas implements Replicas {
  readonly pins = new Map<string, PinStatus>()
  readonly asked: { what: string; [more: string]: unknown }[] = []
  readonly workers = []
  /** Answers waits, one after the other; the last one again and again. */
  waits: (PinStatus | Error)[] = []
  /** Answers to letting go, one after the other; then it works. */
  lettingGo: boolean[] = []
  used: (peer: PeerId) => Promise<number> = async () => 0
  toHandOver = 0
  isDrained = true
  pinsHeld = 0

  async pin(cid: CID, { signal: _, ...options }: PinOptions): Promise<PinStatus> {
    this.asked.push({ what: 'pin', ...options })
    const status = pinStatus(cid, { copies: options.copies ?? 3, sizeBytes: options.sizeBytes })
    this.pins.set(String(cid), status)
    return status
  }

  async unpin(cid: CID): Promise<boolean> {
    this.asked.push({ what: 'unpin' })
    return this.pins.delete(String(cid))
  }

  async letGo(): Promise<boolean> {
    this.asked.push({ what: 'let go' })
    return this.lettingGo.shift() ?? true
  }

  async status(cid: CID): Promise<PinStatus | undefined> {
    return this.pins.get(String(cid))
  }

  async *list(): AsyncGenerator<PinStatus> {
    yield* this.pins.values()
  }

  async wait(_cid: CID, count: number, { onProgress }: Abortable & Reporting = {}): Promise<PinStatus> {
    this.asked.push({ what: 'wait', count })
    onProgress?.({ phase: 'copying', done: 0, unit: 'bytes', note: `0 of ${count} copies` })
    const answer = this.waits.length > 1 ? this.waits.shift() : this.waits[0]
    if (!answer || answer instanceof Error) throw answer ?? new Error('no answer was put here')
    return answer
  }

  async *holders() {}

  async preview(change: Change) {
    this.asked.push({ what: 'preview', ...change })
    return { pins: 2, bytes: 300, byPeer: { b: 300 } as Record<PeerId, number>, short: 1, unreached: [] }
  }

  usedBytes(peer: PeerId): Promise<number> {
    return this.used(peer)
  }

  mend(): void {
    this.asked.push({ what: 'mend' })
  }

  bytesToHandOver(): number {
    return this.toHandOver
  }

  drained(): boolean {
    return this.isDrained
  }

  summary() {
    const { pinsHeld: pins } = this
    return { pins, heldBytes: 0, reservedBytes: 0, capacity: 0, driven: 0, underReplicated: 0 }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export function pinStatus(cid: CID, given: Partial<PinStatus> = {}): PinStatus {
  const { places = [] } = given
  return {
    cid,
    copies: 3,
    held: places.filter(({ state }) => state === 'held').length,
    possible: 3,
    sizeBytes: 100,
    places,
    state: 'copying',
    bytesToGo: 0,
    bytesPerSecond: 0,
    ...given,
  }
}

export function place(peer: string, state: PlaceState = 'held', more: Partial<Place> = {}): Place {
  return { peer: peer as PeerId, zone: 'attic', state, doneBytes: state === 'held' ? 100 : 0, ...more }
}
