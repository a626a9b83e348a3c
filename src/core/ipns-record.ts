// IPNS records: "this key says that its name stands for this path, until then". Made and checked as the specification says,
// with the second kind of signature; the first kind and its copies of the fields are written for old readers, and read only
// to see that they say the same. What is not verified is never shown.
// Format: https://specs.ipfs.tech/ipns/ipns-record/
import { decode, encode } from '@ipld/dag-cbor'
import { bytesField, fields, varintField } from '../base/protobuf.ts'
import { CoreError } from './block.ts'
import { limits } from './limits.ts'
import type { PeerId } from './peer.ts'
import type { Signer } from './ports.ts'

export interface IpnsRecord {
  /** `/ipfs/CID[/path]` or `/ipns/NAME[/path]`, or whatever else the publisher wrote there. */
  value: string
  /** Records with a higher one replace those with a lower. */
  sequence: bigint
  /** Nanoseconds since 1970. */
  validUntilNs: bigint
  /** The whole record as it travels. */
  bytes: Uint8Array
}

/** What a publisher says. */
export interface IpnsClaim {
  value: string
  sequence: bigint
  /** Wall time. */
  validUntilMs: number
  /** How long readers may go without asking again. */
  ttlMs: number
}

const numbers = {
  value: 1,
  signatureV1: 2,
  validityType: 3,
  validity: 4,
  sequence: 5,
  ttl: 6,
  publicKey: 7,
  signatureV2: 8,
  data: 9,
} as const
const nsPerMs = 1_000_000n
const signaturePrefix = Buffer.from('ipns-signature:')
/** The only kind of validity there is: an end of life. As a text, it is what old signatures were made over. */
const endOfLife = 0

/** A signed record. Throws IPNS_INVALID when the value is too long. */
export function makeIpnsRecord({ value, sequence, validUntilMs, ttlMs }: IpnsClaim, signer: Signer): IpnsRecord {
  const valueBytes = Buffer.from(value)
  const validity = Buffer.from(new Date(validUntilMs).toISOString().replace('Z', '000000Z'))
  const ttl = BigInt(ttlMs) * nsPerMs
  const data = encode({
    Value: valueBytes,
    Validity: validity,
    ValidityType: endOfLife,
    Sequence: sequence,
    TTL: ttl,
  })
  const bytes = Buffer.concat([
    ...bytesField(numbers.value, valueBytes),
    ...bytesField(numbers.signatureV1, signer.sign(Buffer.concat([valueBytes, validity, Buffer.from('EOL')]))),
    ...varintField(numbers.validityType, endOfLife),
    ...bytesField(numbers.validity, validity),
    ...bigVarintField(numbers.sequence, sequence),
    ...bigVarintField(numbers.ttl, ttl),
    ...bytesField(numbers.signatureV2, signer.sign(Buffer.concat([signaturePrefix, data]))),
    ...bytesField(numbers.data, data),
  ])
  if (bytes.byteLength > limits.ipnsRecordBytesMax)
    throw invalid(`the path is too long: a record may have ${limits.ipnsRecordBytesMax} bytes`)
  return { value, sequence, validUntilNs: BigInt(validUntilMs) * nsPerMs, bytes }
}

/** What a record of this publisher says. Throws IPNS_INVALID and IPNS_EXPIRED. */
export function verifyIpnsRecord(
  bytes: Uint8Array,
  publisher: PeerId,
  { signer, nowMs }: { signer: Pick<Signer, 'verify'>; nowMs: number },
): IpnsRecord {
  if (bytes.byteLength > limits.ipnsRecordBytesMax) throw invalid('it is too large')
  const envelope = envelopeOf(bytes)
  const { signatureV2, data } = envelope
  if (!signatureV2?.byteLength || !data?.byteLength) throw invalid('it has no signature of the second kind')
  if (!signer.verify(publisher, Buffer.concat([signaturePrefix, data]), signatureV2))
    throw invalid('it was not signed by the key that it is named after')
  const said = saidIn(data)
  if (envelope.value || envelope.signatureV1) requireSame(envelope, said)
  const record = { value: textOf(said.value), sequence: said.sequence, validUntilNs: timeOf(said.validity), bytes }
  if (record.validUntilNs <= BigInt(nowMs) * nsPerMs)
    throw new CoreError('IPNS_EXPIRED', `the record was valid until ${validUntil(record)}`)
  return record
}

