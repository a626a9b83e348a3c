// What a dag-pb node says about the sizes of what it links to (Tsize, of the whole DAG below each link). Claims of whoever
// made the node: good for a progress bar, never relied on.
// Format: https://ipld.io/specs/codecs/dag-pb/spec/

import { fields } from '../base/protobuf.ts'
import { type Block, codecs } from '../core/block.ts'

const linkField = 2
const tsizeField = 3

/** Bytes of the block and of the whole DAG below it; undefined where that is not said, or cannot be read. */
export function claimedDagBytes({ cid, bytes }: Block): number | undefined {
  if (cid.code !== codecs.dagPb) return cid.code === codecs.raw ? bytes.byteLength : undefined
  let total = bytes.byteLength
  try {
    for (const field of fields(bytes)) {
      if (field.number !== linkField) continue
      let size: number | undefined
      for (const { number, value } of fields(field.bytes)) if (number === tsizeField) size = value
      if (size === undefined) return undefined
      total += size
    }
  } catch {
    return undefined
  }
  return total
}
