// An owner's side of compare-and-set: what it has promised and accepted for each key. Promises are durable before they are
// given. An accepted write is not part of the record; it becomes that once its proposer, or a later one, issues it.
import { encode } from '@ipld/dag-cbor'
import { partitionOf } from '../core/keyspace.ts'
import type { Table } from '../core/ports.ts'
import { type Accepted, type Ballot, compareBallots, noBallot } from './ballot.ts'
import { decoded, listField } from './fields.ts'
import { type Answer, acceptedOf, ballotOf } from './messages.ts'
import { decodeWrite, type Verifier } from './record.ts'
import type { Replica } from './replica.ts'
import { kinds, partsOfRow, rowOf, rowsOf } from './rows.ts'
import { knows, type SiblingSet, type WriteId } from './version.ts'

export interface AcceptorDeps {
  table: Table
  replica: Replica
  verifier: Verifier
}

export class Acceptor {
  readonly #deps: AcceptorDeps
  /** Accepted writes that are not known to be in their record, by key. */
  readonly #open = new Map<string, WriteId>()

  constructor(deps: AcceptorDeps) {
    this.#deps = deps
    for (const [row, bytes] of rowsOf(deps.table, kinds.promise)) {
      const [, accepted] = decodePromise(bytes)
      const { key } = partsOfRow(row)
      if (accepted?.[1]) this.#open.set(key, decodeWrite(accepted[1]).id)
    }
    for (const key of [...this.#open.keys()]) this.noticed(key, deps.replica.read(key)?.set)
  }

  /** Promises to accept nothing below this ballot, and tells what is here and what was accepted. */
  prepare(key: string, ballot: Ballot): Promise<Answer> {
    return this.#deps.replica.exclusively(key, async () => {
      const [promised, accepted] = this.#read(key)
      if (compareBallots(ballot, promised) <= 0) return { type: 'outbid', ballot: promised }
      // What is in the record needs no finishing, but its ballot outranks what others accepted before it.
      const told: Accepted | undefined = accepted && [accepted[0], this.#open.has(key) ? accepted[1] : null]
      await this.#write(key, ballot, told)
      return { type: 'promised', set: this.#deps.replica.bytesOf(key) ?? null, accepted: told ?? null }
    })
  }

  /** Accepts a write, unless a higher ballot was promised. Throws RECORD_INVALID for one that its author did not sign. */
  accept(key: string, ballot: Ballot, bytes: Uint8Array): Promise<Answer> {
    return this.#deps.replica.exclusively(key, async () => {
      const [promised] = this.#read(key)
      if (compareBallots(ballot, promised) < 0) return { type: 'outbid', ballot: promised }
      const write = decodeWrite(bytes)
      this.#deps.verifier.check(write)
      await this.#write(key, ballot, [ballot, bytes])
      this.#open.set(key, write.id)
      return { type: 'done', isDone: true }
    })
  }

  /** Takes note of a record as it is now: an accepted write that is in it needs no finishing. */
  noticed(key: string, set: SiblingSet | undefined): void {
    const id = this.#open.get(key)
    if (id !== undefined && set && knows(set, id)) this.#open.delete(key)
  }

  #read(key: string): [promised: Ballot, accepted: Accepted | undefined] {
    const row = this.#deps.table.get(rowOf(kinds.promise, partitionOf(key), key))
    return row ? decodePromise(row) : [noBallot, undefined]
  }

  async #write(key: string, promised: Ballot, accepted: Accepted | undefined): Promise<void> {
    const row = rowOf(kinds.promise, partitionOf(key), key)
    await this.#deps.table.write([{ put: row, value: encode([promised, accepted ?? null]) }])
  }
}

function decodePromise(bytes: Uint8Array): [promised: Ballot, accepted: Accepted | undefined] {
  const [promised, accepted] = listField(decoded(bytes, 'promise'), 2, 'promise')
  return [ballotOf(promised), acceptedOf(accepted) ?? undefined]
}
