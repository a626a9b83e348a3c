// The Delegated Routing V1 HTTP API, for whoever serves it: a hub to its network, and the API of a peer to programs on its
// machine. It answers who provides a CID, where a peer is and what an IPNS name points at, as one document or as a
// stream. Empty answers are answers (IPIP-513). Only what is signed by its publisher can be put here, an IPNS record: an
// announcement of providers has no signature in the specification, and peers that provide can say so in the DHT.
// Protocol: https://specs.ipfs.tech/routing/http-routing-v1/
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { CID } from 'multiformats/cid'
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import { parseIpnsName } from '../core/ipns-name.ts'
import { limits } from '../core/limits.ts'
import type { Provider } from '../core/peer.ts'
import { readPeerId } from '../core/peer-id.ts'
import { times } from '../core/times.ts'
import type { RoutedPeer, RoutingIndex } from '../node/routing-index.ts'
import { type Filters, filtered, filtersOf, type PeerRecord } from './routing-filters.ts'

export interface RoutingDeps {
  index: RoutingIndex
  clock: Clock
}

export interface RoutingOptions {
  /** Whether hubs are asked too: for programs of this machine, never for others. */
  hubs: boolean
}

const json = 'application/json'
const lines = 'application/x-ndjson'
const ipnsRecord = 'application/vnd.ipfs.ipns-record'
const bitswap = 'transport-bitswap'

/** Adds the paths below `/routing/v1` to a server. */
export function routeRouting(app: FastifyInstance, deps: RoutingDeps, { hubs }: RoutingOptions): void {
  const { index } = deps
  app.addContentTypeParser(ipnsRecord, { parseAs: 'buffer', bodyLimit: limits.ipnsRecordBytesMax }, (_, body, done) =>
    done(null, body),
  )
  app.get<{ Params: { cid: string } }>('/routing/v1/providers/:cid', async (request, reply) => {
    const cid = cidOf(request.params.cid)
    const filters = filtersOf(request.query as Record<string, unknown>)
    if (!cid || !filters) return refuse(reply, 422, cid ? 'a filter is too long' : 'this is not a CID')
    await giveRecords(deps, { request, reply, list: 'Providers', filters }, async function* (signal) {
      for await (const provider of index.providers(cid, { hubs, signal })) yield providerRecord(provider)
    })
    return reply
  })
  app.get<{ Params: { peer: string } }>('/routing/v1/peers/:peer', async (request, reply) => {
    const peer = readPeerId(request.params.peer)
    const filters = filtersOf(request.query as Record<string, unknown>)
    if (!peer || !filters) return refuse(reply, 422, peer ? 'a filter is too long' : 'this is not a PeerId')
    await giveRecords(deps, { request, reply, list: 'Peers', filters }, async function* (signal) {
      const found = await index.peer(peer, { signal })
      if (found) yield peerRecord(found)
    })
    return reply
  })
  app.get<{ Params: { name: string } }>('/routing/v1/ipns/:name', (request, reply) => giveIpns(deps, request, reply))
  app.put<{ Params: { name: string } }>('/routing/v1/ipns/:name', (request, reply) => takeIpns(deps, request, reply))
}

interface Asked {
  request: FastifyRequest
  reply: FastifyReply
  list: 'Providers' | 'Peers'
  filters: Filters
}

// The head waits for the first record: how long an answer may be kept depends on whether it has any.
async function giveRecords(
  { clock }: RoutingDeps,
  { request, reply, list, filters }: Asked,
  find: (signal: AbortSignal) => AsyncGenerator<PeerRecord>,
): Promise<void> {
  const gone = new AbortController()
  reply.raw.on('close', () => gone.abort(new Error('the caller went away')))
  const records = wanted(find(gone.signal), filters)
  const first = await records.next()
  const isStream = accepts(request, lines)
  reply.header('content-type', isStream ? lines : json)
  keepFor(reply, clock, first.done ? times.routingEmptyFreshMs : times.routingFreshMs, times.routingStaleMs)
  if (!isStream) {
    const all = first.done ? [] : [first.value, ...(await Array.fromAsync(records))]
    await reply.send(Buffer.from(JSON.stringify({ [list]: all })))
    return
  }
  const { raw } = reply
  reply.hijack()
  raw.writeHead(200, reply.getHeaders() as Record<string, string>)
  try {
    for (let next = first; !next.done && !gone.signal.aborted; next = await records.next())
      if (!raw.write(`${JSON.stringify(next.value)}\n`)) await drained(raw, gone.signal)
    raw.end()
  } catch {
    // The head is long gone: what has been found is told, and the stream breaks instead of looking whole.
    raw.destroy()
  }
}

