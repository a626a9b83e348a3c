// A REF is what people type to say which content they mean: a CID, `CID/a/b`, `/ipfs/CID/a/b` or `ipfs://CID/a/b`.
// Names, and what they stand for, are the node's affair.
import { CID } from 'multiformats/cid'
import { CoreError } from './block.ts'
import { limits } from './limits.ts'

export interface Ref {
  root: CID
  /** Names below the root, in order; empty for the root itself. */
  path: string[]
}

/** Throws REF_INVALID with a sentence that says what is wrong. */
export function parseRef(text: string): Ref {
  const bare = text.replace(/^ipfs:\/\//, '').replace(/^\/ipfs\//, '')
  const [root = '', ...rest] = bare.split('/')
  return { root: parseCid(root, text), path: pathOf(rest, text) }
}

/** The names of a path without empty ones. `whole` is what was typed. Throws REF_INVALID. */
export function pathOf(names: string[], whole: string): string[] {
  const path = names.filter((name) => name !== '')
  if (path.some((name) => name === '.' || name === '..'))
    throw new CoreError('REF_INVALID', `'${whole}' has '.' or '..' in its path; name the entries themselves`)
  if (path.length > limits.pathDepthMax)
    throw new CoreError('REF_INVALID', `'${whole.slice(0, 60)}…' has more than ${limits.pathDepthMax} levels`)
  return path
}

/** Throws REF_INVALID. */
function parseCid(text: string, whole = text): CID {
  try {
    // Decoding takes time that grows with the square of the length.
    if (text.length > limits.cidCharactersMax) throw new Error('too long')
    return CID.parse(text)
  } catch {
    const shown = whole.length > 80 ? `${whole.slice(0, 80)}…` : whole
    throw new CoreError('REF_INVALID', `'${shown}' is not a CID; one looks like bafybei… or Qm…`)
  }
}

/** The REF as people would type it again. */
export function formatRef({ root, path }: Ref): string {
  return [root.toString(), ...path].join('/')
}

/** What a copy of it is called where nobody says otherwise: the last name of a REF or of a name for content. */
export function lastName(ref: string): string {
  return ref.split('/').findLast((part) => part !== '') ?? ref
}
