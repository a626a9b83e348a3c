// Who wants to hear of new versions, and what they have heard: each version is told once, in whatever way this peer learns of
// it, and never an older one after a newer. What was told is remembered for some keys; past that a version may be told twice.
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import { limits } from '../core/limits.ts'
import type { Laws } from './laws.ts'
import { contextOf, foundOf } from './shown.ts'
import { type SiblingSet, sameVersion, versionOf } from './version.ts'
import type { Found } from './words.ts'

type Listener = (found: Found) => void

export class Watchers {
  readonly #log: Log
  readonly #laws: Laws
  readonly #watching = new Set<{ prefix: string; listener: Listener }>()
  readonly #told = new Lru<string, SiblingSet>(limits.recordsWatched)

  constructor(deps: { log: Log; laws: Laws }) {
    this.#log = deps.log
    this.#laws = deps.laws
  }

  add(prefix: string, listener: Listener): () => void {
    const watching = { prefix, listener }
    this.#watching.add(watching)
    return () => this.#watching.delete(watching)
  }

  wants(key: string): boolean {
    for (const { prefix } of this.#watching) if (key.startsWith(prefix)) return true
    return false
  }

  /** True if this version, as text, is the last that was told. */
  knows(key: string, version: string): boolean {
    const told = this.#told.get(key)
    return told !== undefined && contextOf(told) === version
  }

  /** Tells a set of siblings to those who want it, if it says anything new. */
  tell(key: string, set: SiblingSet): void {
    if (!this.wants(key)) return
    const told = this.#told.get(key)
    const now = told ? this.#laws.merge(told, set) : set
    this.#told.set(key, now)
    if (told && sameVersion(versionOf(told), versionOf(now))) return
    const found = foundOf(key, now)
    for (const { prefix, listener } of [...this.#watching]) {
      if (!key.startsWith(prefix)) continue
      try {
        listener(found)
      } catch (error) {
        this.#log.error(`a watcher of '${prefix}' failed: ${sentenceOf(error)}`)
      }
    }
  }
}
