// The suite that all IPFS blockstores pass, through a thin adapter. Our store has no `delete`: content stays while a pin needs
// it, so the adapter pins each block by itself, and deleting is unpinning and collecting.

import { registerHooks } from 'node:module'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import type { Abortable } from '../../src/base/abort.ts'
import { Block } from '../../src/core/block.ts'
import type { Store } from '../../src/store/open.ts'
import { putAll, storeKinds } from './stores.ts'

// The suite expects the words of its own test runner, and assertions from a toolchain that is not installed.
registerHooks({
  resolve: (name, context, next) =>
    name === 'aegir/chai'
      ? { url: new URL('./suite-words.ts', import.meta.url).href, shortCircuit: true }
      : next(name, context),
})
Object.assign(globalThis, { describe, it, before, after, beforeEach, afterEach })

type Source<T> = Iterable<T> | AsyncIterable<T>

interface Adapter extends Blockstore {
  close(): Promise<void>
}

function adapter(store: Store, leave: () => void): Adapter {
  const put = async (cid: CID, bytes: unknown, { signal }: Abortable = {}) => {
    signal?.throwIfAborted()
    const pieces = bytes instanceof Uint8Array ? [bytes] : await Array.fromAsync(bytes as Source<Uint8Array>)
    await putAll(store, [Block.verify(cid, Buffer.concat(pieces))], { signal })
    await store.pins.add(cid, { recursive: false })
    return cid
  }
  async function* get(cid: CID, { signal }: Abortable = {}) {
    signal?.throwIfAborted()
    try {
      yield (await store.get(cid, { signal })).bytes
    } catch (error) {
      throw Object.assign(error as Error, { name: 'NotFoundError' })
    }
  }
  const remove = async (cid: CID, { signal }: Abortable = {}) => {
    signal?.throwIfAborted()
    await store.pins.remove(cid)
    await store.gc({ signal })
  }
  const methods = {
    put,
    get,
    has(cid: CID, { signal }: Abortable = {}) {
      signal?.throwIfAborted()
      return store.has(cid)
    },
    delete: remove,
    async *putMany(source: Source<{ cid: CID; bytes: unknown }>, options?: Abortable) {
      for await (const { cid, bytes } of source) yield await put(cid, bytes, options)
    },
    async *getMany(source: Source<CID>, options?: Abortable) {
      options?.signal?.throwIfAborted()
      for await (const cid of source) yield { cid, bytes: get(cid, options) }
    },
    async *deleteMany(source: Source<CID>, options?: Abortable) {
      for await (const cid of source) {
        await remove(cid, options)
        yield cid
      }
    },
    async *getAll(options?: Abortable) {
      options?.signal?.throwIfAborted()
      for (const { cid } of store.pins.list()) yield { cid, bytes: get(cid, options) }
    },
    async close() {
      await store[Symbol.asyncDispose]()
      leave()
    },
  }
  return methods as unknown as Adapter
}

const { interfaceBlockstoreTests } = await import('interface-blockstore-tests')

for (const { kind, withPlace } of storeKinds)
  describe(`the interface of IPFS blockstores (${kind})`, () => {
    interfaceBlockstoreTests<Adapter>({
      setup: () =>
        new Promise((resolve, reject) => {
          const left = Promise.withResolvers<void>()
          withPlace(async ({ open }) => {
            resolve(adapter(await open(), left.resolve))
            await left.promise
          }).catch(reject)
        }),
      teardown: (store) => store.close(),
    })
  })
