// The HTTP API of a running peer, which the commands talk to. It listens on loopback only (in a container, if asked, where
// its port can be published), wants a bearer token, and refuses requests whose Host or Origin is not its own, so that no web
// page can reach it through a browser.
// It is not a gateway: content for browsers is served from another port, which is another origin.
import { timingSafeEqual } from 'node:crypto'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { systemClock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import { limits } from '../core/limits.ts'
import type { Peer } from '../node/api.ts'
import { describeError, NodeError } from '../node/errors.ts'
import type { RoutingIndex } from '../node/routing-index.ts'
import { openApi } from './openapi.ts'
import { type Operation, operations } from './operations.ts'
import { routeRouting } from './routing.ts'

export interface ApiServer extends AsyncDisposable {
  /** `http://127.0.0.1:5101` */
  readonly address: string
}

export interface ApiServerOptions {
  host: string
  port: number
  /** Listen on all addresses, as a container must whose port is published on loopback. Token and Host are checked as ever. */
  published?: boolean
  token: string
  version: string
  /** What `/routing/v1` answers from; without it there is no such path. */
  index?: RoutingIndex
}

/** Starts the API of a peer. Throws NodeError ADDRESS_IN_USE. */
export async function openApiServer(peer: Peer, options: ApiServerOptions): Promise<ApiServer> {
  const app = Fastify({
    bodyLimit: limits.apiBodyBytesMax,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 1_000 },
    // An unknown argument is an error, not something to drop in silence.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))
  guard(app, options.token)
  app.setErrorHandler((error, _request, reply) => {
    const { http, ...shown } = describeError(asRequestError(error))
    void reply.status(http).send({ error: shown })
  })
  app.setNotFoundHandler((request, reply) => {
    void reply
      .status(404)
      .send({ error: { code: 'REQUEST_INVALID', message: `there is no ${request.method} ${request.url}` } })
  })
  app.get('/health', async () => ({ ok: true, version: options.version }))
  app.get('/api/v1/openapi.json', async () => openApi(operations, options.version))
  for (const operation of operations) route(app, peer, operation)
  if (options.index) routeRouting(app, { index: options.index, clock: systemClock }, { hubs: true })
  const port = await listen(app, options)
  return { address: `http://${options.host}:${port}`, [Symbol.asyncDispose]: async () => app.close() }
}

async function listen(app: FastifyInstance, { host, port, published }: ApiServerOptions): Promise<number> {
  const loopback = host.replace(/^\[|\]$/g, '')
  const all = loopback === '::1' ? '::' : '0.0.0.0'
  try {
    await app.listen({ host: published ? all : loopback, port })
  } catch (error) {
    const inUse = (error as { code?: string }).code === 'EADDRINUSE'
    const why = inUse ? `port ${port} is in use` : sentenceOf(error)
    throw new NodeError(
      'API_FAILED',
      `the API cannot listen on ${host}:${port}: ${why}; choose another with --api HOST:PORT`,
    )
  }
  const address = app.server.address()
  return typeof address === 'object' && address ? address.port : port
}

function guard(app: FastifyInstance, token: string): void {
  const expected = Buffer.from(`Bearer ${token}`)
  app.addHook('onRequest', async (request) => {
    if (!isLoopback(request.headers.host))
      throw new NodeError('TOKEN_INVALID', 'this API answers to loopback names only')
    const { origin } = request.headers
    if (origin !== undefined && origin !== `http://${request.headers.host}`)
      throw new NodeError('TOKEN_INVALID', 'this API does not answer other web sites')
    if (request.url === '/health') return
    const given = Buffer.from(request.headers.authorization ?? '')
    if (given.byteLength !== expected.byteLength || !timingSafeEqual(given, expected))
      throw new NodeError('TOKEN_INVALID', 'the token is missing or wrong; it is in api.json in the home')
  })
}

function isLoopback(host: string | undefined): boolean {
  return /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host ?? '')
}

function route(app: FastifyInstance, peer: Peer, operation: Operation): void {
  const arguments_ = {
    type: 'object',
    properties: operation.properties,
    required: operation.required,
    additionalProperties: false,
  }
  app.route({
    method: 'POST',
    url: `/api/v1/${operation.path}`,
    // Query values are text, so they are checked by hand below; JSON bodies by the schema.
    schema: operation.takes === 'json' ? { body: arguments_ } : {},
    handler: async (request, reply) => {
      const controller = new AbortController()
      reply.raw.on('close', () => {
        if (!reply.raw.writableFinished) controller.abort(new NodeError('CLIENT_GONE', 'the caller went away'))
      })
      if (operation.gives === 'bytes') await giveBytes(peer, operation, request, reply, controller.signal)
      else await giveLines(peer, operation, request, reply, controller.signal)
      return reply
    },
  })
}

function argumentsOf(operation: Operation, request: FastifyRequest): Record<string, unknown> {
  if (operation.takes === 'json') return (request.body ?? {}) as Record<string, unknown>
  if (!(request.body instanceof Readable))
    throw new NodeError('REQUEST_INVALID', 'the content goes into the body, as application/octet-stream')
  const query = request.query as Record<string, string>
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => {
      const property = operation.properties[name]
      if (!property) throw new NodeError('REQUEST_INVALID', `there is no argument '${name}'`)
      if (property.type === 'integer') return [name, wholeNumber(name, value)]
      if (property.type !== 'boolean') return [name, value]
      if (value !== 'true' && value !== 'false')
        throw new NodeError('REQUEST_INVALID', `'${name}' must be true or false`)
      return [name, value === 'true']
    }),
  )
}

