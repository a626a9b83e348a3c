// A running peer, through its HTTP API: the same methods as a peer in this process. Results arrive as lines, content as a
// plain body; the signal ends the request, which stops the work on the other side.
import { type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { type Abortable, withDeadline } from '../base/abort.ts'
import { systemClock } from '../base/clock.ts'
import { BaseError, codeOf } from '../base/errors.ts'
import type { OnProgress } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type * as Api from '../node/api.ts'
import { NodeError, RelayedError, type ShownError } from '../node/errors.ts'
import type { ApiFile } from '../node/home.ts'

type Line<T> = { progress: Parameters<OnProgress>[0] } | { result: T } | { error: ShownError }

interface Call extends Api.LongOptions {
  query?: Record<string, unknown> | undefined
  body?: AsyncIterable<Uint8Array> | undefined
}

export class RemotePeer implements Api.Peer {
  readonly #api: ApiFile

  constructor(api: ApiFile) {
    this.#api = api
  }

  readonly names: Api.PeerNames = {
    get: (name, { signal, ...options } = {}) => this.#one('name/get', { name, ...options }, { signal }),
    set: (name, value, { signal, ...options } = {}) => this.#one('name/set', { name, value, ...options }, { signal }),
    remove: (name, { signal, ...options } = {}) => this.#one('name/rm', { name, ...options }, { signal }),
    list: (prefix = '', options = {}) => this.#many('name/ls', { prefix }, options),
    watch: (prefix = '', options = {}) => this.#many('name/watch', { prefix }, options),
    history: (name, options = {}) => this.#many('name/history', { name }, options),
    publish: (ref, { signal, lifetimeMs } = {}) => this.#one('name/publish', { ref, lifetimeMs }, { signal }),
    resolve: (name, options = {}) => this.#one('name/resolve', { name }, options),
  }

  /** True if the peer of the token answers at the address: after a crash, another program may have got its port. */
  async answers({ signal }: Abortable = {}): Promise<boolean> {
    const ask = (signal: AbortSignal) => this.#send('HEAD', '/api/v1/openapi.json', { signal })
    try {
      const response = await withDeadline(systemClock, times.apiAnswerMs, 'the running peer', ask, { signal })
      response.resume()
      return response.statusCode === 200
    } catch {
      signal?.throwIfAborted()
      return false
    }
  }

  add(
    source: string | AsyncIterable<Uint8Array>,
    { signal, onProgress, ...args }: Api.AddOptions = {},
  ): Promise<Api.Added> {
    if (typeof source === 'string') return this.#one('add', { path: source, ...args }, { signal, onProgress })
    const { profile, pin, onlyHash, copies, wait, expiresMs, offload } = args
    const query = { profile, pin, onlyHash, copies, wait, expiresMs, offload }
    return this.#one('add-stream', {}, { signal, onProgress, body: source, query })
  }

  get(ref: string, { signal, onProgress, output, overwrite }: Api.GetOptions = {}): Promise<Api.Got> {
    return this.#one('get', { ref, output, overwrite }, { signal, onProgress })
  }

  async *cat(ref: string, { signal, offset, length }: Api.CatOptions = {}): AsyncGenerator<Uint8Array> {
    yield* this.#bytes('cat', { ref, offset, length }, { signal })
  }

  ls(ref: string, { signal, onProgress, recursive }: Api.LongOptions & { recursive?: boolean | undefined } = {}) {
    return this.#many<Api.Entry>('ls', { ref, recursive }, { signal, onProgress })
  }

  find(ref: string, { signal, onProgress }: Api.LongOptions = {}): AsyncIterable<Api.Found> {
    return this.#many('find', { ref }, { signal, onProgress })
  }

  pinAdd(ref: string, { signal, onProgress, ...wish }: Api.PinOptions = {}): Promise<Api.PinInfo> {
    return this.#one('pin/add', { ref, ...wish }, { signal, onProgress })
  }

  pinRemove(ref: string, options: Abortable = {}): Promise<Api.PinInfo> {
    return this.#one('pin/rm', { ref }, options)
  }

  pinList(options: Abortable = {}): AsyncIterable<Api.PinInfo> {
    return this.#many('pin/ls', {}, options)
  }

  gc(options: Api.LongOptions = {}): Promise<Api.Collected> {
    return this.#one('gc', {}, options)
  }

  verify(options: Api.LongOptions = {}): Promise<Api.Verified> {
    return this.#one('verify', {}, options)
  }

  async *exportCar(ref: string, { signal }: Api.LongOptions = {}): AsyncGenerator<Uint8Array> {
    yield* this.#bytes('export', { ref }, { signal })
  }

  importCar(
    car: AsyncIterable<Uint8Array>,
    { signal, onProgress, pin }: Api.ImportOptions = {},
  ): Promise<Api.Imported[]> {
    return this.#one('import', {}, { signal, onProgress, body: car, query: { pin } })
  }

  peers(options: Abortable = {}): AsyncIterable<Api.PeerConnection> {
    return this.#many('peers', {}, options)
  }

  connect(address: string, options: Abortable = {}): Promise<{ peerId: Api.Found['peerId'] }> {
    return this.#one('connect', { address }, options)
  }

  members(options: Abortable = {}): AsyncIterable<Api.MemberInfo> {
    return this.#many('members', {}, options)
  }

  leave(options: Api.LongOptions = {}): ReturnType<Api.Peer['leave']> {
    return this.#one('leave', {}, options)
  }

  forget(peer: string, options: Abortable = {}): ReturnType<Api.Peer['forget']> {
    return this.#one('forget', { peer }, options)
  }

  invite({ hub, ...options }: Api.InviteOptions = {}): Promise<{ line: string }> {
    return this.#one('invite', { hub }, options)
  }

  join(line: string, options: Abortable = {}): Promise<Api.Joined> {
    return this.#one('join', { line }, options)
  }

  rotate({ exclude, ...options }: Api.RotateOptions = {}): Promise<Api.Rotated> {
    return this.#one('rotate', { exclude }, options)
  }

  status(ref?: string, options?: Abortable): Promise<Api.Status | Api.PinInfo>
  status(options: Api.PreviewOptions): Promise<Api.PreviewInfo>
  status(asked?: string | Api.PreviewOptions, options: Abortable = {}): Promise<never> {
    if (typeof asked !== 'object') return this.#one('status', { ref: asked }, options)
    const { preview, signal } = asked
    return this.#one('status', { preview }, { signal })
  }

  doctor(options: Abortable = {}): AsyncIterable<Api.CheckResult> {
    return this.#many('doctor', {}, options)
  }

  config(key?: string, value?: string): ReturnType<Api.Peer['config']> {
    return this.#one('config', { key, value }, {})
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #one<T>(path: string, args: object, call: Call): Promise<T> {
    for await (const result of this.#many<T>(path, args, call)) return result
    throw new NodeError('API_FAILED', 'the running peer gave no answer; its log may say why', { retryable: true })
  }

  async *#many<T>(path: string, args: object, call: Call): AsyncGenerator<T> {
    const response = await this.#post(path, args, call)
    const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })
    let ended = false
    response.once('end', () => {
      ended = true
    })
    try {
      for await (const text of lines) {
        const line = JSON.parse(text) as Line<T>
        if ('error' in line) throw new RelayedError(line.error)
        if ('progress' in line) call.onProgress?.(line.progress)
        else yield line.result
      }
      call.signal?.throwIfAborted()
      if (!ended) throw brokenOff()
    } catch (error) {
      call.signal?.throwIfAborted()
      // What a peer that is killed in the middle of a line leaves behind.
      throw codeOf(error) === 'ECONNRESET' ? brokenOff(error) : error
    } finally {
      response.destroy()
    }
  }

  async *#bytes(path: string, args: object, call: Call): AsyncGenerator<Uint8Array> {
    const response = await this.#post(path, args, call)
    try {
      yield* response
    } catch (error) {
      call.signal?.throwIfAborted()
      throw brokenOff(error)
    }
    const trailer = response.trailers['x-potluck-error']
    if (trailer) throw new RelayedError(JSON.parse(decodeURIComponent(trailer)) as ShownError)
  }

  async #post(path: string, args: object, call: Call): Promise<IncomingMessage> {
    const set = Object.entries(call.query ?? {}).filter(([, value]) => value !== undefined)
    const query = new URLSearchParams(set.map(([name, value]) => [name, String(value)]))
    const target = `/api/v1/${path}${set.length > 0 ? `?${query}` : ''}`
    const response = await this.#send('POST', target, { ...call, args })
    if (response.statusCode === 200) return response
    const text = Buffer.concat(await response.toArray()).toString()
    throw new RelayedError((JSON.parse(text) as { error: ShownError }).error)
  }

  #send(method: string, path: string, call: Call & { args?: object }): Promise<IncomingMessage> {
    const headers = {
      authorization: `Bearer ${this.#api.token}`,
      te: 'trailers',
      ...(method === 'POST' && { 'content-type': call.body ? 'application/octet-stream' : 'application/json' }),
    }
    return new Promise((resolve, reject) => {
      const { signal } = call
      const outgoing = request(
        new URL(path, this.#api.address),
        { method, headers, ...(signal && { signal }) },
        resolve,
      )
      outgoing.on('error', (error) => {
        if (signal?.aborted) reject(signal.reason)
        else if (codeOf(error) === 'ECONNREFUSED') reject(new NodeError('NO_PEER', noPeer))
        else reject(brokenOff(error))
      })
      if (call.body) {
        const body = Readable.from(call.body)
        body.on('error', (error) => outgoing.destroy(error))
        body.pipe(outgoing)
      } else outgoing.end(call.args ? JSON.stringify(call.args) : undefined)
    })
  }
}

export const noPeer = "no peer is running: start one with 'potluck start'"

function brokenOff(cause?: unknown): BaseError {
  const why = 'the running peer broke off its answer; it may have stopped'
  return new BaseError('TRUNCATED', why, { retryable: true, cause })
}
