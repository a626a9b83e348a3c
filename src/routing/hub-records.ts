// Reading what a hub answers: records of the Delegated Routing V1 HTTP API, as one JSON document or one a line. The hub is
// a stranger: whatever it sends, reading it takes bounded time and memory, and gives well-formed peers or nothing.
// Format: https://specs.ipfs.tech/routing/http-routing-v1/
import { limits } from '../core/limits.ts'
import type { PeerId, PeerInfo } from '../core/peer.ts'
import { readPeerId } from '../core/peer-id.ts'
import { RoutingError } from './errors.ts'

/** True for a multiaddr that this peer could dial. */
export type IsAddress = (text: string) => boolean

/** The document of a JSON answer: its records, unread. Throws HUB_FAILED. */
export function recordsOf(text: string, list: 'Providers' | 'Peers'): unknown[] {
  const document = parse(text)
  const records = (document as Record<string, unknown> | null)?.[list]
  // Some servers say null for an empty list.
  if (records === null || (records === undefined && isEmptyObject(document))) return []
  if (!Array.isArray(records)) throw garbage(`it sends JSON without a list of ${list}`)
  return records.slice(0, limits.hubRecordsMax)
}

/** The records of an answer with one on each line, as the bytes come. Throws HUB_FAILED. */
export async function* recordLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of pieces) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield parseLine(line)
    if (rest.length > limits.hubRecordCharactersMax) throw garbage('it sends a record without end')
  }
  if (rest.trim() !== '') yield parseLine(rest)
}

/** The peer that a record names; undefined for a record of another kind or without a PeerId. Addresses that are none are left out. */
export function peerOfRecord(record: unknown, isAddress: IsAddress): PeerInfo | undefined {
  const { ID: id, Addrs: addresses } = (record ?? {}) as Record<string, unknown>
  const peer = typeof id === 'string' ? readPeerId(id) : undefined
  if (!peer) return undefined
  const texts = Array.isArray(addresses) ? addresses.slice(0, limits.addressesPerPeerMax) : []
  const bare = texts.flatMap((text) => (typeof text === 'string' ? (bareFor(peer, text, isAddress) ?? []) : []))
  return { peer, addresses: [...new Set(bare)] }
}

// An address may name its peer at its end; one that names another is of another.
function bareFor(peer: PeerId, text: string, isAddress: IsAddress): string | undefined {
  if (text.length > limits.addressCharactersMax || !isAddress(text)) return undefined
  const [, bare = text, named] = /^(.*)\/p2p\/([^/]+)$/.exec(text) ?? []
  return named === undefined || readPeerId(named) === peer ? bare : undefined
}

function parseLine(line: string): unknown {
  if (line.length > limits.hubRecordCharactersMax) throw garbage('it sends a record that is too long')
  return parse(line)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw garbage('what it sends is not JSON', error)
  }
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
}

/** What makes somebody no hub. */
export function garbage(why: string, cause?: unknown): RoutingError {
  return new RoutingError('HUB_FAILED', `does not answer as a hub does: ${why}; is the URL right?`, { cause })
}
