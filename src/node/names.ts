// The names of a running peer as commands and programs use them: each call is an operation, which ends with the peer.
import type { Names } from '../records/names.ts'
import type { PeerNames } from './api.ts'
import type { Operations } from './operations.ts'

/** `needNames` throws NO_PEER while the peer is offline. */
export function peerNames(operations: Operations, needNames: () => Names): PeerNames {
  return {
    get: (name, options = {}) =>
      operations.run(options, (signal) => needNames().get(name, { ...given(options), signal })),
    set: (name, value, options = {}) =>
      operations.run(options, (signal) => needNames().set(name, value, { ...given(options), signal })),
    remove: (name, options = {}) =>
      operations.run(options, (signal) => needNames().remove(name, { ...given(options), signal })),
    list: (prefix = '', options = {}) => operations.stream(options, (signal) => needNames().list(prefix, { signal })),
    watch: (prefix = '', options = {}) => operations.stream(options, (signal) => needNames().watch(prefix, { signal })),
    history: (name, options = {}) => operations.stream(options, (signal) => needNames().history(name, { signal })),
  }
}

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** Without the options that are there and undefined. */
function given<T extends object>(options: T): Given<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>
}
