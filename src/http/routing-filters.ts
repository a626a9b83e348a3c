// The filters of the Delegated Routing V1 HTTP API: which addresses of a peer are wanted, and which peers by what they
// speak. Pure; nothing here knows who asks.
// Rules: https://specs.ipfs.tech/ipips/ipip-0484/
import { limits } from '../core/limits.ts'

export interface PeerRecord {
  Schema: 'peer'
  ID: string
  Addrs: string[]
  /** Transfer protocols; empty when they are not known. */
  Protocols: string[]
}

export interface Filters {
  addresses: string[]
  protocols: string[]
}

const protocolCharactersMax = 63

/** Undefined if the query asks for too much or for what cannot be a name. */
export function filtersOf(query: Record<string, unknown>): Filters | undefined {
  const [addresses, protocols] = [listOf(query['filter-addrs']), listOf(query['filter-protocols'])]
  return addresses && protocols && { addresses, protocols }
}

function listOf(value: unknown): string[] | undefined {
  const texts = (Array.isArray(value) ? value : [value ?? '']).flatMap((text) => String(text).split(','))
  const names = texts.map((text) => text.trim().toLowerCase()).filter((text) => text !== '')
  const isGood = names.length <= limits.routingFiltersMax && names.every((name) => name.length <= protocolCharactersMax)
  return isGood ? names : undefined
}

/** The record with the addresses that pass; undefined if the peer is not wanted. */
export function filtered(record: PeerRecord, { addresses, protocols }: Filters): PeerRecord | undefined {
  if (protocols.length > 0 && !speaksOne(record.Protocols, protocols)) return undefined
  if (addresses.length === 0) return record
  if (record.Addrs.length === 0) return addresses.includes('unknown') ? record : undefined
  const kept = record.Addrs.filter((address) => passes(address, addresses))
  return kept.length > 0 ? { ...record, Addrs: kept } : undefined
}

function speaksOne(spoken: string[], wanted: string[]): boolean {
  if (spoken.length === 0) return wanted.includes('unknown')
  return spoken.some((protocol) => wanted.includes(protocol.toLowerCase()))
}

// Without any positive filter all pass that no negative one names.
function passes(address: string, filters: string[]): boolean {
  const names = new Set(address.toLowerCase().split('/'))
  const refused = filters.filter((name) => name.startsWith('!')).map((name) => name.slice(1))
  const wanted = filters.filter((name) => !name.startsWith('!') && name !== 'unknown')
  if (refused.some((name) => names.has(name))) return false
  return wanted.length === 0 ? !isOnlyUnknown(filters) : wanted.some((name) => names.has(name))
}

// Who asks for peers with unknown addresses alone wants no others.
function isOnlyUnknown(filters: string[]): boolean {
  return filters.every((name) => name === 'unknown')
}
