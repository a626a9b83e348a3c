// What must hold after any run, judged from the clients' history and what the replicas hold at the end. Every checker is
// pure and gives findings; none means that it holds. They know what a writer had seen because the clients wrote it down,
// not because the cluster says so: a version vector that lies is found out.
import { type History, isWrite, type Operation, type WriteName } from './history.ts'

export interface Finding {
  /** The promise that was broken. */
  checker: string
  sentence: string
  /** The key whose history tells more. */
  key?: string
}

/** What one peer holds of one key: the names of its siblings, removals included if `removed` says that it knows of one. */
export interface Held {
  values: readonly WriteName[]
  /** True if the key has a tombstone among its siblings. */
  removed: boolean
}

export interface Replica {
  peer: string
  /** By key; only keys that it owns by the ring of the end. */
  owned: ReadonlyMap<string, Held>
}

/** What a watcher was shown since it began. */
export interface Watched {
  peer: string
  sinceMs: number
  shown: ReadonlyMap<string, ReadonlySet<WriteName>>
}

export interface Ending {
  replicas: readonly Replica[]
  /** Peers whose disks were lost: what only they acknowledged may be gone. */
  wiped: ReadonlySet<string>
  epochs: ReadonlyMap<string, string>
  hints: ReadonlyMap<string, number>
  watchers: readonly Watched[]
  /** False if anybody joined, left or was forgotten while clients worked. */
  ringStoodStill: boolean
}

/** All that must hold. */
export function findingsOf(history: History, ending: Ending): Finding[] {
  const past = new Past(history)
  return [
    ...lostWrites(past, ending),
    ...falseSiblings(past, ending),
    ...resurrections(past, ending),
    ...lostUpdates(past, ending),
    ...staleReads(past, ending),
    ...divergences(ending),
    ...epochsApart(ending),
    ...undeliveredHints(ending),
    ...missedByWatchers(past, ending),
  ]
}

/** Who had seen what: the causal order of writes as the clients made it. */
export class Past {
  readonly operations: readonly Operation[]
  readonly writes: readonly (Operation & { write: WriteName })[]
  readonly #byName: Map<WriteName, Operation & { write: WriteName }>

  constructor({ operations }: Pick<History, 'operations'>) {
    this.operations = operations
    this.writes = operations.filter(isWrite)
    this.#byName = new Map(this.writes.map((operation) => [operation.write, operation]))
  }

  operation(write: WriteName): Operation | undefined {
    return this.#byName.get(write)
  }

