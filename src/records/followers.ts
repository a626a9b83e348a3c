// Who follows what this replica keeps: they hear of every record that is here, again whenever it changes here, and with no
// siblings when it goes to others. Unlike a watcher, a follower hears nothing of records that only others keep, and may be told
// of one version twice.
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Replica } from './replica.ts'
import { foundOf } from './shown.ts'
import type { SiblingSet } from './version.ts'
import type { Found } from './words.ts'

type Listener = (found: Found) => void

export class Followers {
  readonly #replica: Replica
  readonly #log: Log
  readonly #following = new Set<{ prefix: string; listener: Listener }>()

  constructor(deps: { replica: Replica; log: Log }) {
    this.#replica = deps.replica
    this.#log = deps.log
  }

  add(prefix: string, listener: Listener): () => void {
    const following = { prefix, listener }
    this.#following.add(following)
    for (const key of this.#replica.keys(prefix, undefined)) {
      const stored = this.#replica.read(key)
      if (stored) this.#tell(following, key, stored.set)
    }
    return () => this.#following.delete(following)
  }

  tell(key: string, set: SiblingSet): void {
    for (const following of this.#following) if (key.startsWith(following.prefix)) this.#tell(following, key, set)
  }

  #tell({ prefix, listener }: { prefix: string; listener: Listener }, key: string, set: SiblingSet): void {
    try {
      listener(foundOf(key, set))
    } catch (error) {
      this.#log.error(`a follower of '${prefix}' failed: ${sentenceOf(error)}`)
    }
  }
}
