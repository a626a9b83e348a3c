// The names of a running peer as commands and programs use them: each call is an operation, which ends with the peer.
import { parseIpnsName } from '../core/ipns-name.ts'
import { toldIpns } from '../routing/ipns.ts'
import type { PeerNames } from './api.ts'
import type { Organs } from './assemble.ts'
import type { Operations } from './operations.ts'
import { publishable } from './refs.ts'

/** `needOrgans` throws NO_PEER while the peer is offline. */
export function peerNames(
  operations: Operations,
  needOrgans: () => Pick<Organs, 'names' | 'ipns' | 'members'>,
): PeerNames {
  const needNames = () => needOrgans().names
  return {
    publish: (ref, { lifetimeMs, ...options } = {}) =>
      operations.run(options, async (signal) => {
        const { ipns, names, members } = needOrgans()
        const value = await publishable(ref, { ipns, names }, members.self, { signal })
        const { record, servers } = await ipns.publish(value, { ...given({ lifetimeMs }), signal })
        return { ...toldIpns(members.self, record), servers }
      }),
    resolve: (name, options = {}) =>
      operations.run(options, async (signal) => {
        const peer = parseIpnsName(name)
        return toldIpns(peer, await needOrgans().ipns.resolve(peer, { signal }))
      }),
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
