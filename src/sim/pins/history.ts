// What happened to content, as its makers and a witness saw it: what clients asked and were told, when each machine came to
// have all of a content on its disk and when it no longer had it, and what struck the machines. The checkers judge from it
// alone, with what the disks hold at the end. It knows nothing of what the peers think.
import { seconds } from '../history.ts'

/** `failed`: it certainly did nothing. `unknown`: it may have been carried out, or may yet be. */
type Outcome = 'pending' | 'done' | 'failed' | 'unknown'

export interface PinOperation {
  readonly id: number
  readonly peer: string
  readonly kind: 'pin' | 'wait' | 'unpin' | 'let go' | 'read'
  /** The name of the content. */
  readonly dag: string
  /** A pin: copies wanted. A wait: copies waited for. */
  readonly copies: number
  /** A pin: wall time when it ends, as a clock that is right says it; undefined if never. */
  readonly endsMs: number | undefined
  /** An unpin: every replica of the record said the same when it began, so that it knew of all that was wished before. */
  readonly isInformed: boolean
  readonly startMs: number
  endMs: number
  outcome: Outcome
  /** A wait: machines that had all of it on their disks when it ended. An unpin: whether there was something to unpin. */
  found: readonly string[]
  error: string | undefined
}

export type Begun = Pick<PinOperation, 'peer' | 'kind' | 'dag'> &
  Partial<Pick<PinOperation, 'copies' | 'endsMs' | 'isInformed'>>

/** Why a machine no longer has all of a content; `dropped`: its peer did that itself. */
export type Loss = 'wiped' | 'lost' | 'rotted' | 'left' | 'dropped'

/**
 * `gained`: all of it is there. `kept`: and its root is pinned, so that it stays. `released`: it is there still, and may go
 * with the next collection. `given up`: so, by one that leaves, while nobody else had room for it.
 */
type Change = 'gained' | 'kept' | 'released' | 'given up' | Loss

/** One machine's disk and one content. */
export interface Holding {
  atMs: number
  dag: string
  peer: string
  change: Change
}

/** A holder was away for longer than the grace time. */
export interface Absence {
  atMs: number
  peer: string
}

export interface ContentFacts {
  sizeBytes: number
}

export class PinHistory {
  readonly operations: PinOperation[] = []
  readonly events: { atMs: number; sentence: string }[] = []
  readonly holdings: Holding[] = []
  readonly absences: Absence[] = []
  /** Members that came after the beginning. */
  readonly joined = new Set<string>()
  /** By content: everybody that a record ever named as a holder, in the order in which they were seen. */
  readonly named = new Map<string, Set<string>>()
  /** Holders that were named by peers that had been cut off for long. */
  readonly namings: { atMs: number; side: string; dag: string; holders: string[] }[] = []
  /** Peers that promised more than they have. */
  readonly overfull: { atMs: number; peer: string; bytes: number; capacity: number }[] = []
  readonly sizes = new Map<string, number>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  get nowMs(): number {
    return this.#nowMs()
  }

  event(sentence: string): void {
    this.events.push({ atMs: this.#nowMs(), sentence })
  }

  begin({ peer, kind, dag, copies = 0, endsMs, isInformed = false }: Begun): PinOperation {
    const operation: PinOperation = {
      id: this.operations.length,
      peer,
      kind,
      dag,
      copies,
      endsMs,
      isInformed,
      startMs: this.#nowMs(),
      endMs: Number.POSITIVE_INFINITY,
      outcome: 'pending',
      found: [],
      error: undefined,
    }
    this.operations.push(operation)
    return operation
  }

  /** Only the first end counts. */
  end(
    operation: PinOperation,
    ended: { outcome: 'done' | 'failed' | 'unknown'; found?: string[]; error?: string },
  ): void {
    if (operation.outcome !== 'pending') return
    operation.endMs = this.#nowMs()
    operation.outcome = ended.outcome
    operation.found = ended.found ?? []
    operation.error = ended.error
  }

  changed(dag: string, peer: string, change: Change): void {
    this.holdings.push({ atMs: this.#nowMs(), dag, peer, change })
  }
}

/** One line, for people. */
export function pinLineOf({
  id,
  peer,
  kind,
  dag,
  copies,
  startMs,
  endMs,
  outcome,
  found,
  error,
}: PinOperation): string {
  const end = Number.isFinite(endMs) ? seconds(endMs) : '…'
  const count = copies > 0 ? ` ${copies}` : ''
  const had = found.length > 0 ? `: ${found.join(' ')}` : ''
  return `#${id} ${seconds(startMs)}-${end} ${peer} ${kind} ${dag}${count} -> ${outcome}${had}${error === undefined ? '' : ` (${error})`}`
}
