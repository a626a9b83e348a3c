// The HTTP server of a hub: the index, for light clients of its network, at an address of its own. It is reachable from
// everywhere, so it never serves the API of the peer, and all that strangers can make it do has a limit: connections, requests per
// address, searches at a time, bytes and time. In a private network it answers only who shows a token of the network,
// and no web page; in the open network everybody, web pages included.
import { createHash, timingSafeEqual } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Clock } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import { limits } from '../core/limits.ts'
import { times } from '../core/times.ts'
import { describeError, NodeError } from '../node/errors.ts'
import type { RoutingIndex } from '../node/routing-index.ts'
import { RequestRate, shareConnections } from './request-rate.ts'
import { refuse, routeRouting } from './routing.ts'

export interface RoutingServer extends AsyncDisposable {
  /** `http://0.0.0.0:8102` */
  readonly address: string
  readonly port: number
}

/** Starts a hub's index. Throws NodeError API_FAILED. */
export async function openRoutingServer(
  deps: { index: RoutingIndex; clock: Clock },
  { host, port }: { host: string; port: number },
): Promise<RoutingServer> {
  const app = Fastify({
    bodyLimit: limits.ipnsRecordBytesMax,
    forceCloseConnections: true,
    connectionTimeout: times.routingIdleMs,
    keepAliveTimeout: times.routingIdleMs,
    requestTimeout: times.routingIdleMs,
    http: { maxHeaderSize: limits.routingHeaderBytesMax, headersTimeout: times.routingIdleMs },
    routerOptions: { maxParamLength: limits.cidCharactersMax },
  })
  app.server.maxConnections = limits.routingConnectionsMax
  shareConnections(app.server)
  admit(app, deps)
  app.setErrorHandler((error, _request, reply) => {
    const status = (error as { statusCode?: number }).statusCode
    if (status === 415) return refuse(reply, 406, sentenceOf(error))
    if (status !== undefined && status < 500) return refuse(reply, status, sentenceOf(error))
    const { http, code, message } = describeError(error)
    return reply.status(http).send({ error: { code, message } })
  })
  // The specification has words for these two.
  app.setNotFoundHandler((request, reply) =>
    request.method === 'GET' || request.method === 'HEAD'
      ? refuse(reply, 400, 'there is no such path: this is an index of the Delegated Routing V1 HTTP API')
      : refuse(reply, 501, `${request.method} is nothing that this index does there`),
  )
  routeRouting(app, deps, { hubs: false })
  const bound = await listen(app, host, port)
  return { address: `http://${host}:${bound}`, port: bound, [Symbol.asyncDispose]: async () => app.close() }
}

function admit(app: FastifyInstance, { index, clock }: { index: RoutingIndex; clock: Clock }): void {
  const rate = new RequestRate(clock)
  let searches = 0
  app.addHook('onRequest', async (request, reply) => {
    const waitMs = rate.waitMs(request.ip)
    const isBusy = searches >= limits.routingSearchesMax
    if (waitMs > 0 || isBusy) {
      reply.header('retry-after', Math.max(1, Math.ceil(waitMs / 1000)))
      return refuse(reply, 429, isBusy ? 'this hub has too much to do now' : 'these are too many questions')
    }
    const tokens = index.tokens()
    if (tokens === undefined) {
      reply.header('access-control-allow-origin', '*')
      if (request.method !== 'OPTIONS') return
      reply.headers({ 'access-control-allow-methods': 'GET, PUT, OPTIONS', 'access-control-allow-headers': '*' })
      return reply.status(204).send()
    }
    if (request.headers.origin !== undefined) return refuse(reply, 403, 'this hub does not answer web pages')
    if (!tokens.some((token) => isSame(`Bearer ${token}`, request.headers.authorization ?? '')))
      return refuse(reply.header('www-authenticate', 'Bearer'), 401, 'a token of the network is needed here')
  })
  app.addHook('preHandler', async (_request, reply) => {
    searches++
    reply.raw.once('close', () => searches--)
  })
}

function isSame(expected: string, given: string): boolean {
  const [a, b] = [expected, given].map((text) => createHash('sha256').update(text).digest())
  return timingSafeEqual(a!, b!)
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await app.listen({ host: host.replace(/^\[|\]$/g, ''), port })
  } catch (error) {
    const inUse = (error as { code?: string }).code === 'EADDRINUSE'
    const why = inUse ? `port ${port} is in use` : sentenceOf(error)
    throw new NodeError(
      'API_FAILED',
      `the index of this hub cannot listen on ${host}:${port}: ${why}; choose another with --routing HOST:PORT`,
    )
  }
  const address = app.server.address()
  return typeof address === 'object' && address ? address.port : port
}
