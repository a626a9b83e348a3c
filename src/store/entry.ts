// What the catalog knows of one block, in a few bytes. The generation says when it was last written or asked to stay, the
// mark when a collection last reached it from a pin; both only grow.
import { readVarint, varintBytes } from '../base/frames.ts'
import type { BlockReference } from '../core/ports.ts'

interface Life {
  sizeBytes: number
  generation: number
  mark: number
}

export type Entry = Life &
  (
    | { kind: 'inline' }
    | { kind: 'file'; fileId: string }
    | { kind: 'reference'; reference: BlockReference; broken: boolean }
  )

const kinds = ['inline', 'file', 'reference'] as const
const idLength = 12
const utf8 = new TextEncoder()
const text = new TextDecoder()

export function encodeEntry(entry: Entry): Uint8Array {
  const head = [kinds.indexOf(entry.kind), entry.sizeBytes, entry.generation, entry.mark].map(varintBytes)
  if (entry.kind === 'file') head.push(utf8.encode(entry.fileId))
  if (entry.kind === 'reference') {
    const { path, offset, length, mtimeMs } = entry.reference
    head.push(varintBytes(entry.broken ? 1 : 0), varintBytes(offset), varintBytes(length))
    head.push(new Uint8Array(Float64Array.of(mtimeMs).buffer), utf8.encode(path))
  }
  return Buffer.concat(head)
}

export function decodeEntry(bytes: Uint8Array): Entry {
  let at = 0
  const number = () => {
    const { value, next } = readVarint(bytes, at)
    at = next
    return value
  }
  const kind = kinds[number()]
  const life = { sizeBytes: number(), generation: number(), mark: number() }
  if (kind === 'inline') return { ...life, kind }
  if (kind === 'file') return { ...life, kind, fileId: text.decode(bytes.subarray(at, at + idLength)) }
  const broken = number() === 1
  const [offset, length] = [number(), number()]
  const mtimeMs = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readDoubleLE(at)
  const path = text.decode(bytes.subarray(at + 8))
  return { ...life, kind: 'reference', broken, reference: { path, offset, length, mtimeMs } }
}
