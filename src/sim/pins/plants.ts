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
    case 'held-too-soon':
      return (real) => ({ ...real, fetcher: hasty(real.fetcher) })
    case 'names-blindly':
      return (real) => ({ ...real, membership: trusting(real.membership) })
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