  /** These writes and all that their writers had seen, however long ago. */
  closure(writes: Iterable<WriteName>): Set<WriteName> {
    const all = new Set(writes)
    for (const write of all) for (const earlier of this.#byName.get(write)?.saw ?? []) all.add(earlier)
    return all
  }

  /** What the writer had seen before; nothing if nobody can tell. */
  before(write: WriteName): Set<WriteName> {
    const operation = this.#byName.get(write)
    return this.closure(operation && !operation.isGuess ? operation.saw : [])
  }
}

/**
 * No acknowledged write is lost, unless everybody who acknowledged it lost the disk. A removal has no value to look for:
 * whatever it may have removed is let off here, and what comes back in spite of one is found as a resurrection.
 */
export function lostWrites(past: Past, { replicas, wiped }: Pick<Ending, 'replicas' | 'wiped'>): Finding[] {
  const removals = past.writes.filter(({ kind, outcome }) => kind === 'remove' && outcome !== 'failed')
  return past.writes.flatMap((operation) => {
    const { key, write, outcome, acknowledgedBy, kind } = operation
    if (outcome !== 'done' || kind === 'remove') return []
    if (acknowledgedBy.length > 0 && acknowledgedBy.every((peer) => wiped.has(peer))) return []
    const known = past.closure(replicas.flatMap(({ owned }) => owned.get(key)?.values ?? []))
    if (known.has(write)) return []
    if (removals.some((removal) => removal.key === key && past.before(removal.write).has(write))) return []
    const sentence = `#${operation.id}: ${write} of ${key} was acknowledged by ${acknowledgedBy.join(' ')}; no owner has it or what replaced it`
    return [{ checker: 'no acknowledged write is lost', sentence, key }]
  })
}

/** A sibling was written by somebody, for this key, and not certainly refused. */
export function falseSiblings(past: Past, { replicas }: Pick<Ending, 'replicas'>): Finding[] {
  return replicas.flatMap(({ peer, owned }) =>
    [...owned].flatMap(([key, { values }]) => {
      const found = values.flatMap((write) => {
        const operation = past.operation(write)
        if (!operation) return [`${peer} has ${write} of ${key}, which nobody wrote`]
        if (operation.key !== key) return [`${peer} has ${write} at ${key}; it was written to ${operation.key}`]
        if (operation.outcome === 'failed')
          return [`${peer} has ${write} of ${key}; its writer was told that it failed`]
        const newer = values.find((other) => past.before(other).has(write))
        return newer === undefined ? [] : [`${peer} shows ${write} of ${key} beside ${newer}, which replaced it`]
      })
      if (new Set(values).size < values.length) found.push(`${peer} has a sibling of ${key} twice: ${values.join(' ')}`)
      return found.map((sentence) => ({ checker: 'siblings are neither lost nor false', sentence, key }))
    }),
  )
}

/** What an acknowledged write or removal had replaced does not come back. */
export function resurrections(past: Past, { replicas, wiped }: Pick<Ending, 'replicas' | 'wiped'>): Finding[] {
  const gone = new Map<WriteName, Operation>()
  for (const operation of past.writes) {
    if (operation.outcome !== 'done' || operation.acknowledgedBy.some((peer) => wiped.has(peer))) continue
    for (const write of past.before(operation.write)) gone.set(write, operation)
  }
  return replicas.flatMap(({ peer, owned }) =>
    [...owned].flatMap(([key, { values }]) =>
      values.flatMap((write) => {
        const by = gone.get(write)
        if (!by) return []
        const sentence = `${peer} has ${write} of ${key} again, which #${by.id} (${by.kind} ${by.write}) had replaced`
        return [{ checker: 'what was replaced or deleted stays so', sentence, key }]
      }),
    ),
  )
}

/** Of two strict compare-and-sets that had seen the same, at most one succeeds, while the ring stands still. */
export function lostUpdates(past: Past, { ringStoodStill }: Pick<Ending, 'ringStoodStill'>): Finding[] {
  if (!ringStoodStill) return []
  const first = new Map<string, Operation>()
  return past.writes.flatMap((operation) => {
    if (operation.kind !== 'cas' || operation.outcome !== 'done') return []
    const base = `${operation.key} over ${[...operation.saw].sort().join(' ')}`
    const other = first.get(base)
    first.set(base, operation)
    if (!other) return []
    const sentence = `#${other.id} and #${operation.id} both succeeded to set ${base || 'nothing'}`
    return [{ checker: 'no lost update among strict callers', sentence, key: operation.key }]
  })
}

/** A strict read sees every strict write that had ended before it began, or what replaced that. */
export function staleReads(past: Past, { ringStoodStill }: Pick<Ending, 'ringStoodStill'>): Finding[] {
  if (!ringStoodStill) return []
  return past.operations.flatMap((read) => {
    if (read.kind !== 'get' || !read.strict || read.outcome !== 'done') return []
    const seen = past.closure(read.values)
    const removals = past.writes.filter(({ kind, key }) => kind === 'remove' && key === read.key)
    const missed = past.writes.find(
      ({ key, write, strict, outcome, endMs, kind }) =>
        key === read.key &&
        strict &&
        outcome === 'done' &&
        kind !== 'remove' &&
        endMs < read.startMs &&
        !seen.has(write) &&
        !removals.some((removal) => removal.startMs < read.endMs && past.before(removal.write).has(write)),
    )
    if (!missed) return []
    const sentence = `#${read.id} read ${read.values.join(' ') || 'nothing'} at ${read.key} after #${missed.id} had written ${missed.write}`
    return [{ checker: 'a quorum read sees the latest quorum write', sentence, key: read.key }]
  })
}

/** After healing all owners of a key hold the same. */
export function divergences({ replicas }: Pick<Ending, 'replicas'>): Finding[] {
  const first = new Map<string, { peer: string; shown: string }>()
  return replicas.flatMap(({ peer, owned }) =>
    [...owned].flatMap(([key, held]) => {
      const shown = `${[...held.values].sort().join(' ')}${held.removed ? ' (removed)' : ''}` || 'nothing'
      const other = first.get(key)
      if (!other) first.set(key, { peer, shown })
      if (!other || other.shown === shown) return []
      const sentence = `${other.peer} has ${other.shown} at ${key}, ${peer} has ${shown}`
      return [{ checker: 'replicas converge', sentence, key }]
    }),
  )
}

export function epochsApart({ epochs }: Pick<Ending, 'epochs'>): Finding[] {
  if (new Set(epochs.values()).size <= 1) return []
  const sentence = [...epochs].map(([peer, epoch]) => `${peer} has ${epoch.slice(0, 12)}`).join(', ')
  return [{ checker: 'membership converges', sentence }]
}

export function undeliveredHints({ hints }: Pick<Ending, 'hints'>): Finding[] {
  return [...hints].flatMap(([peer, count]) =>
    count === 0 ? [] : [{ checker: 'hints are delivered', sentence: `${peer} still keeps ${count} hints` }],
  )
}

/**
 * A watcher at an owner was shown every version that is there at the end, or what came after, if it was written while it
 * watched. One elsewhere lives by gossip, which may be lost.
 */
export function missedByWatchers(past: Past, { watchers, replicas }: Pick<Ending, 'watchers' | 'replicas'>): Finding[] {
  return watchers.flatMap(({ peer, sinceMs, shown }) => {
    const owned = replicas.find((replica) => replica.peer === peer)?.owned ?? new Map<string, Held>()
    return [...owned].flatMap(([key, { values }]) => {
      const fresh = values.filter((write) => (past.operation(write)?.startMs ?? 0) > sinceMs)
      const known = past.closure(shown.get(key) ?? [])
      const missed = fresh.filter((write) => !known.has(write))
      if (missed.length === 0) return []
      const sentence = `the watcher at ${peer} was not shown ${missed.join(' ')} of ${key}`
      return [{ checker: 'watchers see every final version', sentence, key }]
    })
  })
}
