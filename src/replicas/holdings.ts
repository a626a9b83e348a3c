// What this peer holds for the cluster, and what it keeps since somebody pinned it here: durable rows, with the sum of what is
// promised. A pin's size is reserved when it is accepted, before anything is fetched, so that two pins never count on the same
// room. A row that says `held` is written after every block and the root are durable, and its root is let go before the row is.
import { decode, encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import type { PeerId } from '../core/peer.ts'
import type { Table, TableOperation } from '../core/ports.ts'
import { cidOfKey, decodePin, encodePin, type Pin } from './pin.ts'
import type { Roots } from './words.ts'

/** One pin that this peer holds or is about to. */
export interface Held {
  readonly key: string
  readonly cid: CID
  /** As it was last heard of. */
  pin: Pin
  isHeld: boolean
  /** Reserved; does not change once it is held. */
  sizeBytes: number
  /** Not kept over a restart. */
  others: number
  from: readonly PeerId[]
  /** Asked for proof that this peer could not give, and so has it. */
  auditor: PeerId | undefined
  doneBytes: number
  why: string | undefined
  /** `why` is that the disk is full, whatever this peer gives. */
  isFull: boolean
  failures: number
  /** Monotonic time before which it is not tried again. */
  retryAtMs: number
  /** Monotonic time when anybody last said that it shall be held; undefined since the start. */
  askedAtMs: number | undefined
}

/** A wish on its way to the records, and what was here before it. */
export interface Telling {
  readonly key: string
  readonly id: string
  readonly before: Pin | undefined
  readonly hadRoot: boolean
}

const heldPrefix = 'held/'
const keptPrefix = 'kept/'
const tellingPrefix = 'telling/'
const doubtedRow = 'doubted'
/** The code point after the slash. */
const after = (prefix: string) => `${prefix.slice(0, -1)}0`

export class Holdings {
  readonly #table: Table
  readonly #roots: Roots
  readonly #capacity: number
  readonly #held = new Map<string, Held>()
  readonly #kept = new Map<string, Pin>()
  /** By id, wishes whose telling ended with the last process: whether they were written is not known. */
  readonly #interrupted = new Map<string, Telling>()
  /** Keys whose roots are being let go. */
  readonly #goingOut = new Set<string>()
  #usedBytes = 0
  #doneBytes = 0

  private constructor(deps: { table: Table; roots: Roots }, { capacity }: { capacity: number }) {
    this.#table = deps.table
    this.#roots = deps.roots
    this.#capacity = capacity
    for (const [row, bytes] of this.#table.range({ from: heldPrefix, to: after(heldPrefix) })) {
      const key = row.slice(heldPrefix.length)
      const [pin, isHeld] = decode(bytes) as [Uint8Array, boolean]
      const held = newHeld(key, decodePin(pin))
      // A root that is gone was about to be let go when the process ended.
      this.#take(held, isHeld && this.#roots.has(held.cid))
    }
    for (const [row, bytes] of this.#table.range({ from: keptPrefix, to: after(keptPrefix) }))
      this.#kept.set(row.slice(keptPrefix.length), decodePin(bytes))
    for (const [row, bytes] of this.#table.range({ from: tellingPrefix, to: after(tellingPrefix) })) {
      const [key, pin, hadRoot] = decode(bytes) as [string, Uint8Array | null, boolean]
      const id = row.slice(tellingPrefix.length)
      this.#interrupted.set(id, { key, id, before: pin ? decodePin(pin) : undefined, hadRoot })
    }
  }

  /** Reads what the table has. What was about to be kept, or let go, when the process ended is not kept. */
  static async open(deps: { table: Table; roots: Roots }, options: { capacity: number }): Promise<Holdings> {
    const holdings = new Holdings(deps, options)
    const gone = [...holdings.#kept.keys()].filter((key) => !deps.roots.has(cidOfKey(key)))
    for (const key of gone) holdings.#kept.delete(key)
    await deps.table.write(gone.map((key) => ({ delete: keptPrefix + key })))
    for (const telling of [...holdings.#interrupted.values()])
      if (!holdings.kept(telling.key)) await holdings.told(telling)
    return holdings
  }

  /** Bytes held and promised. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Bytes of what is held whole. */
  get heldBytes(): number {
    return this.#doneBytes
  }

  get size(): number {
    return this.#held.size
  }

  all(): Iterable<Held> {
    return this.#held.values()
  }

  get(key: string): Held | undefined {
    return this.#held.get(key)
  }

  /** Reserves room; undefined if there is none. Durable when it resolves, and counted at once. */
  async reserve(key: string, pin: Pin): Promise<Held | undefined> {
    const known = this.#held.get(key)
    if (known) return this.#grow(known, pin.sizeBytes)
    if (this.#usedBytes + pin.sizeBytes > this.#capacity) return undefined
    const held = newHeld(key, pin)
    this.#take(held, false)
    try {
      await this.#write(held)
    } catch (error) {
      this.#drop(held)
      throw error
    }
    return held
  }

  /** Every block is durable here. */
  async complete(held: Held): Promise<void> {
    await this.#roots.add(held.cid)
    if (this.#held.get(held.key) !== held) return await this.#letGoOf(held.key, held.cid)
    this.#set(held, true)
    Object.assign(held, { doneBytes: held.sizeBytes, why: undefined, failures: 0 })
    await this.#write(held)
  }

  /** Something is missing here: it is not held until it has been completed again. */
  async incomplete(held: Held): Promise<void> {
    if (!held.isHeld || this.#held.get(held.key) !== held) return
    this.#set(held, false)
    await this.#write(held)
  }

  /** True if what is held was being looked through when the last process ended. */
  get isDoubted(): boolean {
    return this.#table.get(doubtedRow) !== undefined
  }

  /** Notes that what is held is to be looked through, or that it has been. */
  async noteDoubt(isDoubted: boolean): Promise<void> {
    await this.#table.write([isDoubted ? { put: doubtedRow, value: encode(true) } : { delete: doubtedRow }])
  }

  /** What was heard of a pin last is what is told if its record is ever lost. */
  async heard(held: Held, pin: Pin): Promise<void> {
    const isNew = Buffer.compare(encodePin(pin), encodePin(held.pin)) !== 0
    held.pin = pin
    if (isNew) await this.#write(held)
  }

  /** Drops it: nothing of it need stay, unless somebody pinned it here. */
  async release(held: Held): Promise<void> {
    if (this.#held.get(held.key) !== held) return
    this.#drop(held)
    await this.#letGo(held.key, held.cid, heldPrefix, () => this.#held.has(held.key) || this.#take(held, false))
  }

  /** A pin of which this peer keeps a copy of its own, as it was when it was pinned here. */
  kept(key: string): Pin | undefined {
    return this.#kept.get(key)
  }

  keptKeys(): string[] {
    return [...this.#kept.keys()]
  }

  /** Durable when it resolves; the root must be there. While there is `telling`, it is not certain that others know of it. */
  async keep(key: string, pin: Pin, telling?: Telling): Promise<void> {
    const before = this.#kept.get(key)
    this.#kept.set(key, pin)
    try {
      const row = telling && encode([key, telling.before ? encodePin(telling.before) : null, telling.hadRoot])
      const more = telling && row ? [{ put: tellingPrefix + telling.id, value: row }] : []
      await this.#table.write([{ put: keptPrefix + key, value: encodePin(pin) }, ...more])
    } catch (error) {
      // What was wished and failed must not be told from memory.
      if (this.#kept.get(key) === pin && before) this.#kept.set(key, before)
      else if (this.#kept.get(key) === pin) this.#kept.delete(key)
      throw error
    }
  }

  /** Wishes of a pin that were being told when the last process ended. */
  interrupted(key: string): readonly Telling[] {
    return [...this.#interrupted.values()].filter((telling) => telling.key === key)
  }

  /** A wish has been written. */
  async told({ id }: Telling): Promise<void> {
    this.#interrupted.delete(id)
    await this.#table.write([{ delete: tellingPrefix + id }])
  }

  /** Takes back a wish that was kept and could not be told: what was here before stays, and nothing more. */
  async unwish({ key, id, before, hadRoot }: Telling): Promise<void> {
    this.#interrupted.delete(id)
    const now = this.#kept.get(key)
    if (!now) return
    const wishes = new Map([...(before?.wishes ?? []), ...now.wishes].map((wish) => [wish.id, wish]))
    wishes.delete(id)
    const left = { ...now, wishes: [...wishes.values()] }
    // In memory whatever the disk says: a full one is often why it failed. What nobody wishes for is let go of later then.
    this.#kept.set(key, left)
    const row = keptPrefix + key
    if (wishes.size === 0 && !hadRoot) await this.unkeep(key)
    else if (wishes.size === 0) this.#kept.delete(key)
    const rest: TableOperation = wishes.size > 0 ? { put: row, value: encodePin(left) } : { delete: row }
    await this.#table.write([rest, { delete: tellingPrefix + id }])
  }

  /** Drops this peer's own copy, unless it is a holder. */
  async unkeep(key: string): Promise<void> {
    const pin = this.#kept.get(key)
    if (!pin) return
    this.#kept.delete(key)
    await this.#letGo(key, cidOfKey(key), keptPrefix, () => this.#kept.has(key) || this.#kept.set(key, pin))
  }

  /** Roots that nobody has told the cluster of, as an import without a running peer leaves them. */
  *untold(keyOf: (cid: CID) => string): Iterable<CID> {
    for (const cid of this.#roots.list()) {
      const key = keyOf(cid)
      if (!this.#kept.has(key) && !this.#held.has(key) && !this.#goingOut.has(key)) yield cid
    }
  }

  // A root that stays because the disk refused, and of which nobody here knew why, would be taken for a new pin.
  async #letGo(key: string, cid: CID, prefix: string, takeBack: () => unknown): Promise<void> {
    this.#goingOut.add(key)
    try {
      await this.#letGoOf(key, cid)
      await this.#table.write([{ delete: prefix + key }])
    } catch (error) {
      takeBack()
      throw error
    } finally {
      this.#goingOut.delete(key)
    }
  }

  async #letGoOf(key: string, cid: CID): Promise<void> {
    if (!this.#held.has(key) && !this.#kept.has(key)) await this.#roots.remove(cid)
  }

  #take(held: Held, isHeld: boolean): void {
    this.#held.set(held.key, held)
    this.#usedBytes += held.sizeBytes
    this.#set(held, isHeld)
  }

  /** Somebody knew better how large it is; undefined if there is no room for that. What is held whole is as large as it is. */
  #grow(held: Held, sizeBytes: number): Held | undefined {
    if (held.isHeld || sizeBytes <= held.sizeBytes) return held
    const moreBytes = sizeBytes - held.sizeBytes
    if (this.#usedBytes + moreBytes > this.#capacity) return undefined
    this.#usedBytes += moreBytes
    held.sizeBytes = sizeBytes
    return held
  }

  #drop(held: Held): void {
    this.#set(held, false)
    this.#held.delete(held.key)
    this.#usedBytes -= held.sizeBytes
  }

  #set(held: Held, isHeld: boolean): void {
    if (held.isHeld !== isHeld) this.#doneBytes += isHeld ? held.sizeBytes : -held.sizeBytes
    held.isHeld = isHeld
  }

  // With the size that is reserved: what others say later, true or not, takes no room here after a restart either.
  async #write({ key, pin, sizeBytes, isHeld }: Held): Promise<void> {
    await this.#table.write([{ put: heldPrefix + key, value: encode([encodePin({ ...pin, sizeBytes }), isHeld]) }])
  }
}

function newHeld(key: string, pin: Pin): Held {
  return {
    key,
    cid: CID.parse(pin.cid),
    pin,
    isHeld: false,
    sizeBytes: pin.sizeBytes,
    others: 0,
    from: [],
    auditor: undefined,
    doneBytes: 0,
    why: undefined,
    isFull: false,
    failures: 0,
    retryAtMs: 0,
    askedAtMs: undefined,
  }
}
