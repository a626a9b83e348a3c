// What a REF means: a CID with a path, or a name whose value is one. A name may have slashes, so of `team/book/intro` the
// longest part that is a name counts, and the rest is a path in its content.
import type { Abortable } from '../base/abort.ts'
import { parseRef, type Ref } from '../core/ref.ts'
import { isName, type Names } from '../records/names.ts'
import { NodeError } from './errors.ts'

/** What no name looks like, but a CID that was mistyped or cut does. */
const almostCid = /^(Qm|baf|\/ipfs\/|ipfs:)/

/** Throws REF_INVALID, REF_NOT_FOUND, NO_PEER, and what reading a name throws. `names` is undefined while no peer runs, and throws where there are none. */
export async function resolveRef(
  text: string,
  names: (() => Names) | undefined,
  options: Abortable = {},
): Promise<Ref> {
  let notCid: unknown
  try {
    return parseRef(text)
  } catch (error) {
    notCid = error
  }
  const bare = text.replace(/\/+$/, '')
  if (almostCid.test(bare) || !isName(bare)) throw notCid
  if (!names) {
    const why = `'${text}' is not a CID, and names need a running peer: start one with 'potluck start'`
    throw new NodeError('NO_PEER', why, { cause: notCid })
  }
  const parts = bare.split('/')
  for (let length = parts.length; length > 0; length--) {
    const name = parts.slice(0, length).join('/')
    const { value } = await names().get(name, options)
    if (value === null) continue
    try {
      return parseRef([value.trim(), ...parts.slice(length)].join('/'))
    } catch (error) {
      const why = `the name '${name}' holds text that is not a CID; 'potluck name get' shows it`
      throw new NodeError('REF_NOT_FOUND', why, { cause: error })
    }
  }
  throw new NodeError('REF_NOT_FOUND', `'${text}' is neither a CID nor a name; 'potluck name ls' shows all names`)
}
