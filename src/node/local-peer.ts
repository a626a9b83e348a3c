// A peer in this process. It holds the store, and the online part while there is one; each method is a short script over
// the organs. Content operations hold a lease, so that gc never takes what they are working on.
import { CID } from 'multiformats/cid'
import type { Abortable } from '../base/abort.ts'
import { Scope } from '../base/scope.ts'
import { codecs } from '../core/block.ts'
import type { PeerId } from '../core/peer.ts'
import type { Lease } from '../core/ports.ts'
import { lastName, type Ref } from '../core/ref.ts'
import { addPath, addStream, discardingWriter } from '../files/add.ts'
import { exportCar, importCar } from '../files/car.ts'
import { listDirectory } from '../files/list.ts'
import { profileNamed } from '../files/profiles.ts'
import { readFile } from '../files/read.ts'
import { resolvePath } from '../files/resolve.ts'
import { inviteLine } from '../net/secrets.ts'
import type * as Api from './api.ts'
import type { Organs } from './assemble.ts'
import { type Config, configure, mergeConfig } from './config.ts'
import { type Content, contentOf, writeContent } from './content.ts'
import { NodeError } from './errors.ts'
import { joinCluster, leaveHome } from './join.ts'
import {
  emptyTable,
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
import { resolveRef } from './refs.ts'
import { makeReserve, withReserve } from './reserve.ts'
import { statusOf } from './status.ts'
import { version } from './version.ts'

export class LocalPeer implements Api.Peer {
  readonly #deps: OnlineDeps
  readonly #scope = new Scope()
  readonly #operations = new Operations()
  readonly #startedMs: number
  readonly names: Api.PeerNames = peerNames(this.#operations, () => this.#needMember())
  #config: Config
  #online: Online | undefined

  /** `opened` is what must be closed after this peer: the store and the lock. */
  constructor(deps: OnlineDeps, config: Config, opened: Scope) {
    this.#deps = deps
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
    const { onlyHash = false, pin = !onlyHash, hidden = false, ignore = [], reference = false, onProgress } = options
    return this.#operations.run(options, async (signal) => {
      const { store, home } = this.#deps
      using lease = store.lease('add')
      await using writer = onlyHash ? discardingWriter : store.writer(lease)
      const profile = profileNamed(options.profile ?? this.#config.profile)
      const common = { profile, signal, onProgress }
      const added =
        typeof source === 'string'
          ? await addPath({ writer }, source, { ...common, reference, hidden, ignore, except: home.path })
          : await addStream({ writer }, source, common)
      await writer.flush({ signal })
      if (pin) await this.#pin(added.cid)
      const path = typeof source === 'string' ? source : '-'
      const { sizeBytes: size, blocks, skipped, misnamed } = added
      return { cid: added.cid.toString(), path, size, blocks, skipped, misnamed }
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

  pinAdd(ref: string, options: Api.LongOptions = {}): Promise<Api.PinInfo> {
    return this.#withContent(ref, 'pin add', options, async (content, resolved, signal) => {
      const target = await resolvePath(content, resolved, { signal })
      await content.bring(target.cid, { signal })
      await this.#pin(target.cid)
      return this.#pinInfo(target.cid)
    })
  }

  pinRemove(ref: string, options: Abortable = {}): Promise<Api.PinInfo> {
    return this.#operations.run(options, async (signal) => {
      const { store } = this.#deps
      const { root, path } = await this.#resolve(ref, signal)
      const cid = path.length === 0 ? root : (await resolvePath(store, { root, path }, { signal })).cid
      if (!(await store.pins.remove(cid))) throw notPinned(cid)
      // What is announced is the multihash, which a pin under another codec may still need.
      const needed = Object.values(codecs).some((code) => store.pins.get(CID.createV1(code, cid.multihash)))
      if (!needed) await this.#online?.organs.announcer.withdraw(cid)
      return { cid: cid.toString(), copies: 0, held: 0, holders: [], state: 'held' }
    })
  }

  async *pinList(options: Abortable = {}): AsyncGenerator<Api.PinInfo> {
    const pins = this.#deps.store.pins
    const info = (cid: CID) => this.#pinInfo(cid)
    yield* this.#operations.stream(options, async function* () {
      for (const { cid } of pins.list()) yield info(cid)
    })
  }

  gc(options: Api.LongOptions = {}): Promise<Api.Collected> {
    return this.#operations.run(options, async (signal) => {
      const { home, store } = this.#deps
      const collect = () => store.gc({ signal, onProgress: options.onProgress })
      const { blocks, bytes, kept, incomplete } = await withReserve(home, collect)
      await makeReserve(this.#deps)
      return { blocks, bytes, kept, incomplete: incomplete.map(String) }
    })
  }

  verify(options: Api.LongOptions = {}): Promise<Api.Verified> {
    return this.#operations.run(options, async (signal) => {
      const { blocks, bytes, problems } = await this.#deps.store.verify({ signal, onProgress: options.onProgress })
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

  importCar(
    car: AsyncIterable<Uint8Array>,
    options: Api.LongOptions & { pin?: boolean | undefined } = {},
  ): Promise<Api.Imported[]> {
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
        await this.#pin(root)
      }
      return roots.map((root) => ({ cid: root.toString(), blocks, bytes: sizeBytes }))
    })
  }

  async *peers(options: Abortable = {}): AsyncGenerator<Api.PeerConnection> {
    const { network } = this.#needOnline().host
    yield* this.#operations.stream(options, async function* () {
      for (const { peer, addresses, direction, relayed, latencyMs } of network.connected())
        yield { peerId: peer, addresses, direction, relayed, latencyMs }
    })
  }

  async *members(options: Abortable = {}): AsyncGenerator<Api.MemberInfo> {
    const organs = this.#needMember()
    yield* this.#operations.stream(options, async function* () {
      yield* memberInfos(organs)
    })
  }

  leave(options: Api.LongOptions = {}): Promise<{ peerId: PeerId }> {
    const organs = this.#needMember()
    return this.#operations.run(options, async (signal) => {
      await leaveCluster(organs, this.#deps.clock, { signal, onProgress: options.onProgress })
      await leaveHome(this.#deps.home)
      await this.#reopen({ bootstrap: [] }, async () => {
        for (const name of ['members', 'records']) await emptyTable(this.#deps.store.table(name))
      })
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

  async status(ref?: string, { signal }: Abortable = {}): Promise<Api.Status | Api.PinInfo> {
    const { store, home, clock } = this.#deps
    if (ref !== undefined) {
      const { root } = await this.#resolve(ref, signal)
      if (!store.pins.get(root)) throw notPinned(root)
      return this.#pinInfo(root)
    }
    const offline = { version, home: home.path, running: false, store: store.stats() }
    if (!this.#online) return offline
    return {
      ...offline,
      ...statusOf(this.#online, clock.monotonicMs() - this.#startedMs),
      network: this.#config.network,
    }
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

  async #pin(cid: CID): Promise<void> {
    await this.#deps.store.pins.add(cid, { recursive: true })
    await this.#online?.organs.announcer.announce(cid)
  }

  #pinInfo(cid: CID): Api.PinInfo {
    const here = this.#deps.store.has(cid)
    const holders = here && this.#online ? [this.#online.host.network.self] : []
    return { cid: cid.toString(), copies: 1, held: here ? 1 : 0, holders, state: here ? 'held' : 'incomplete' }
  }
}

const unreached =
  'joined, but none of the addresses in the line answers now; is the other peer running, and can this machine reach it?'

function notPinned(cid: CID): NodeError {
  return new NodeError('NOT_PINNED', `${cid} is not pinned here; 'potluck pin ls' shows what is`)
}
