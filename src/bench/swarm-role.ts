// One of the processes of `sim network`: it runs its share of the swarm's peers and does the steps that its parent has
// planned for them. It keeps nothing, and is killed when the measuring is over.
import { secretsOf } from '../net/secrets.ts'
import { countBuffersAsHeap } from '../node/heap.ts'
import { answerParent } from './role.ts'
import { type Gauge, type Outcome, SwarmPeers } from './swarm-peers.ts'
import type { Step } from './swarm-plan.ts'

export type SwarmCommand =
  /** Comes first; the secret is base64. */
  { do: 'open'; secret: string; seed: number } | { do: 'run'; steps: Step[] } | { do: 'gauge' }

export interface SwarmAnswer {
  outcomes?: Outcome[]
  gauge?: Gauge
}

let peers: SwarmPeers | undefined

countBuffersAsHeap()

answerParent<SwarmCommand, SwarmAnswer>(async (command) => {
  switch (command.do) {
    case 'open': {
      const secrets = secretsOf({ kind: 'member', bytes: Buffer.from(command.secret, 'base64') })
      peers = new SwarmPeers({}, { secrets, seed: command.seed })
      return {}
    }
    case 'run':
      return { outcomes: await peers!.run(command.steps) }
    case 'gauge':
      return { gauge: peers!.gauge() }
  }
})
