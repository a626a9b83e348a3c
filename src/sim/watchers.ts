// Watchers on every peer of a cluster. One that was interrupted, because its peer went down, starts anew with an empty
// memory; what a watcher was shown is kept for as long as its program runs.
import type { Watched } from './checkers.ts'
import type { Program } from './client.ts'
import type { Cluster } from './cluster.ts'

export class Watchers {
  readonly #cluster: Cluster<Program>
  readonly #shown = new Map<Program, { sinceMs: number; shown: Map<string, Set<string>> }>()

  constructor(cluster: Cluster<Program>) {
    this.#cluster = cluster
  }

  /** Watches at every program that is not watched yet. */
  attach(): void {
    for (const { run } of this.#cluster.running()) {
      const program = run!.program!
      if (this.#shown.has(program)) continue
      const shown = new Map<string, Set<string>>()
      this.#shown.set(program, { sinceMs: this.#cluster.time.nowMs, shown })
      program.watch((key, values) => {
        const seen = shown.get(key) ?? new Set()
        shown.set(key, seen)
        for (const value of values) seen.add(value)
      })
    }
  }

  /** What those whose program still runs were shown. */
  seen(): Watched[] {
    return this.#cluster.running().flatMap(({ name, run }) => {
      const watched = this.#shown.get(run!.program!)
      return watched ? [{ peer: name, ...watched }] : []
    })
  }
}
