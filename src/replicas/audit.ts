// Audits: a driver asks holders to hash a nonce with blocks of what they say they hold. It can only ask for what it can read
// itself, so it audits pins that it holds too; a block is found by walking down from the root by chance. Whoever does not
// answer right does not count as a holder until it does, and after some times another is named instead. The same goes for
// one that is here and time and again does not answer.
import { CID } from 'multiformats/cid'
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { StepResult, Worker } from '../base/worker.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import type { BlockReader, LinksOf, Membership } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { Driven } from './driven.ts'
import type { DriverWorker } from './driver.ts'
import type { HolderWorker } from './holder.ts'
import type { Holdings } from './holdings.ts'
import type { Peers } from './peers.ts'
import type { Presence } from './presence.ts'
import { nonceBytes, proofOf } from './proof.ts'

export interface AuditDeps {
  membership: Membership
  store: BlockReader
  linksOf: LinksOf
  holdings: Holdings
  holder: HolderWorker
  driver: DriverWorker
  peers: Peers
  presence: Presence
  random: Random
  log: Log
}

export class AuditWorker implements Worker {
  readonly name = 'auditing holders'
  readonly #deps: AuditDeps
  /** How many times in a row a member that is here has not answered. */
  readonly #unanswered = new Map<PeerId, number>()
  #passed = 0
  #failed = 0

  constructor(deps: AuditDeps) {
    this.#deps = deps
  }

  status(): string {
    return `asked for proof of ${this.#passed + this.#failed} blocks since the start; ${this.#failed} were not proven`
  }

  async step(signal: AbortSignal): Promise<StepResult> {
    const { random } = this.#deps
    const byPeer = new Map<PeerId, { all: Driven[]; doubted: Driven[] }>()
    for (const driven of this.#deps.driver.driven())
      for (const [peer, { state, failedAudits }] of driven.said) {
        if (state !== 'held' || peer === this.#deps.membership.self) continue
        if (!this.#deps.holdings.get(driven.key)?.isHeld) continue
        const lists = byPeer.get(peer) ?? { all: [], doubted: [] }
        byPeer.set(peer, lists)
        lists.all.push(driven)
        if (failedAudits > 0) lists.doubted.push(driven)
      }
    for (const peer of this.#unanswered.keys()) if (!byPeer.has(peer)) this.#unanswered.delete(peer)
    // Of everybody something, and of those that failed something of that besides.
    for (const [peer, { all, doubted }] of byPeer) {
      const again = this.#some(doubted, limits.pinsAudited / 2)
      const others = this.#some(all, limits.pinsAudited - again.length)
      await this.#audit(peer, [...new Set([...again, ...others])], signal)
    }
    return { next: 'later', delayMs: times.auditEveryMs * (0.75 + 0.5 * random.unit()) }
  }

  /** All of a short list, or so many of a long one by chance. */
  #some(list: readonly Driven[], most: number): readonly Driven[] {
    if (list.length <= most) return list
    return Array.from({ length: most }, () => list[Math.floor(this.#deps.random.unit() * list.length)]!)
  }

  // What this peer cannot read itself it does not hold, and that is seldom all.
  #doubtOwn({ key }: Driven): void {
    const held = this.#deps.holdings.get(key)
    if (held) this.#deps.holder.doubt(held)
    this.#deps.holder.doubtAllSoon()
  }

  async #audit(peer: PeerId, list: Driven[], signal: AbortSignal): Promise<void> {
    const { peers, random, store, log, driver } = this.#deps
    const asked: { driven: Driven; cid: CID }[] = []
    for (const driven of list) {
      const cid = await randomBlock(this.#deps, CID.parse(driven.pin.cid), signal)
      if (cid) asked.push({ driven, cid })
      else this.#doubtOwn(driven)
    }
    if (asked.length === 0) return
    const nonce = random.bytes(nonceBytes)
    let hashes: (Uint8Array | undefined)[] = []
    try {
      const blocks = asked.map(({ cid }) => cid)
      ;({ hashes } = await peers.ask(peer, { kind: 'audit', blocks, nonce }, 'hashes', { signal }))
      this.#unanswered.delete(peer)
    } catch (error) {
      signal.throwIfAborted()
      log.debug(`${peer} was not audited: ${sentenceOf(error)}`)
      // Garbage proves nothing.
      if (codeOf(error) !== 'PIN_INVALID' && !this.#isMute(peer)) return
    }
    for (const [index, { driven, cid }] of asked.entries()) {
      const said = driven.said.get(peer)
      if (!said) continue
      // It may have gone meanwhile, here too.
      const bytes = await store.get(cid, { signal }).then(
        (block) => block.bytes,
        () => undefined,
      )
      if (!bytes) continue
      const hash = hashes[index]
      const isProven = hash !== undefined && Buffer.compare(hash, proofOf(nonce, bytes)) === 0
      if (isProven) this.#passed++
      else this.#failed++
      if (!isProven) log.warn(`${peer} could not prove that it has block ${cid} of ${driven.pin.cid}`)
      if (isProven && said.failedAudits === 0) continue
      said.failedAudits = isProven ? 0 : said.failedAudits + 1
      driver.doubt(driven.key)
    }
  }

  // One answer may get lost; and who does not answer since it is away is another matter.
  #isMute(peer: PeerId): boolean {
    const unanswered = this.#deps.presence.seesPeer(peer) ? (this.#unanswered.get(peer) ?? 0) + 1 : 0
    this.#unanswered.set(peer, unanswered)
    return unanswered >= limits.auditsFailedMax
  }
}

/** Answers an audit, a hash for each block that can be read. What has rotted is noticed by reading it. */
export async function answerAudit(
  store: BlockReader,
  blocks: readonly CID[],
  nonce: Uint8Array,
): Promise<(Uint8Array | undefined)[]> {
  const hashes: (Uint8Array | undefined)[] = []
  for (const cid of blocks) {
    try {
      hashes.push(proofOf(nonce, (await store.get(cid)).bytes))
    } catch {
      hashes.push(undefined)
    }
  }
  return hashes
}

/** A block at or below the root, by chance; undefined if this peer cannot read that far itself. */
async function randomBlock(
  { store, linksOf, random }: Pick<AuditDeps, 'store' | 'linksOf' | 'random'>,
  root: CID,
  signal: AbortSignal,
): Promise<CID | undefined> {
  let cid = root
  try {
    for (let depth = 0; depth < limits.dagDepthMax; depth++) {
      const links = linksOf(await store.get(cid, { signal }))
      if (links.length === 0) return cid
      cid = links[Math.floor(random.unit() * links.length)]!
    }
    return cid
  } catch (error) {
    signal.throwIfAborted()
    // Of what it cannot read the links of, this peer asks for what it can.
    return codeOf(error) === 'NOT_FOUND' || codeOf(error) === 'CORRUPT' ? undefined : cid
  }
}
