// What the user may set, each key declared, explained, defaulted and parsed here and nowhere else. Flags of a command go
// before the file, the file before the defaults; the result is frozen. `config.json` holds only what was set.

import { limits } from '../core/limits.ts'
import { times } from '../core/times.ts'
import { parseSize, parseTime } from '../core/units.ts'
import { NodeError } from './errors.ts'
import type { Home } from './home.ts'

export interface Config {
  readonly listen: readonly string[]
  readonly api: string
  readonly 'api.published': boolean
  readonly bootstrap: readonly string[]
  readonly network: 'private' | 'open'
  readonly hub: boolean
  readonly routing: string
  readonly hubs: readonly string[]
  readonly mdns: boolean
  readonly upnp: boolean
  /** Multiaddrs to tell others instead of those that were found. */
  readonly announce: readonly string[]
  /** Bytes per second that this machine relays for others; 0 is no limit. */
  readonly 'relay.rate': number
  readonly profile: string
  readonly zone: string
  readonly capacity: number
  readonly copies: number
  /** Milliseconds. */
  readonly 'repair.grace': number
  /** Bytes per second; 0 is no limit. */
  readonly 'repair.rate': number
  readonly 'repair.concurrency': number
}

export type ConfigKey = keyof Config

interface KeyDoc<T> {
  fallback: T
  explain: string
  /** Throws CONFIG_INVALID. Values come from the command line as text, from the file as JSON. */
  parse(value: unknown): T
}

type KeyDocs = { [K in ConfigKey]: KeyDoc<Config[K]> }

const textList = (value: unknown): string[] => {
  const list = typeof value === 'string' ? value.split(/[\s,]+/).filter((item) => item !== '') : value
  if (!Array.isArray(list) || list.some((item) => typeof item !== 'string')) throw invalid('a list of texts')
  return list as string[]
}

const hostPort = (example: string) => (value: unknown) => {
  const match = typeof value === 'string' && /^([^\s/]+):(\d{1,5})$/.exec(value)
  if (!match || Number(match[2]) > 65_535) throw invalid(`HOST:PORT, such as ${example}`)
  return value as string
}

const loopbackPort = (value: unknown): string => {
  const read = hostPort('127.0.0.1:5101')(value)
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(read.replace(/:\d+$/, '')))
    throw invalid('a loopback address (127.0.0.1, localhost or [::1]): whoever reaches the API owns the peer')
  return read
}

/** Base URLs of hubs: what the specification adds to them is left away. */
const hubUrls = (value: unknown): string[] =>
  textList(value).map((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    const isPlain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash
    if (!isPlain) throw invalid('a list of URLs such as https://hub.example or http://192.168.1.20:8102')
    return url.href.replace(/\/$/, '').replace(/\/routing\/v1$/, '')
  })

const flag = (value: unknown): boolean => {
  if (value === true || value === 'true' || value === 'on') return true
  if (value === false || value === 'false' || value === 'off') return false
  throw invalid('true or false')
}

const countTo = (most: number) => (value: unknown) => {
  const count = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  if (typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= most) return count
  throw invalid(`a number from 1 to ${most}`)
}

/** A whole amount of 0 or more: a number as it is, text by its unit. */
const amount = (parse: (text: string) => number, most: number, expected: string) => (value: unknown) => {
  const read = typeof value === 'string' ? readOr(parse, value) : value
  if (typeof read === 'number' && Number.isSafeInteger(read) && read >= 0 && read <= most) return read
  throw invalid(expected)
}

const zoneName = /^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u

