// Promises of those who keep content broken on purpose, one at a time, to see that the checkers notice. They are ports that
// replicas are handed instead of the real ones; nothing in production replaces any.
import type { Ports } from '../../node/assemble.ts'

type Spoil = NonNullable<Ports['spoil']>
type Deps = ReturnType<Spoil>

export const pinPlants = ['held-too-soon', 'trims-too-soon', 'names-blindly'] as const
export type PinPlant = (typeof pinPlants)[number]

/** The ports with a bug in them. */
export function spoilerOf(plant: PinPlant | undefined): Spoil | undefined {
  switch (plant) {
    // A holder says that it holds what it has only begun to fetch.
    case 'held-too-soon':
      return (real) => ({ ...real, fetcher: hasty(real.fetcher) })
    // A driver that is cut off takes everybody for alive, and names them.
    case 'names-blindly':
      return (real) => ({ ...real, membership: trusting(real.membership) })
    // A driver takes everybody who has begun for one that has finished, and lets those go that had all of it.
    case 'trims-too-soon':
      return (real) => ({ ...real, openCalls: async (options) => hopeful(await real.openCalls(options)) })
    default:
      return undefined
  }
}

/** Says that all has come when only the root has. */
function hasty(fetcher: Deps['fetcher']): Deps['fetcher'] {
  return {
    session(root, lease, options) {
      const session = fetcher.session(root, lease, options)
      return {
        get: (cid, more) => session.get(cid, more),
        fetchDag: async (cid, more) => void (await session.get(cid, more)),
        report: () => session.report(),
        [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
      }
    },
  }
}

/** Takes everybody for alive. */
function trusting(membership: Deps['membership']): Deps['membership'] {
  const alive = <M extends { liveness: string }>(member: M): M => ({ ...member, liveness: 'alive' })
  return {
    self: membership.self,
    members: () => membership.members().map(alive),
    member: (peer) => {
      const member = membership.member(peer)
      return member && alive(member)
    },
    view: () => membership.view(),
    proven: (peer) => membership.proven(peer),
    claims: () => membership.claims(),
    learn: (claims) => membership.learn(claims),
    onChange: (listen) => membership.onChange(listen),
  }
}

type Calls = Awaited<ReturnType<Deps['openCalls']>>

/** Hears `held` where a member has said `fetching`: texts of DAG-CBOR, with their lengths before them. */
function hopeful(calls: Calls): Calls {
  const [said, heard] = ['\x68fetching', '\x64held']
  return {
    call: async (peer, request, options) => {
      const answer = Buffer.from(await calls.call(peer, request, options)).toString('latin1')
      return new Uint8Array(Buffer.from(answer.replaceAll(said, heard), 'latin1'))
    },
    [Symbol.asyncDispose]: () => calls[Symbol.asyncDispose](),
  }
}
