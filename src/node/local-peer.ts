// A peer in this process. It holds the store, and the online part while there is one; each method is a short script over
// the organs. Content operations hold a lease, so that gc never takes what they are working on.
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { Scope } from '../base/scope.ts'
import type { PeerId } from '../core/peer.ts'
import type { Lease } from '../core/ports.ts'
import { lastName, type Ref } from '../core/ref.ts'
import { exportCar, importCar } from '../files/car.ts'
import { listDirectory } from '../files/list.ts'
import { readFile } from '../files/read.ts'
import { resolvePath } from '../files/resolve.ts'
import { inviteLine } from '../net/secrets.ts'
import type * as Api from './api.ts'
import type { Organs } from './assemble.ts'
import { type Config, configure, mergeConfig } from './config.ts'
import { addContent, type Content, contentOf, rootOf, writeContent } from './content.ts'
import { NodeError } from './errors.ts'
import { joinCluster, leaveHome, unreached } from './join.ts'
import {
  forgetCluster,
  forgetMember,
  isRenewal,
  leaveCluster,
  memberInfos,
  prepareJoin,
  requireMember,
  rotateSecret,
} from './membership.ts'
import { peerNames } from './names.ts'
import { type Online, type OnlineDeps, openOnline } from './online.ts'
import { Operations } from './operations.ts'
import {
  type Keeper,
  type KeepWish,
  keep,
  keptOf,
  listPins,
  pinStatus,
  requireWish,
  settle,
  unkeep,
  wishes,
} from './pins.ts'
import { previewChange } from './preview.ts'
import { resolveRef } from './refs.ts'
import { makeReserve, withReserve } from './reserve.ts'
import { type RoutingIndex, routingIndex } from './routing-index.ts'
import { checkup, connectionsOf, statusOf } from './status.ts'
import { version } from './version.ts'

export class LocalPeer implements Api.Peer {
  readonly #deps: OnlineDeps
  readonly #scope = new Scope()
  readonly #operations = new Operations()
  readonly #startedMs: number
  readonly routing: RoutingIndex
  readonly names: Api.PeerNames = peerNames(this.#operations, () => this.#needMember())
  #config: Config
  #online: Online | undefined

  /** `opened` is what must be closed after this peer: the store and the lock. */
  constructor(deps: OnlineDeps, config: Config, opened: Scope) {
    this.#deps = deps
    this.routing = routingIndex({ ...deps, operations: this.#operations }, () => this.#needOnline())
    this.#config = config
    this.#startedMs = deps.clock.monotonicMs()
    this.#scope.use(opened)
    this.#scope.defer(() => this.#online?.[Symbol.asyncDispose]())
    this.#scope.defer(() => this.#operations.stop())
  }

  /** The settings in force. */
  get settings(): Config {
    return this.#config
  }

  async goOnline(): Promise<void> {
    this.#online = await openOnline(this.#deps, this.#config)
  }

  /** Throws NO_PEER when this peer is offline. */
  identity(): { peerId: PeerId; addresses: string[] } {
    const { network } = this.#needOnline().host
    return { peerId: network.self, addresses: network.addresses() }
  }

  add(source: string | AsyncIterable<Uint8Array>, options: Api.AddOptions = {}): Promise<Api.Added> {
    const { onlyHash = false, onProgress } = options
    const pin = !onlyHash && (options.pin ?? true)
    return this.#operations.run(options, async (signal) => {
      const { store, home } = this.#deps
      if (!pin && wishes(options)) throw new NodeError('REQUEST_INVALID', 'what is not pinned has no copies and no end')
      requireWish(this.#keeper, options)
      const profile = options.profile ?? this.#config.profile
      const common = { ...options, profile, signal, except: home.path }
      using lease = store.lease('add')
      const { cid, ...added } = await addContent(store, lease, source, common)
      const kept = pin ? await keep(this.#keeper, cid, options, { signal }) : undefined
      // Nothing is leased while others are waited for, or a collection could free little all that time.
      lease[Symbol.dispose]()
      const settled = await this.#settle(cid, options, { signal, onProgress })
      return { cid: cid.toString(), ...added, ...keptOf(settled ?? kept) }
    })
  }

  get(ref: string, options: Api.GetOptions = {}): Promise<Api.Got> {
    const { clock } = this.#deps
    const startedMs = clock.monotonicMs()
    return this.#withContent(ref, 'get', options, async (content, resolved, signal) => {
      const { cid, written } = await writeContent(content, resolved, this.#deps.random, {
        ...options,
        name: lastName(ref),
        signal,
      })
      const seconds = (clock.monotonicMs() - startedMs) / 1000
      return {
        cid: cid.toString(),
        path: written.path,
        size: written.sizeBytes,
        seconds,
        sources: content.report().sources,
      }
    })
  }