/** Negative when `a` is the newer record, positive when `b` is; of two with one sequence the one that is valid longer. */
export function compareIpnsRecords(a: IpnsRecord, b: IpnsRecord): number {
  return descending(a.sequence, b.sequence) || descending(a.validUntilNs, b.validUntilNs)
}

/** The end of a record's life, ISO 8601. */
export function validUntil({ validUntilNs }: IpnsRecord): string {
  return new Date(Number(validUntilNs / nsPerMs)).toISOString()
}

type Envelope = { [Name in keyof typeof numbers]?: Uint8Array }

function envelopeOf(bytes: Uint8Array): Envelope {
  const names = Object.fromEntries(Object.entries(numbers).map(([name, number]) => [number, name]))
  const envelope: Record<string, Uint8Array> = {}
  try {
    for (const field of fields(bytes)) {
      const name = names[field.number]
      if (name !== undefined) envelope[name] = field.bytes
    }
  } catch (error) {
    throw invalid('it is not protobuf', error)
  }
  return envelope
}

interface Said {
  value: Uint8Array
  validity: Uint8Array
  sequence: bigint
  ttl: bigint
}

function saidIn(data: Uint8Array): Said {
  let document: unknown
  try {
    document = decode(data)
  } catch (error) {
    throw invalid('what it signs is not DAG-CBOR', error)
  }
  const { Value, Validity, ValidityType, Sequence, TTL } = (document ?? {}) as Record<string, unknown>
  if (ValidityType !== endOfLife) throw invalid('it has a validity of an unknown kind')
  const [sequence, ttl] = [wholeNumber(Sequence), wholeNumber(TTL)]
  if (
    !(Value instanceof Uint8Array) ||
    !(Validity instanceof Uint8Array) ||
    sequence === undefined ||
    ttl === undefined
  )
    throw invalid('what it signs lacks a field')
  return { value: Value, validity: Validity, sequence, ttl }
}

/** The copies of the fields that old readers go by say the same. */
function requireSame(envelope: Envelope, said: Said): void {
  const same =
    Buffer.compare(envelope.value ?? none, said.value) === 0 &&
    Buffer.compare(envelope.validity ?? none, said.validity) === 0 &&
    bigVarint(envelope.validityType) === BigInt(endOfLife) &&
    bigVarint(envelope.sequence) === said.sequence &&
    bigVarint(envelope.ttl) === said.ttl
  if (!same) throw invalid('it says one thing to old readers and another to new ones')
}

const none = new Uint8Array(0)

function wholeNumber(value: unknown): bigint | undefined {
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) return undefined
  const number = BigInt(value as number | bigint)
  return number >= 0n ? number : undefined
}

function textOf(value: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  } catch (error) {
    throw invalid('its value is not text', error)
  }
}

// RFC 3339 with up to nine digits of fractions, which Date cuts to three.
function timeOf(validity: Uint8Array): bigint {
  const text = Buffer.from(validity).toString('latin1')
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  const wholeMs = match ? Date.parse(`${match[1]}${match[3]}`) : Number.NaN
  if (Number.isNaN(wholeMs)) throw invalid('the end of its life is not a time')
  return BigInt(wholeMs) * nsPerMs + BigInt((match?.[2] ?? '').padEnd(9, '0'))
}

function bigVarintField(number: number, value: bigint): Uint8Array[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  // The tag of a number field is that of `varintField`, whose values end at 2^53.
  return [varintField(number, 0)[0]!, Uint8Array.from([...bytes, Number(rest)])]
}

/** A field that is left out is 0. */
function bigVarint(bytes: Uint8Array = none): bigint {
  return bytes.reduceRight((value, byte) => (value << 7n) | BigInt(byte & 0x7f), 0n)
}

/** For sorting, the greatest first. */
export function descending(a: bigint, b: bigint): number {
  return a > b ? -1 : a < b ? 1 : 0
}

function invalid(why: string, cause?: unknown): CoreError {
  return new CoreError('IPNS_INVALID', `this is not a good IPNS record: ${why}`, { cause })
}
