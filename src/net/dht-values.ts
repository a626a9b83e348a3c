// Values of the DHT, asked and told server by server: libp2p's own way to get one fails when a single server cannot be
// corrected, and its way to put one says nothing of how many took it. A server of ours checks what it is told to keep, and
// never takes an older IPNS record for a newer one, which libp2p would.
import { Key } from 'interface-datastore'
import { base32 } from 'multiformats/bases/base32'
import { type Abortable, withDeadline } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { codeOf, sentenceOf } from '../base/errors.ts'
import { ByteReader } from '../base/frames.ts'
import type { Log } from '../base/log.ts'
import { ipnsPeerOf } from '../core/ipns-name.ts'
import { compareIpnsRecords, type IpnsRecord, verifyIpnsRecord } from '../core/ipns-record.ts'
import { limits } from '../core/limits.ts'
import type { PeerInfo } from '../core/peer.ts'
import type { Network, Signer } from '../core/ports.ts'
import { times } from '../core/times.ts'
import type { TableDatastore } from './datastore.ts'
import { getValueMessage, putValueMessage, valueIn, valueOfRecord, valueRecord } from './dht-messages.ts'
import { NetError } from './errors.ts'

export interface DhtValuesDeps {
  network: Pick<Network, 'open'>
  datastore: TableDatastore
  clock: Clock
  log: Log
}

/** Where values of one DHT are: its protocol, and the prefix of what this peer keeps for it. */
export interface ValueNetwork {
  protocol: string
  prefix: string
}

/** True if the server took the value in one of the networks. */
export async function tellValue(
  deps: DhtValuesDeps,
  server: PeerInfo,
  networks: ValueNetwork[],
  { key, value }: { key: Uint8Array; value: Uint8Array },
  options: Abortable,
): Promise<boolean> {
  const record = valueRecord(key, value, deps.clock.nowMs())
  const answers = await Promise.all(
    networks.map(({ protocol }) => ask(deps, server, protocol, putValueMessage(key, record), options)),
  )
  return answers.some((answer) => answer !== undefined)
}

/** The values that a server has: none, or one of each network. */
export async function askForValue(
  deps: DhtValuesDeps,
  server: PeerInfo,
  networks: ValueNetwork[],
  key: Uint8Array,
  options: Abortable,
): Promise<Uint8Array[]> {
  const answers = await Promise.all(
    networks.map(({ protocol }) => ask(deps, server, protocol, getValueMessage(key), options)),
  )
  return answers.flatMap((answer) => (answer && valueIn(answer)) ?? [])
}

/** One question; undefined if there was no answer, which is how a server says that it does not take a value. */
async function ask(
  { network, clock, log }: DhtValuesDeps,
  server: PeerInfo,
  protocol: string,
  message: Uint8Array,
  options: Abortable,
): Promise<Uint8Array | undefined> {
  const question = async (signal: AbortSignal) => {
    const channel = await network.open(server, [protocol], { signal })
    try {
      await channel.write([message], { signal })
      const answers = new ByteReader((readOptions) => channel.read(readOptions))
      const answer = await answers.frame(limits.dhtMessageBytesMax, { signal })
      await channel.close({ signal })
      return answer
    } catch (error) {
      channel.abort(error as Error)
      throw error
    }
  }
  try {
    return await withDeadline(clock, times.dhtValueMs, `asking ${server.peer}`, question, options)
  } catch (error) {
    options.signal?.throwIfAborted()
    log.debug(`${server.peer} gave no answer in the DHT: ${sentenceOf(error)}`)
    return undefined
  }
}

/** What this peer itself keeps for a network under a key. */
export async function keptValue(
  datastore: TableDatastore,
  prefix: string,
  key: Uint8Array,
): Promise<Uint8Array | undefined> {
  try {
    return valueOfRecord(await datastore.get(datastoreKey(prefix, key)))
  } catch {
    return undefined
  }
}

/** Keeps a value of this peer's own as a server would. */
export async function keepValue(
  { datastore, clock }: DhtValuesDeps,
  prefix: string,
  { key, value }: { key: Uint8Array; value: Uint8Array },
): Promise<void> {
  await datastore.put(datastoreKey(prefix, key), valueRecord(key, value, clock.nowMs()))
}

/** What a server asks of a value under `/ipns/`: it rejects when the record is not good, or older than the one that it keeps. */
export function ipnsValidator(
  { datastore, signer, clock }: { datastore: TableDatastore; signer: Signer; clock: Clock },
  prefix: string,
): (key: Uint8Array, value: Uint8Array) => Promise<void> {
  return async (key, value) => {
    const publisher = ipnsPeerOf(key)
    if (!publisher) throw new NetError('VALUE_REFUSED', 'the key of the value does not name an Ed25519 key')
    const verify = (bytes: Uint8Array) => verifyIpnsRecord(bytes, publisher, { signer, nowMs: clock.nowMs() })
    const record = verify(value)
    const kept = await keptValue(datastore, prefix, key)
    if (kept && isNewer(() => verify(kept), record))
      throw new NetError('VALUE_REFUSED', 'this peer keeps a newer record')
  }
}

function isNewer(verified: () => IpnsRecord, other: IpnsRecord): boolean {
  try {
    return compareIpnsRecords(verified(), other) < 0
  } catch (error) {
    // What has expired makes room.
    if (codeOf(error)?.startsWith('IPNS_')) return false
    throw error
  }
}

function datastoreKey(prefix: string, key: Uint8Array): Key {
  return new Key(`${prefix}/record/${base32.baseEncode(key)}`, false)
}
