// Asks one hub over HTTP who provides a CID (Delegated Routing V1). Nothing is believed of the answer but its form: body,
// records and time are bounded, and whatever is wrong becomes one sentence about this hub. It keeps no state.
// Protocol: https://specs.ipfs.tech/routing/http-routing-v1/
import type { CID } from 'multiformats/cid'
import { type Abortable, linkedController } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { BaseError } from '../base/errors.ts'
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import { times } from '../core/times.ts'
import { RoutingError } from './errors.ts'
import { hubFailure } from './hub-failures.ts'
import { garbage, type IsAddress, peerOfRecord, recordLines, recordsOf } from './hub-records.ts'

export interface HubClientDeps {
  /** The platform's. */
  fetch: typeof fetch
  isAddress: IsAddress
  /** What a hub of a private network wants to see. */
  token: () => string | undefined
  clock: Clock
}

const json = 'application/json'
const lines = 'application/x-ndjson'
/** Peers that potluck can dial and fetch from; what a hub does not know of one may be so. */
const filters = 'filter-addrs=unknown,tcp,dnsaddr&filter-protocols=unknown,transport-bitswap'

/** Providers as the hub tells them, at most `limits.hubRecordsMax`. Throws HUB_FAILED, and the caller's reason. */
export function hubProviders(deps: HubClientDeps, hub: string, cid: CID, options?: Abortable) {
  return ask(deps, hub, `providers/${cid.toV1()}?${filters}`, 'Providers', options)
}

/** What the hub knows about a peer. Throws HUB_FAILED, and the caller's reason. */
export function hubPeers(deps: HubClientDeps, hub: string, peer: PeerId, options?: Abortable) {
  return ask(deps, hub, `peers/${peer}`, 'Peers', options)
}

async function* ask(
  deps: HubClientDeps,
  hub: string,
  path: string,
  list: 'Providers' | 'Peers',
  { signal }: Abortable = {},
): AsyncGenerator<PeerInfo> {
  const { controller, detach } = linkedController(signal)
  const late = new BaseError('TIMED_OUT', 'it took too long')
  const cancel = deps.clock.timer(times.hubMs, () => controller.abort(late))
  try {
    const token = deps.token()
    const response = await deps.fetch(`${hub}/routing/v1/${path}`, {
      headers: { accept: `${lines}, ${json};q=0.9`, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      // A hub that sends us elsewhere would send the token along.
      redirect: 'manual',
      signal: controller.signal,
    })
    yield* peersIn(response, list, deps.isAddress)
  } catch (error) {
    signal?.throwIfAborted()
    throw hubFailure(hub, error)
  } finally {
    cancel()
    detach()
    // Lets go of what is left of the answer.
    controller.abort(late)
  }
}

async function* peersIn(response: Response, list: 'Providers' | 'Peers', isAddress: IsAddress) {
  if (response.status === 404) return
  if (response.status !== 200) throw refusal(response)
  const type = (response.headers.get('content-type') ?? 'nothing').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== json && type !== lines) throw garbage(`it sends ${type.slice(0, 80)}`)
  const body = bounded(response.body ?? [])
  const records = type === lines ? recordLines(body) : recordsOf(await textOf(body), list)
  let read = 0
  let good = 0
  for await (const record of records) {
    const info = peerOfRecord(record, isAddress)
    if (info) yield info
    good += info ? 1 : 0
    if (++read === limits.hubRecordsMax) break
  }
  if (read > 0 && good === 0) throw garbage('none of its records names a peer')
}

async function* bounded(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const piece of body) {
    size += piece.byteLength
    if (size > limits.hubAnswerBytesMax) throw garbage('its answer is too long')
    yield piece
  }
}

async function textOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(pieces)).toString()
}

function refusal({ status, headers }: Response): RoutingError {
  const to = headers.get('location')?.slice(0, 120)
  if (status === 401 || status === 403)
    return failed(
      "refuses this peer: it is of another cluster, or its secret was replaced and it needs a new 'invite --hub' line",
    )
  if (status === 429) return failed('wants to be asked less often')
  if (status >= 300 && status < 400)
    return failed(`has moved${to ? ` to ${to}` : ''}: set that as its URL if you trust it`)
  if (status >= 500) return failed(`has a trouble of its own (status ${status})`)
  return garbage(`it answers with status ${status}`)
}

function failed(sentence: string): RoutingError {
  return new RoutingError('HUB_FAILED', sentence, { retryable: true })
}
