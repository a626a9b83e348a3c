// Names for people: a name is a key, its value is text, most often a CID. Values written at the same time by peers that did
// not see each other are all kept and all shown, the same one first at everybody, until somebody chooses. This file says
// what a name may look like and how records are told to people; keeping them is the records' affair.
import type { Abortable } from '../base/abort.ts'
import { limits } from '../core/limits.ts'
import { RecordsError } from './errors.ts'
import type { Found, GetOptions, Level, PutOptions, PutResult, Records, RemoveOptions, ShownSibling } from './words.ts'

export interface NameInfo {
  name: string
  /** The value to use; null when the name has none (removed, or never set). */
  value: string | null
  /** For `ifVersion`. */
  version: string
  /** What others wrote at the same time; null stands for a removal. */
  conflicts: (string | null)[]
  /** Answers or durable copies that counted, and how many were wanted. */
  acks: number
  wanted: number
  /** True when fewer owners answered than a quorum: there may be something newer. */
  stale?: boolean
}

/** A value that has been replaced. */
export interface PastValue {
  name: string
  /** Null for a removal, and for a value that was not kept. */
  value: string | null
  author: string
  /** Wall time of its author, ISO 8601. */
  at: string
}

export interface SetOptions extends PutOptions {
  /** Write only if there is a conflict, in place of all its values. */
  merge?: boolean
}

const prefix = 'name/'

export class Names {
  readonly #records: Records

  constructor(deps: { records: Records }) {
    this.#records = deps.records
  }

  /** Throws KEY_INVALID and what `Records.get` throws. A name without a value is no error here: its value is null. */
  async get(name: string, options: GetOptions = {}): Promise<NameInfo> {
    return told(await this.#records.get(keyOf(name), options))
  }

  /** Throws KEY_INVALID, NO_CONFLICT and what `Records.put` throws. */
  async set(name: string, value: string, { merge = false, ...options }: SetOptions = {}): Promise<NameInfo> {
    const key = keyOf(name)
    if (!merge) return written(await this.#records.put(key, Buffer.from(value), options))
    const { siblings, context } = await this.#records.get(key, { signal: options.signal })
    if (siblings.length < 2)
      throw new RecordsError('NO_CONFLICT', `${shown(name)} has no conflict to merge; set it without --merge`)
    return written(await this.#records.put(key, Buffer.from(value), { ...options, context }))
  }

  /** Throws KEY_INVALID, NAME_NOT_FOUND and what `Records.remove` throws. */
  async remove(name: string, options: RemoveOptions = {}): Promise<NameInfo> {
    const present = await this.#records.get(keyOf(name), { signal: options.signal })
    if (!present.winner) throw notFound(name)
    return written(await this.#records.remove(keyOf(name), options))
  }

  /** Names that begin with the prefix, in order. Calls `onUnreached` with members that did not answer. */
  async *list(
    start: string,
    { signal, onUnreached }: Abortable & { onUnreached?: (peers: string[]) => void } = {},
  ): AsyncGenerator<NameInfo> {
    let after: string | undefined
    do {
      const page = await this.#records.list(prefix + start, { signal, ...(after !== undefined && { after }) })
      if (page.unreached.length > 0) onUnreached?.(page.unreached)
      for (const found of page.entries) yield told({ ...found, acks: 0, wanted: 0 })
      after = page.next
    } while (after !== undefined)
  }

  /** Every new version of names that begin with the prefix, until the signal aborts or the caller stops. */
  async *watch(start: string, { signal }: Abortable = {}): AsyncGenerator<NameInfo> {
    const changed = new Map<string, Found>()
    let wake = Promise.withResolvers<void>()
    const stop = this.#records.watch(prefix + start, (found) => {
      // A reader that is slow misses versions in between, never the last one of a name.
      if (changed.size < limits.watchedMax || changed.has(found.key)) changed.set(found.key, found)
      wake.resolve()
    })
    const onAbort = () => wake.resolve()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      while (!signal?.aborted) {
        await wake.promise
        wake = Promise.withResolvers<void>()
        for (const [key, found] of changed) {
          changed.delete(key)
          yield told({ ...found, acks: 0, wanted: 0 })
        }
      }
      signal.throwIfAborted()
    } finally {
      stop()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Replaced values, newest first: as many as the replicas keep. */
  async *history(name: string, options: Abortable = {}): AsyncGenerator<PastValue> {
    for (const { value, author, atMs } of await this.#records.history(keyOf(name), options))
      yield { name, value: value ? textOf(value) : null, author, at: timeOf(atMs) }
  }
}

/** Throws NAME_NOT_FOUND for a name without a value. */
export function requireValue({ value, name }: NameInfo): string {
  if (value === null) throw notFound(name)
  return value
}

/** True for what can be a name; `CID/a/b` and paths of a file system cannot. */
export function isName(name: string): boolean {
  try {
    requireName(name)
    return true
  } catch {
    return false
  }
}

/** Throws KEY_INVALID with what is wrong. */
export function requireName(name: string): void {
  keyOf(name)
}

function keyOf(name: string): string {
  const parts = name.split('/')
  const wrong =
    name === ''
      ? 'it is empty'
      : Buffer.byteLength(name) > limits.nameKeyBytesMax
        ? `it has more than ${limits.nameKeyBytesMax} bytes`
        : steering.test(name) || !name.isWellFormed()
          ? 'it has control characters'
          : parts.some((part) => part === '.' || part === '..')
            ? "it has '.' or '..' in it"
            : parts.includes('')
              ? "it begins or ends with '/', or has two in a row"
              : undefined
  if (wrong) throw new RecordsError('KEY_INVALID', `${shown(name)} cannot be a name: ${wrong}`)
  // The same letters may be written in two ways, and people cannot see which.
  return prefix + name.normalize('NFC')
}

const steering = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

function shown(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
}

function notFound(name: string): RecordsError {
  return new RecordsError('NAME_NOT_FOUND', `there is no name ${shown(name)}; 'potluck name ls' shows all`)
}

function told(found: Found & { acks: number; wanted: number; stale?: boolean }): NameInfo {
  const { key, siblings, winner, context, acks, wanted, stale } = found
  const others = siblings.filter((sibling) => sibling !== winner && sibling.writeId !== winner?.writeId)
  return {
    name: key.slice(prefix.length),
    value: winner ? shownValue(winner) : null,
    version: context,
    // Removals at the same time are a conflict only with a value.
    conflicts: winner ? others.map(shownValue) : [],
    acks,
    wanted,
    ...(stale && { stale }),
  }
}

function written({ key, version, siblings, acks, wanted }: PutResult): NameInfo {
  const winner = siblings.find(({ value }) => value !== undefined)
  return told({ key, siblings, winner, context: version, acks, wanted })
}

function shownValue({ value }: ShownSibling): string | null {
  return value ? textOf(value) : null
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
}

function timeOf(atMs: number): string {
  const date = new Date(atMs)
  return Number.isNaN(date.getTime()) ? 'unknown' : date.toISOString()
}

/** `one`, `quorum`, `all` or a number, as people write it. Throws LEVEL_INVALID. */
export function parseLevel(text: string): Level {
  if (text === 'one' || text === 'quorum' || text === 'all') return text
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (count < 1) throw new RecordsError('LEVEL_INVALID', `'${text}' is not one, quorum, all or a number of peers`)
  return count
}
