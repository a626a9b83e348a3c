// News of writes to everybody who listens: the first at once, then at most one message a second, of whole records while they
// fit and of keys and versions beyond. So owners that missed a write, and watchers anywhere, hear of it within a second, and
// the load stays bounded however much is written. Nothing depends on it: what is lost here, anti-entropy finds.
import { encode } from '@ipld/dag-cbor'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { Broadcast, Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { bytesField, decoded, listField, textField } from './fields.ts'
import { checkedKey } from './record.ts'
import type { Stored } from './replica.ts'
import { contextOf } from './shown.ts'

const topic = 'potluck/records/1'

/** A record, or, without the set, only that there is a new version of it. */
export type News = readonly [key: string, set: Uint8Array | null, version: string]

export interface GossipDeps {
  broadcast: Broadcast
  membership: Membership
  clock: Clock
  log: Log
}

export class Gossip implements Disposable {
  readonly #deps: GossipDeps
  /** As they were last; what most of them become in the end is never told, so they are encoded late. */
  readonly #waiting = new Map<string, Stored>()
  readonly #unsubscribe: () => void
  #cancel: (() => void) | undefined
  #isQuiet = true

  constructor(deps: GossipDeps, onNews: (news: News, from: PeerId) => void) {
    this.#deps = deps
    this.#unsubscribe = deps.broadcast.subscribe(topic, ({ from, bytes }) => {
      if (!deps.membership.member(from)) return
      try {
        for (const news of decodeNews(bytes)) onNews(news, from)
      } catch (error) {
        deps.log.debug(`news of ${from} make no sense: ${sentenceOf(error)}`)
      }
    })
  }

  /** Tells a write to everybody, now or with the next message. */
  tell(key: string, stored: Stored): void {
    // The oldest go unsaid: they have had their chance, and anti-entropy does not depend on this.
    if (this.#waiting.size >= limits.recordNewsMax) this.#waiting.delete(this.#waiting.keys().next().value!)
    this.#waiting.delete(key)
    this.#waiting.set(key, stored)
    if (this.#isQuiet) this.#flush()
  }

  [Symbol.dispose](): void {
    this.#cancel?.()
    this.#waiting.clear()
    this.#unsubscribe()
  }

  #flush(): void {
    const { broadcast, clock, log } = this.#deps
    this.#isQuiet = this.#waiting.size === 0
    if (this.#isQuiet) return
    const message = encode(take(this.#waiting))
    this.#cancel = clock.timer(times.recordNewsEveryMs, () => this.#flush())
    broadcast.publish(topic, message).catch((error) => log.debug(`news were not spread: ${sentenceOf(error)}`))
  }
}

/**
 * Takes as much as one message carries out of what waits: whole records while they fit, then keys and versions. The latest go
 * first, so that a burst which takes long to tell does not hold up what is written after it.
 */
function take(waiting: Map<string, Stored>): News[] {
  const message: [key: string, set: Uint8Array, version: string][] = []
  let left: number = limits.recordNewsBytes
  for (const [key, { set, bytes }] of [...waiting].reverse()) {
    const version = contextOf(set)
    // The versions of all come first: a record goes whole only into what they leave.
    const sizeBytes = 3 * key.length + version.length + 16
    if (left < sizeBytes || message.length >= limits.recordsCarried) break
    left -= sizeBytes
    message.push([key, bytes, version])
    waiting.delete(key)
  }
  return message.map(([key, set, version]) => {
    if (set.byteLength > left) return [key, null, version]
    left -= set.byteLength
    return [key, set, version]
  })
}

function decodeNews(bytes: Uint8Array): News[] {
  return listField(decoded(bytes, 'message'), limits.recordsCarried, 'list of news').map((item) => {
    const [key, set, version] = listField(item, 3, 'news')
    const record = set === null ? null : bytesField(set, limits.recordNewsBytes, 'record')
    return [checkedKey(key), record, textField(version, limits.recordBodyBytesMax, 'version')]
  })
}
