// Proof that others have a content, for whoever is about to let go of its own copy: their word may be an hour old, and their
// disks may have lost everything since. Each must hash a new nonce with blocks that are read here, all of a small content and
// a few of a large one, taken by chance. Who has lost much is found out; a single block that has rotted may not be.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { type Block, codecs, sha256 } from '../core/block.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { BlockReader, LinksOf } from '../core/ports.ts'
import type { Peers } from './peers.ts'

export interface ProofDeps {
  store: BlockReader
  linksOf: LinksOf
  peers: Peers
  random: Random
  log: Log
}

export const nonceBytes = 32

/** SHA-256 of nonce and bytes. */
export function proofOf(nonce: Uint8Array, bytes: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([nonce, bytes]))
}

/**
 * True if there is somebody to ask and everybody who is asked proves it now: for as many blocks as one audit takes, or for
 * every block that can be read here.
 */
export async function allProve(
  deps: ProofDeps,
  root: CID,
  members: readonly PeerId[],
  { whole = false, signal }: Abortable & { whole?: boolean },
): Promise<boolean> {
  if (members.length === 0) return false
  for await (const blocks of blocksHere(deps, root, signal)) {
    if (!(await eachProves(deps, members, blocks, signal))) return false
    if (!whole) break
  }
  return true
}

async function eachProves(
  deps: ProofDeps,
  members: readonly PeerId[],
  blocks: readonly Block[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const proven = await Promise.all(members.map((peer) => proves(deps, peer, blocks, signal)))
  return !proven.includes(false)
}

async function proves(
  { peers, random, log }: ProofDeps,
  peer: PeerId,
  blocks: readonly Block[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const nonce = random.bytes(nonceBytes)
  try {
    const request = { kind: 'audit', blocks: blocks.map(({ cid }) => cid), nonce } as const
    const { hashes } = await peers.ask(peer, request, 'hashes', { signal })
    const lacks = blocks.find(({ bytes }, index) => {
      const hash = hashes[index]
      return hash === undefined || Buffer.compare(hash, proofOf(nonce, bytes)) !== 0
    })
    if (lacks) log.warn(`${peer} could not prove that it has block ${lacks.cid}; a copy is kept here until it can`)
    return lacks === undefined
  } catch (error) {
    signal?.throwIfAborted()
    log.debug(`${peer} was not asked for proof: ${sentenceOf(error)}`)
    return false
  }
}

/** Blocks at and below the root, as many at a time as one audit takes, the root first. What cannot be read here is passed over. */
async function* blocksHere(
  { store, linksOf, random }: Pick<ProofDeps, 'store' | 'linksOf' | 'random'>,
  root: CID,
  signal: AbortSignal | undefined,
): AsyncGenerator<Block[], undefined> {
  let blocks: Block[] = []
  const found = new Set([root.toString()])
  const open = [root]
  while (open.length > 0) {
    const at = Math.floor(random.unit() * open.length)
    const cid = open[at]!
    open[at] = open.at(-1)!
    open.pop()
    const block = await store.get(cid, { signal }).catch(() => undefined)
    signal?.throwIfAborted()
    if (!block) continue
    blocks.push(block)
    for (const link of cid.code === codecs.raw ? [] : linksOf(block)) {
      if (found.has(link.toString())) continue
      found.add(link.toString())
      open.push(link)
    }
    if (blocks.length < limits.pinsAudited) continue
    yield blocks
    blocks = []
  }
  yield blocks
}
