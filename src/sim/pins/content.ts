// Content for a simulation: small DAGs of a root and some leaves, made from a seed. Some leaves are in several of them, as
// parts of files are. Their bytes are noise; nobody reads them but to compare.
import type { CID } from 'multiformats/cid'
import { bytesField } from '../../base/protobuf.ts'
import type { Random } from '../../base/random.ts'
import { Block, codecs } from '../../core/block.ts'
import { pick } from '../workload.ts'
import type { Dag } from './program.ts'

const leavesMost = 8
const leafLeastBytes = 100
const leafMostBytes = 40_000
const sharedShare = 0.15
/** Leaves that a new DAG may share. */
const sharedMost = 30

/** What a UnixFS node says of itself when it says nothing: a file. */
const fileData = Uint8Array.of(8, 2)

export class ContentMaker {
  readonly #random: Random
  readonly #noise: Uint8Array
  readonly #leaves: Block[] = []
  #made = 0

  constructor(random: Random) {
    this.#random = random
    this.#noise = random.bytes(leafMostBytes)
  }

  make(): Dag {
    const count = 1 + Math.floor(this.#random.unit() * leavesMost)
    // One leaf is new, or two of them might be the same content under two names.
    const first = this.#newLeaf()
    const leaves = new Map([[first.cid.toString(), first]])
    for (let at = 1; at < count; at++) {
      const leaf = this.#leaf()
      leaves.set(leaf.cid.toString(), leaf)
    }
    const blocks = [...leaves.values()]
    const root = nodeOf(blocks.map(({ cid }) => cid))
    const all = [...blocks, root]
    const sizeBytes = all.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
    return { name: `d${++this.#made}`, root: root.cid, blocks: all, sizeBytes }
  }

  #leaf(): Block {
    const isShared = this.#leaves.length > 0 && this.#random.unit() < sharedShare
    return isShared ? pick(this.#random, this.#leaves) : this.#newLeaf()
  }

  #newLeaf(): Block {
    // Small and large ones alike: a store keeps them in different places.
    const sizeBytes = Math.round(leafLeastBytes * (leafMostBytes / leafLeastBytes) ** this.#random.unit())
    const bytes = this.#noise.slice(0, sizeBytes)
    bytes.set(this.#random.bytes(16))
    const leaf = Block.of(codecs.raw, bytes)
    this.#leaves.push(leaf)
    if (this.#leaves.length > sharedMost) this.#leaves.shift()
    return leaf
  }
}

/** A dag-pb node with these links. Format: https://ipld.io/specs/codecs/dag-pb/spec/ */
function nodeOf(children: CID[]): Block {
  const links = children.flatMap((cid) =>
    bytesField(2, ...bytesField(1, cid.bytes), ...bytesField(2, new Uint8Array())),
  )
  return Block.of(codecs.dagPb, Buffer.concat([...links, ...bytesField(1, fileData)]))
}
