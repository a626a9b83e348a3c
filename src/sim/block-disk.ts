// The part of a simulated disk that holds the blocks of a store, as somebody sees it who takes the disk out and reads every
// byte: what is durable there and true to its hash, and what is pinned. It can rot, and lose what it had, while the store
// that runs on it knows nothing; it never repairs anything.
import { CID } from 'multiformats/cid'
import type { Random } from '../base/random.ts'
import { matches } from '../core/block.ts'
import { nameOf } from '../store/catalog.ts'
import { decodeEntry } from '../store/entry.ts'
import { MemoryDisk } from '../store/memory-disk.ts'

export class BlockDisk {
  readonly memory = new MemoryDisk()
  /** By the very bytes: hashing everything again at every look would take most of a run. */
  readonly #true = new WeakMap<Uint8Array, boolean>()

  /** True if the block is durable, and its bytes are right. */
  holds(cid: CID): boolean {
    const name = nameOf(cid.multihash.bytes)
    const bytes = this.#bytesOf(name)
    if (!bytes) return false
    const known = this.#true.get(bytes)
    if (known !== undefined) return known
    const isTrue = matches(cid, bytes)
    this.#true.set(bytes, isTrue)
    return isTrue
  }

  /** True if the catalog has the block, whatever has become of its bytes. */
  lists(cid: CID): boolean {
    return this.#map('index').has(nameOf(cid.multihash.bytes))
  }

  isPinned(root: CID): boolean {
    return this.#map('pins').has(nameOf(CID.createV1(root.code, root.multihash).bytes))
  }

  /** One block rots. False if there is none. */
  rot(random: Random): boolean {
    const names = [...this.#map('index').keys()]
    const name = names[Math.floor(random.unit() * names.length)]
    if (name === undefined) return false
    this.#garble(name)
    return true
  }

  /** Every block is gone, and the catalog believes that they are all there. */
  loseAll(): void {
    for (const name of this.#map('index').keys()) this.#garble(name)
    this.memory.files.clear()
  }

  // In place: a running store has the same bytes before it. Those of a file it may have from whoever wrote them: a copy.
  #garble(name: string): void {
    const bytes = this.#bytesOf(name)
    if (!bytes) return
    const fileId = this.#fileOf(name)
    const file = fileId === undefined ? undefined : this.memory.files.get(fileId)
    const rotten = file ? bytes.slice() : bytes
    for (let at = 0; at < rotten.byteLength; at += 16) rotten[at]! ^= 0xff
    this.#true.delete(rotten)
    if (file) this.memory.files.set(file.fileId, { ...file, bytes: rotten })
  }

  #bytesOf(name: string): Uint8Array | undefined {
    const file = this.#fileOf(name)
    if (file) return this.memory.files.get(file)?.bytes
    return this.#map('index').has(name) ? this.#map('inline').get(name) : undefined
  }

  #fileOf(name: string): string | undefined {
    const entry = this.#map('index').get(name)
    const decoded = entry && decodeEntry(entry)
    return decoded?.kind === 'file' ? decoded.fileId : undefined
  }

  #map(name: string): Map<string, Uint8Array> {
    return (this.memory.maps.get(name) as Map<string, Uint8Array> | undefined) ?? new Map()
  }
}