export const configKeys: KeyDocs = {
  listen: {
    fallback: ['/ip4/0.0.0.0/tcp/4101'],
    explain:
      'multiaddrs to listen on for other peers; port 0 takes a free one; /p2p-circuit alone: none, others come through relays',
    parse: (value) => textList(value).filter((address) => address !== '/p2p-circuit'),
  },
  api: { fallback: '127.0.0.1:5101', explain: 'HOST:PORT of the HTTP API, loopback only', parse: loopbackPort },
  'api.published': {
    fallback: false,
    explain:
      "in a container: the API listens on all its addresses, so that its port can be published on the host's 127.0.0.1; it still wants the token, and answers to loopback names only",
    parse: flag,
  },
  bootstrap: {
    fallback: [],
    explain: 'multiaddrs (with /p2p/PEERID) of peers to meet others through; `potluck join` adds to it',
    parse: textList,
  },
  network: {
    fallback: 'private',
    explain:
      '`private`: only peers with the cluster secret connect; `open`: the public IPFS network, all content is public',
    parse: (value) => {
      if (value === 'private' || value === 'open') return value
      throw invalid("'private' or 'open'")
    },
  },
  hub: {
    fallback: false,
    explain: 'be a hub: relay for others, and answer light clients over HTTP who provides what',
    parse: flag,
  },
  routing: {
    fallback: '0.0.0.0:8102',
    explain: 'HOST:PORT at which a hub answers over HTTP; port 0 takes a free one',
    parse: hostPort('0.0.0.0:8102'),
  },
  hubs: {
    fallback: [],
    explain:
      'URLs of hubs to ask who provides what, beside connected ones; in a private network they are shown a token',
    parse: hubUrls,
  },
  mdns: { fallback: true, explain: 'find peers on the local network by multicast DNS', parse: flag },
  upnp: { fallback: true, explain: 'ask the router to map a port to this machine (UPnP)', parse: flag },
  announce: {
    fallback: [],
    explain: 'multiaddrs to tell other peers instead of those that were found, such as /dns4/home.example/tcp/4101',
    parse: textList,
  },
  'relay.rate': {
    fallback: 16e6,
    explain:
      'bytes per second that this machine relays between peers that cannot dial each other, such as 16MB; 0 is no limit',
    parse: amount(
      (text) => parseSize(text.replace(/\/s$/, '')),
      Number.MAX_SAFE_INTEGER,
      'a size per second such as 16MB, or 0 for no limit',
    ),
  },
  profile: {
    fallback: 'unixfs-v1-2025',
    explain: 'how `add` builds files: `unixfs-v1-2025`, or `unixfs-v0-2015` for the CIDs of older Kubo',
    parse: (value) => {
      if (value === 'unixfs-v1-2025' || value === 'unixfs-v0-2015') return value
      throw invalid("'unixfs-v1-2025' or 'unixfs-v0-2015'")
    },
  },
  zone: {
    fallback: 'home',
    explain: 'where this machine stands (a house, a room, a data centre): copies go to different zones',
    parse: (value) => {
      if (typeof value === 'string' && zoneName.test(value) && Buffer.byteLength(value) <= limits.zoneBytesMax)
        return value
      throw invalid(`a name of letters, digits, spaces, '.', '_' and '-', at most ${limits.zoneBytesMax} bytes`)
    },
  },
  capacity: {
    fallback: 100e9,
    explain: 'what this machine gives to the cluster, such as 500GB; 0 keeps nothing for others',
    parse: amount(parseSize, Number.MAX_SAFE_INTEGER, 'a size such as 500GB'),
  },
  copies: {
    fallback: 3,
    explain: 'machines that keep each record, and each pin that does not say otherwise; or as many as there are',
    parse: countTo(limits.copiesMax),
  },
  'repair.grace': {
    fallback: 12 * 3_600_000,
    explain: 'how long a machine may be away before others make its copies anew, such as 12h; a number is milliseconds',
    parse: amount(
      parseTime,
      times.absenceMs,
      `a time such as 12h, at most ${times.absenceMs / 86_400_000} days: whoever is away for longer counts as new`,
    ),
  },
  'repair.rate': {
    fallback: 0,
    explain: 'bytes per second at which this machine fetches copies to keep, such as 20MB; 0 is as fast as it can',
    parse: amount(
      (text) => parseSize(text.replace(/\/s$/, '')),
      Number.MAX_SAFE_INTEGER,
      'a size per second such as 20MB, or 0 for no limit',
    ),
  },
  'repair.concurrency': {
    fallback: 3,
    explain: 'contents that this machine fetches at a time to keep them',
    parse: countTo(limits.repairConcurrencyMax),
  },
}

const fileVersion = 1

/** What the file holds. Throws CONFIG_INVALID naming the file and the key. */
export async function readSettings(home: Home): Promise<Partial<Config>> {
  const text = await home.readConfig()
  if (text === undefined) return {}
  const where = home.at('config.json')
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch {
    throw new NodeError('CONFIG_INVALID', `${where} is not JSON; mend it, or move it away to use the defaults`)
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file))
    throw new NodeError('CONFIG_INVALID', `${where} must hold a JSON object`)
  const { version, ...settings } = file as Record<string, unknown>
  if (typeof version === 'number' && version > fileVersion)
    throw new NodeError('HOME_INVALID', `${where} was written by a newer potluck; use that one, or a newer one still`)
  const parsed = Object.entries(settings).map(([key, value]) => [key, parseSetting(key, value, where)])
  return Object.fromEntries(parsed) as Partial<Config>
}

export async function writeSettings(home: Home, settings: Partial<Config>): Promise<void> {
  await home.make()
  await home.writeConfig(`${JSON.stringify({ version: fileVersion, ...settings }, null, 2)}\n`)
}

/** Shows all settings or one, or sets one. Throws CONFIG_INVALID. */
export async function configure(home: Home, key?: string, value?: string): Promise<Partial<Config>> {
  const settings = await readSettings(home)
  if (key === undefined) return mergeConfig({}, settings)
  // Which says that there is no such key.
  if (!Object.hasOwn(configKeys, key)) parseSetting(key, value)
  const parsed = value === undefined ? settings[key as ConfigKey] : parseSetting(key, value)
  if (value !== undefined) await writeSettings(home, { ...settings, [key]: parsed })
  return { [key]: parsed ?? configKeys[key as ConfigKey].fallback }
}

/** One setting from text or JSON. Throws CONFIG_INVALID. */
export function parseSetting(key: string, value: unknown, where = 'config'): Config[ConfigKey] {
  if (!Object.hasOwn(configKeys, key))
    throw new NodeError(
      'CONFIG_INVALID',
      `${where}: there is no key '${key}'; the keys are ${Object.keys(configKeys).join(', ')}`,
    )
  try {
    return configKeys[key as ConfigKey].parse(value)
  } catch (error) {
    throw new NodeError('CONFIG_INVALID', `${where}: '${key}' must be ${(error as Error).message}`)
  }
}

/** Flags over file over defaults. */
export function mergeConfig(flags: Partial<Config>, settings: Partial<Config>): Config {
  const keys = Object.keys(configKeys) as ConfigKey[]
  const merged = keys.map((key) => [key, flags[key] ?? settings[key] ?? configKeys[key].fallback])
  return Object.freeze(Object.fromEntries(merged)) as Config
}

function readOr(parse: (text: string) => number, text: string): number | undefined {
  try {
    return parse(text)
  } catch {
    return undefined
  }
}

function invalid(expected: string): Error {
  return new Error(expected)
}