  async *cat(ref: string, options: Api.CatOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset, length } = options
    yield* this.#streamContent(ref, 'cat', options, async function* (content, resolved, signal) {
      const target = await resolvePath(content, resolved, { signal })
      yield* readFile(content, target.cid, { offset, length, signal })
    })
  }

  async *ls(
    ref: string,
    options: Api.LongOptions & { recursive?: boolean | undefined } = {},
  ): AsyncGenerator<Api.Entry> {
    const { recursive = false } = options
    yield* this.#streamContent(ref, 'ls', options, async function* (content, resolved, signal) {
      const target = await resolvePath(content, resolved, { signal })
      for await (const { name, cid, sizeBytes, type } of listDirectory(content, target.cid, { recursive, signal }))
        yield { name, cid: cid.toString(), size: sizeBytes ?? null, type }
    })
  }

  async *find(ref: string, options: Api.LongOptions = {}): AsyncGenerator<Api.Found> {
    const { findProviders } = this.#needOnline().organs
    const resolve = (signal: AbortSignal) => this.#resolve(ref, signal)
    yield* this.#operations.stream(options, async function* (signal) {
      const { root } = await resolve(signal)
      for await (const { peer, addresses, via } of findProviders(root, { signal }))
        yield { peerId: peer, addresses, via }
    })
  }

  pinAdd(ref: string, options: Api.PinOptions = {}): Promise<Api.PinInfo> {
    return this.#operations.run(options, async (signal) => {
      const kept = { ...options, signal }
      requireWish(this.#keeper, options)
      const { cid, info } = await this.#withContent(ref, 'pin add', kept, async (content, resolved, signal) => {
        const { cid } = await resolvePath(content, resolved, { signal })
        await content.bring(cid, { signal })
        return { cid, info: await keep(this.#keeper, cid, options, { signal }) }
      })
      return (await this.#settle(cid, options, kept)) ?? info
    })
  }

  pinRemove(ref: string, options: Abortable = {}): Promise<Api.PinInfo> {
    return this.#withContent(ref, 'pin rm', options, async (content, resolved, signal) =>
      unkeep(this.#keeper, await rootOf(content, resolved, signal), { signal }),
    )
  }

  async *pinList(options: Abortable = {}): AsyncGenerator<Api.PinInfo> {
    yield* this.#operations.stream(options, (signal) => listPins(this.#keeper, { signal }))
  }

  gc(options: Api.LongOptions = {}): Promise<Api.Collected> {
    return this.#operations.run(options, (signal) => this.#collect({ ...options, signal }))
  }

  verify(options: Api.LongOptions = {}): Promise<Api.Verified> {
    return this.#operations.run(options, async (signal) => {
      const { blocks, bytes, problems } = await this.#deps.store.verify({ signal, onProgress: options.onProgress })
      if (problems.length > 0) this.#online?.organs.replicas.mend()
      return { blocks, bytes, problems: problems.map(({ cid, problem }) => ({ cid: cid.toString(), problem })) }
    })
  }

  async *exportCar(ref: string, options: Api.LongOptions = {}): AsyncGenerator<Uint8Array> {
    yield* this.#streamContent(ref, 'export', options, async function* (content, resolved, signal) {
      const target = await resolvePath(content, resolved, { signal })
      await content.bring(target.cid, { signal })
      yield* exportCar(content, [target.cid], { signal })
    })
  }

  importCar(car: AsyncIterable<Uint8Array>, options: Api.ImportOptions = {}): Promise<Api.Imported[]> {
    const { pin = true, onProgress } = options
    return this.#operations.run(options, async (signal) => {
      const { store } = this.#deps
      using lease = store.lease('import')
      await using writer = store.writer(lease)
      const { roots, blocks, sizeBytes } = await importCar({ writer }, car, { signal, onProgress })
      await writer.flush({ signal })
      for (const root of pin ? roots : []) {
        // A CAR may hold part of a DAG; a pin promises all of it.
        await using content = this.#content(root, lease, { signal, onProgress })
        await content.bring(root, { signal })
        await keep(this.#keeper, root, {}, { signal })
      }
      return roots.map((root) => ({ cid: root.toString(), blocks, bytes: sizeBytes }))
    })
  }

  async *peers(options: Abortable = {}): AsyncGenerator<Api.PeerConnection> {
    const online = this.#needOnline()
    yield* this.#operations.stream(options, () => connectionsOf(online))
  }

  async *members(options: Abortable = {}): AsyncGenerator<Api.MemberInfo> {
    const organs = this.#needMember()
    const { clock } = this.#deps
    yield* this.#operations.stream(options, async function* (signal) {
      yield* await memberInfos(organs, clock, { signal })
    })
  }

  leave(options: Api.LongOptions = {}): Promise<{ peerId: PeerId }> {
    const organs = this.#needMember()
    return this.#operations.run(options, async (signal) => {
      await leaveCluster(organs, this.#deps.clock, { signal, onProgress: options.onProgress })
      await leaveHome(this.#deps.home)
      await this.#reopen({ bootstrap: [] }, () => forgetCluster(this.#deps.store))
      this.#online?.collectSoon()
      return { peerId: organs.members.self }
    })
  }

  forget(peer: string, options: Abortable = {}): Promise<{ peerId: PeerId }> {
    const organs = this.#needMember()
    return this.#operations.run(options, async (signal) => ({ peerId: await forgetMember(organs, peer, { signal }) }))
  }

  connect(address: string, options: Abortable = {}): Promise<{ peerId: PeerId }> {
    const { network } = this.#needOnline().host
    return this.#operations.run(options, async (signal) => ({ peerId: await network.connect(address, { signal }) }))
  }

  async invite({ hub = false }: Api.InviteOptions = {}): Promise<{ line: string }> {
    const { host } = this.#needOnline()
    const secrets = host.secrets()
    if (!secrets) throw new NodeError('CONFIG_INVALID', 'an open network needs no invitation: anybody may connect')
    return { line: inviteLine(secrets, { hub, addresses: host.network.addresses() }) }
  }

  join(line: string, options: Abortable = {}): Promise<Api.Joined> {
    return this.#operations.run(options, async (signal) => {
      const { home, store } = this.#deps
      const renews = (addresses: readonly string[]) => !!this.#online && isRenewal(this.#online.organs, addresses)
      const { bootstrap, same } = await joinCluster(home, line, renews)
      const forgotten = this.#online?.organs.members.standing === 'forgotten'
      const prepare = () => prepareJoin(home, store.table('members'), { same, forgotten })
      if (!this.#online) {
        await prepare()
        return { bootstrap, connected: false }
      }
      await this.#reopen({ network: 'private', bootstrap }, prepare)
      await Promise.any(bootstrap.map((address) => this.#needOnline().host.network.connect(address, { signal }))).catch(
        () => {
          throw new NodeError('JOIN_UNREACHED', unreached, { retryable: true })
        },
      )
      return { bootstrap, connected: true }
    })
  }

  rotate({ exclude = [], ...options }: Api.RotateOptions = {}): Promise<Api.Rotated> {
    const online = this.#needOnline()
    return this.#operations.run(options, (signal) => rotateSecret(online, exclude, { signal }))
  }

  status(ref?: string, options?: Abortable): Promise<Api.Status | Api.PinInfo>
  status(options: Api.PreviewOptions): Promise<Api.PreviewInfo>
  status(
    asked?: string | Api.PreviewOptions,
    options: Abortable = {},
  ): Promise<Api.Status | Api.PinInfo | Api.PreviewInfo> {
    if (typeof asked === 'object') {
      const organs = this.#needMember()
      return this.#operations.run(asked, (signal) => previewChange(organs, asked.preview, { signal }))
    }
    if (asked === undefined) return this.#operations.run(options, async () => this.#statusOfAll())
    return this.#withContent(asked, 'status', options, async (content, resolved, signal) =>
      pinStatus(this.#keeper, await rootOf(content, resolved, signal), { signal }),
    )
  }

  async *doctor(options: Abortable = {}): AsyncGenerator<Api.CheckResult> {
    yield* this.#operations.stream(options, (signal) => checkup(this.#deps, this.#config, this.#online, { signal }))
  }

  config(key?: string, value?: string): Promise<Partial<Config>> {
    return configure(this.#deps.home, key, value)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope.close()
  }

  /** Closes the online part, runs `between`, and opens it again with changed settings. */
  async #reopen(changes: Partial<Config>, between: () => Promise<void>): Promise<void> {
    await this.#online?.[Symbol.asyncDispose]()
    this.#online = undefined
    await between()
    this.#config = mergeConfig({ ...this.#config, ...changes }, {})
    await this.goOnline()
  }

  #resolve(ref: string, signal: AbortSignal | undefined): Promise<Ref> {
    if (!this.#online) return resolveRef(ref, undefined, { signal })
    const { ipns } = this.#online.organs
    const names = { get: (name: string, options?: Abortable) => this.#needMember().names.get(name, options) }
    return resolveRef(ref, { names, ipns }, { signal })
  }

  #needMember(): Organs {
    return requireMember(this.#needOnline().organs)
  }

  #needOnline(): Online {
    if (!this.#online) throw new NodeError('NO_PEER', "no peer is running: start one with 'potluck start'")
    return this.#online
  }

  #content(root: CID, lease: Lease, options: Api.LongOptions): Content {
    return contentOf({ ...this.#deps, online: this.#online }, { ...options, root, lease })
  }

  #withContent<T>(
    ref: string,
    reason: string,
    options: Api.LongOptions,
    work: (content: Content, resolved: Ref, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#operations.run(options, async (signal) => {
      const resolved = await this.#resolve(ref, signal)
      using lease = this.#deps.store.lease(`${reason} ${ref}`)
      await using content = this.#content(resolved.root, lease, { signal, onProgress: options.onProgress })
      return await work(content, resolved, signal)
    })
  }

  async *#streamContent<T>(
    ref: string,
    reason: string,
    options: Api.LongOptions,
    work: (content: Content, resolved: Ref, signal: AbortSignal) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const open = (lease: Lease, root: CID, signal: AbortSignal) =>
      this.#content(root, lease, { signal, onProgress: options.onProgress })
    const { store } = this.#deps
    const resolve = (signal: AbortSignal) => this.#resolve(ref, signal)
    yield* this.#operations.stream(options, async function* (signal) {
      const resolved = await resolve(signal)
      using lease = store.lease(`${reason} ${ref}`)
      await using content = open(lease, resolved.root, signal)
      yield* work(content, resolved, signal)
    })
  }

  get #keeper(): Keeper {
    const { store, clock } = this.#deps
    return { store, clock, organs: this.#online?.organs, copies: this.#config.copies }
  }

  async #settle(cid: CID, wish: KeepWish, options: Api.LongOptions): Promise<Api.PinInfo | undefined> {
    const settled = await settle(this.#keeper, cid, wish, options)
    if (wish.offload) await this.#collect(options)
    return settled
  }

  async #collect(options: Api.LongOptions): Promise<Api.Collected> {
    const { home, store } = this.#deps
    const { blocks, bytes, kept, incomplete } = await withReserve(home, () => store.gc(options))
    await makeReserve(this.#deps)
    return { blocks, bytes, kept, incomplete: incomplete.map(String) }
  }

  #statusOfAll(): Api.Status {
    const { store, home, clock } = this.#deps
    const offline = { version, home: home.path, running: false, store: store.stats() }
    if (!this.#online) return offline
    const uptimeMs = clock.monotonicMs() - this.#startedMs
    return { ...offline, ...statusOf(this.#online, uptimeMs), network: this.#config.network }
  }
}