/** Each peer once, as the filters want it. */
async function* wanted(records: AsyncGenerator<PeerRecord>, filters: Filters): AsyncGenerator<PeerRecord> {
  const given = new Map<string, number>()
  for await (const record of records) {
    // The same peer comes again by another way, and is told again only when its addresses are known by then.
    const known = given.get(record.ID)
    if (known !== undefined && (known > 0 || record.Addrs.length === 0)) continue
    const passed = filtered(record, filters)
    if (!passed) continue
    given.set(record.ID, passed.Addrs.length)
    yield passed
    if (given.size === limits.hubRecordsMax) return
  }
}

async function giveIpns(
  { index, clock }: RoutingDeps,
  request: FastifyRequest<{ Params: { name: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const name = nameOf(request.params.name)
  if (!name) return refuse(reply, 400, 'this is not an IPNS name of an Ed25519 key')
  if (!accepts(request, ipnsRecord)) return refuse(reply, 406, `ask again with 'Accept: ${ipnsRecord}'`)
  const record = await index.ipns(name)
  if (!record) {
    keepFor(reply, clock, times.routingEmptyFreshMs, times.routingEmptyFreshMs)
    return reply.type('text/plain; charset=utf-8').send('no record of this name was found')
  }
  const untilMs = Number(record.validUntilNs / 1_000_000n)
  const leftMs = Math.max(0, untilMs - clock.nowMs())
  keepFor(reply, clock, Math.min(times.ipnsFreshMs, leftMs), leftMs)
  reply.header('etag', `"${createHash('sha256').update(record.bytes).digest('base64url')}"`)
  // A record may be valid for longer than there are dates.
  if (untilMs <= 8.64e15) reply.header('expires', new Date(untilMs).toUTCString())
  return reply.type(ipnsRecord).send(Buffer.from(record.bytes))
}

async function takeIpns(
  { index }: RoutingDeps,
  request: FastifyRequest<{ Params: { name: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const name = nameOf(request.params.name)
  if (!name) return refuse(reply, 400, 'this is not an IPNS name of an Ed25519 key')
  if (!(request.body instanceof Uint8Array)) return refuse(reply, 406, `send it with 'Content-Type: ${ipnsRecord}'`)
  try {
    await index.publishIpns(name, request.body)
    return reply.send()
  } catch (error) {
    if (codeOf(error) === 'IPNS_INVALID' || codeOf(error) === 'IPNS_EXPIRED')
      return refuse(reply, 400, sentenceOf(error))
    throw error
  }
}

/** An answer that says what was wrong with the question. */
export function refuse(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.status(status).send({ error: { code: 'REQUEST_INVALID', message } })
}

function keepFor(reply: FastifyReply, clock: Clock, freshMs: number, staleMs: number): void {
  const [fresh, stale] = [Math.floor(freshMs / 1000), Math.floor(staleMs / 1000)]
  // What is told to holders of a token is nothing for caches that others share.
  const who = reply.request.headers.authorization === undefined ? 'public' : 'private'
  reply.headers({
    'cache-control': `${who}, max-age=${fresh}, stale-while-revalidate=${stale}, stale-if-error=${stale}`,
    'last-modified': new Date(clock.nowMs()).toUTCString(),
    vary: 'Accept',
  })
}

// Members serve Bitswap to each other, and so does whoever answered that it has the block.
function providerRecord({ peer, addresses, via }: Provider): PeerRecord {
  const isKnown = via === 'own' || via === 'ring' || via === 'peers'
  return { Schema: 'peer', ID: peer, Addrs: addresses, Protocols: isKnown ? [bitswap] : [] }
}

function peerRecord({ peer, addresses, protocols }: RoutedPeer): PeerRecord {
  const speaks = protocols.some((protocol) => protocol.startsWith('/ipfs/bitswap/'))
  return { Schema: 'peer', ID: peer, Addrs: addresses, Protocols: speaks ? [bitswap] : [] }
}

function cidOf(text: string): CID | undefined {
  if (text.length > limits.cidCharactersMax) return undefined
  try {
    return CID.parse(text)
  } catch {
    return undefined
  }
}

function nameOf(text: string) {
  try {
    return parseIpnsName(text)
  } catch {
    return undefined
  }
}

function accepts(request: FastifyRequest, type: string): boolean {
  return (request.headers.accept ?? '').split(',').some((part) => part.split(';', 1)[0]?.trim().toLowerCase() === type)
}

function drained(raw: FastifyReply['raw'], signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      raw.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    if (signal.aborted) return done()
    raw.once('drain', done)
    signal.addEventListener('abort', done, { once: true })
  })
}
