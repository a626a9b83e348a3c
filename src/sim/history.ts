// What happened, as the clients of a simulation saw it: every operation with when it began and ended, what it wrote, what
// its writer had seen, and what came back. It knows nothing of the peers' insides; the checkers judge from it alone, with
// what the replicas hold at the end.

/** A write by its name, which is also the value that it writes: no two are alike. */
export type WriteName = string

/**
 * `failed` means that it certainly did nothing; `unknown` that it may have been carried out, or may yet be: its answer was
 * lost, its peer crashed, or too few answered.
 */
export type Outcome = 'pending' | 'done' | 'failed' | 'unknown'

export interface Operation {
  readonly id: number
  /** The peer that the client talked to. */
  readonly peer: string
  readonly kind: 'put' | 'remove' | 'get' | 'cas'
  readonly key: string
  /** Owners only, and a quorum of them. */
  readonly strict: boolean
  /** What a put, a cas or a remove writes. */
  readonly write: WriteName | undefined
  /** What the writer had read and meant to replace; of a put that leaves it to the cluster, what it may have replaced. */
  saw: readonly WriteName[]
  /** True if `saw` says more than the writer knows. */
  readonly isGuess: boolean
  readonly startMs: number
  endMs: number
  outcome: Outcome
  /** A get: the siblings it was shown. */
  values: readonly WriteName[]
  /** A write: the peers that acknowledged it, by name. */
  acknowledgedBy: readonly string[]
  /** Why it did not work. */
  error: string | undefined
}

export interface Begun {
  peer: string
  kind: Operation['kind']
  key: string
  strict: boolean
  write?: WriteName
  saw?: readonly WriteName[]
  /** True for a write without a context, which replaces what the cluster finds. */
  isGuess?: boolean
}

export interface Ended {
  outcome: Exclude<Outcome, 'pending'>
  values?: readonly WriteName[]
  acknowledgedBy?: readonly string[]
  error?: string
  /** The siblings after a write. */
  left?: readonly WriteName[]
}

export class History {
  readonly operations: Operation[] = []
  /** What was done to the cluster, for people who read a failing run. */
  readonly events: { atMs: number; sentence: string }[] = []
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  event(sentence: string): void {
    this.events.push({ atMs: this.#nowMs(), sentence })
  }

  begin(begun: Begun): Operation {
    const operation: Operation = {
      id: this.operations.length,
      peer: begun.peer,
      kind: begun.kind,
      key: begun.key,
      strict: begun.strict,
      write: begun.write,
      saw: begun.saw ?? [],
      isGuess: begun.isGuess ?? false,
      startMs: this.#nowMs(),
      endMs: Number.POSITIVE_INFINITY,
      outcome: 'pending',
      values: [],
      acknowledgedBy: [],
      error: undefined,
    }
    this.operations.push(operation)
    return operation
  }

  /**
   * Only the first end counts: a client that gave up does not hear a late answer. But its peer may have slept and gone on
   * with a write that told nothing of what it replaces: that is known when the call comes back.
   */
  end(operation: Operation, ended: Ended): void {
    if (operation.isGuess) operation.saw = this.#replaceable(operation, ended.left ?? [])
    if (operation.outcome !== 'pending') return
    operation.endMs = this.#nowMs()
    operation.outcome = ended.outcome
    operation.values = ended.values ?? []
    operation.acknowledgedBy = ended.acknowledgedBy ?? []
    operation.error = ended.error
  }

  /** Every write of the key that had begun and was not left beside this one. */
  #replaceable({ key, write }: Operation, left: readonly WriteName[]): WriteName[] {
    return this.operations
      .filter(isWrite)
      .filter((other) => other.key === key && other.write !== write && !left.includes(other.write))
      .map((other) => other.write)
  }
}

export function isWrite(operation: Operation): operation is Operation & { write: WriteName } {
  return operation.write !== undefined
}

/** One line of a history, for people. */
export function lineOf(operation: Operation): string {
  const { id, peer, kind, key, strict, write, saw, isGuess, startMs, endMs, outcome, values, acknowledgedBy, error } =
    operation
  const wrote =
    write === undefined ? '' : ` ${write}${isGuess ? '' : saw.length > 0 ? ` over ${saw.join(' ')}` : ' blind'}`
  const got = kind === 'get' && outcome === 'done' ? `: ${values.join(' ') || 'nothing'}` : ''
  const acknowledged = acknowledgedBy.length > 0 ? ` by ${acknowledgedBy.join(' ')}` : ''
  const why = error === undefined ? '' : ` (${error})`
  const end = Number.isFinite(endMs) ? seconds(endMs) : '…'
  return `#${id} ${seconds(startMs)}-${end} ${peer} ${strict ? 'strict ' : ''}${kind} ${key}${wrote} -> ${outcome}${got}${acknowledged}${why}`
}

export function seconds(timeMs: number): string {
  return (timeMs / 1000).toFixed(3)
}
