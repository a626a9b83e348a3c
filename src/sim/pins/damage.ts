// What happens to those who keep content, besides the trouble that any peer may have: a block rots, a machine loses all that
// it had promised to keep while its peer goes on believing that it has it, some are cut off for long, and one is away for so
// long that others must take over.
import type { Random } from '../../base/random.ts'
import type { Cluster, SimulatedPeer } from '../cluster.ts'
import type { Faults } from '../faults.ts'
import { seconds } from '../history.ts'
import type { PinHistory } from './history.ts'
import type { PinProgram } from './program.ts'
import type { Witness } from './witness.ts'

type Peer = SimulatedPeer<PinProgram>

export interface DamageDeps {
  cluster: Cluster<PinProgram>
  history: PinHistory
  random: Random
  witness: Witness
  /** Who starts machines again, and knows which were lost. */
  faults: () => Faults<PinProgram>
}

/** Of three copies two may be lost. */
const lossesMost = 2
const awayMostMs = 150_000

export function damagesOf({ cluster, history, random, witness, faults }: DamageDeps): ((peer: Peer) => void)[] {
  const rot = (peer: Peer) => {
    witness.look()
    if (!peer.disk.blocks.rot(random)) return
    history.event(`a block rots at ${peer.name}`)
    witness.look(peer)
  }
  const empty = (peer: Peer) => {
    if (faults().wiped.size >= lossesMost) return
    faults().wiped.add(peer.name)
    witness.look()
    peer.disk.blocks.loseAll()
    history.event(`${peer.name} deletes all that it has accepted`)
    witness.look(peer)
  }
  const isolate = () => {
    const members = cluster.peers.filter((peer) => !faults().gone.has(peer))
    const side = members.filter(() => random.unit() < 0.4).slice(0, Math.floor(members.length / 2))
    if (side.length === 0) return
    const forMs = 40_000 + random.unit() * 80_000
    history.event(`${side.map(({ name }) => name).join(' ')} are cut off for ${seconds(forMs)} s`)
    cluster.partition(side)
    cluster.time.schedule(forMs, () => cluster.fabric.heal())
  }
  const away = (peer: Peer) => {
    const awayMs = 30_000 + random.unit() * (awayMostMs - 30_000)
    history.event(`${peer.name} is switched off for ${seconds(awayMs)} s`)
    const stopped = cluster.stop(peer)
    void stopped.then(() => cluster.time.schedule(awayMs, () => faults().start(peer)))
  }
  return [rot, rot, empty, isolate, away]
}
