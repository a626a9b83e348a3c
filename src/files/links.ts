// The links of a block, in order. This is what garbage collection, fetching and replication follow, so it is strict: a
// block that cannot be read as its codec says has no known links, and that is an error, not an empty list.
import { decode as decodeCbor } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { sentenceOf } from '../base/errors.ts'
import { type Block, codecs } from '../core/block.ts'
import type { LinksOf } from '../core/ports.ts'
import { decodePb } from './dag-pb.ts'
import { FilesError } from './errors.ts'

/** Throws CODEC_UNSUPPORTED or DAG_INVALID. */
export const linksOf: LinksOf = (block) => {
  switch (block.cid.code) {
    case codecs.raw:
      return []
    case codecs.dagPb:
      return decodedAs(block, decodePb).links.map((link) => link.cid)
    case codecs.dagCbor:
      return cidsIn(decodedAs(block, decodeCbor))
    default:
      throw new FilesError(
        'CODEC_UNSUPPORTED',
        `${block.cid} has codec 0x${block.cid.code.toString(16)}, whose links potluck cannot follow (it knows raw, dag-pb and dag-cbor)`,
      )
  }
}

/** The block decoded. Throws DAG_INVALID with the decoder's reason, also when nesting exhausts the stack. */
export function decodedAs<T>(block: Block, decode: (bytes: Uint8Array) => T): T {
  try {
    return decode(block.bytes)
  } catch (error) {
    throw new FilesError('DAG_INVALID', `block ${block.cid} is damaged or was made wrongly: ${sentenceOf(error)}`, {
      cause: error,
    })
  }
}

// A stack of values still to visit, not recursion: the nesting is the sender's choice.
function cidsIn(root: unknown): CID[] {
  const found: CID[] = []
  const waiting = [root]
  while (waiting.length > 0) {
    const value = waiting.pop()
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) continue
    const cid = CID.asCID(value)
    if (cid) found.push(cid)
    else {
      const inner = Object.values(value)
      for (let index = inner.length - 1; index >= 0; index--) waiting.push(inner[index])
    }
  }
  return found
}