function wholeNumber(name: string, value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new NodeError('REQUEST_INVALID', `'${name}' must be a whole number`)
  return Number(value)
}

async function giveLines(
  peer: Peer,
  operation: Operation,
  request: FastifyRequest,
  reply: FastifyReply,
  signal: AbortSignal,
): Promise<void> {
  const args = argumentsOf(operation, request)
  const raw = reply.hijack().raw
  raw.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const line = async (document: object) => {
    if (!raw.write(`${JSON.stringify(document)}\n`) && !signal.aborted) await drained(raw, signal)
  }
  // Progress is dropped while the reader is slow: only the latest matters.
  const onProgress = (progress: object) => {
    if (!raw.writableNeedDrain) raw.write(`${JSON.stringify({ progress })}\n`)
  }
  try {
    const sent = operation.takes === 'bytes' ? (request.body as Readable) : Readable.from([])
    // One that refuses the body must not close the connection that it answers on.
    const body = sent.iterator({ destroyOnReturn: false })
    const answer = operation.run(peer, args, { signal, onProgress }, body)
    if (Symbol.asyncIterator in answer) for await (const result of answer) await line({ result })
    else await line({ result: await answer })
  } catch (error) {
    const { http: _http, ...shown } = describeError(error)
    await line({ error: shown })
  } finally {
    raw.end()
    // Whoever is still sending would wait for ever for somebody to read it.
    request.raw.resume()
  }
}

function drained(raw: FastifyReply['raw'], signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      raw.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    raw.once('drain', done)
    signal.addEventListener('abort', done, { once: true })
  })
}

// A failure before the first byte is an ordinary error reply. Later the status is long gone: a reader that said it takes
// trailers gets the error in one, any other sees the connection break, never a short file that looks whole.
async function giveBytes(
  peer: Peer,
  operation: Operation,
  request: FastifyRequest,
  reply: FastifyReply,
  signal: AbortSignal,
): Promise<void> {
  const args = argumentsOf(operation, request)
  const answer = operation.run(peer, args, { signal }, Readable.from([])) as AsyncIterable<Uint8Array>
  const bytes = answer[Symbol.asyncIterator]()
  let next = await bytes.next()
  const raw = reply.hijack().raw
  raw.writeHead(200, { 'content-type': 'application/octet-stream', trailer: 'x-potluck-error' })
  try {
    while (!next.done) {
      if (!raw.write(next.value)) await drained(raw, signal)
      signal.throwIfAborted()
      next = await bytes.next()
    }
    raw.addTrailers({ 'x-potluck-error': '' })
    raw.end()
  } catch (error) {
    if (request.headers.te !== 'trailers') {
      raw.destroy()
      return
    }
    const { http: _http, ...shown } = describeError(error)
    raw.addTrailers({ 'x-potluck-error': encodeURIComponent(JSON.stringify(shown)) })
    raw.end()
  } finally {
    await bytes.return?.()
  }
}

function asRequestError(error: unknown): unknown {
  const status = (error as { statusCode?: number }).statusCode
  return status !== undefined && status < 500 ? new NodeError('REQUEST_INVALID', sentenceOf(error)) : error
}
