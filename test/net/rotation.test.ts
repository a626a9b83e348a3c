// Rotations between real hosts: who ends with the new secret, who may still come with the old one, and who may not.
import assert from 'node:assert/strict'
import test from 'node:test'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Scope } from '../../src/base/scope.ts'
import { openCalls } from '../../src/core/calls.ts'
import type { Member } from '../../src/core/member.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { Membership } from '../../src/core/ports.ts'
import { times } from '../../src/core/times.ts'
import { type Host, openHost } from '../../src/net/host.ts'
import { newIdentity } from '../../src/net/identity.ts'
import { openRotations, type Rotations } from '../../src/net/rotation.ts'
import { keysOf, type Secrets, secretsOf } from '../../src/net/secrets.ts'
import { MemoryTable } from '../twins/table.ts'
import { until } from '../twins/until.ts'
import { addressOf, privateNetwork, secret, testHost } from './hosts.ts'

interface Peer {
  host: Host
  rotations: Rotations
  identity: Uint8Array
  /** As a home would keep them. */
  kept: () => Secrets
  /** Members that this peer knows, and those that have proven themselves to it. */
  known: Set<PeerId>
  proven: Set<PeerId>
  /** True while nothing can be written. */
  failing: boolean
  /** Moves this peer's wall clock. */
  later: (byMs: number) => void
  stop: () => Promise<void>
}

interface PeerOptions {
  identity?: Uint8Array
  secrets?: Secrets
  bootstrap?: string[]
}

/** Proofs go over calls here, as the members organ does it; each peer believes the proofs it was given. */
async function openPeer(scope: Scope, options: PeerOptions = {}): Promise<Peer> {
  let peer: Peer | undefined
  const own = scope.use(new Scope())
  let shiftMs = 0
  const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + shiftMs }
  let kept = options.secrets ?? secretsOf({ kind: 'member', bytes: secret })
  const identity = options.identity ?? newIdentity()
  const deps = { clock, random: systemRandom, log: silentLog }
  const host = own.use(
    await openHost(
      { ...deps, datastore: new MemoryTable() },
      {
        identity,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        bootstrap: options.bootstrap ?? [],
        network: { kind: 'private', secrets: kept },
        mdns: false,
      },
    ),
  )
  const { network, signer } = host
  const known = new Set<PeerId>([network.self])
  const proven = new Set<PeerId>()
  const proofs = own.use(
    await openCalls(
      { network, clock, log: silentLog },
      {
        protocol: '/test/proof',
        answer: async (proof, from) => {
          if (host.admission.proves(from, proof)) proven.add(from)
          return host.admission.proof() ?? new Uint8Array(0)
        },
      },
    ),
  )
  network.onPeer(({ peer, connected }) => {
    if (!connected) proven.delete(peer)
    else
      void proofs.call(peer, host.admission.proof() ?? new Uint8Array(0)).then(
        (proof) => host.admission.proves(peer, proof) && proven.add(peer),
        () => {},
      )
  })
  const members = () => [...known].sort().map((peer) => ({ peer, state: 'joined' }) as Member)
  const membership = {
    self: network.self,
    members,
    member: (peer: PeerId) => members().find((member) => member.peer === peer),
    proven: (peer: PeerId) => proven.has(peer),
  } as Partial<Membership> as Membership
  const rotations = own.use(
    await openRotations({
      ...deps,
      network,
      membership,
      signer,
      secrets: () => host.secrets(),
      adopt: async (secrets, only) => {
        if (peer?.failing) throw new Error('the disk is full')
        kept = secrets
        host.changeSecrets(secrets, only)
      },
    }),
  )
  peer = {
    host,
    rotations,
    identity,
    known,
    proven,
    failing: false,
    kept: () => kept,
    later: (byMs) => {
      shiftMs += byMs
    },
    stop: () => own.close(),
  }
  return peer
}

/** So many members, all connected and proven to each other. */
async function cluster(scope: Scope, count: number): Promise<[Peer, Peer, Peer, ...Peer[]]> {
  const peers = await Promise.all(Array.from({ length: count }, () => openPeer(scope)))
  for (const peer of peers) for (const other of peers) peer.known.add(other.host.network.self)
  for (const [index, peer] of peers.entries())
    for (const other of peers.slice(index + 1)) await peer.host.network.connect(addressOf(other.host))
  await proven(peers)
  return peers as [Peer, Peer, Peer, ...Peer[]]
}

async function proven(peers: Peer[]): Promise<void> {
  const all = (peer: Peer) => peers.every((other) => other === peer || peer.proven.has(idOf(other)))
  await until('all have proven themselves', () => peers.every(all))
}

const idOf = ({ host }: Peer) => host.network.self
const keyId = (peer: Peer) => keysOf(peer.kept().current).keyId
const connectedTo = (peer: Peer, other: Peer) =>
  peer.host.network.connected().some(({ peer: id }) => id === idOf(other))
const stepOf = (peer: Peer) => peer.rotations.step(new AbortController().signal)

test('a rotation reaches every member that is there, and both secrets connect for the stated time', async () => {
  await using scope = new Scope()
  const [ann, ben, cleo] = await cluster(scope, 3)
  // Cleo sleeps while the others rotate, and wakes with what she had.
  await cleo.stop()
  const oldId = keyId(ann)
  const { generation, reached, missed } = await ann.rotations.rotate({ exclude: [] })
  assert.deepEqual([generation, reached, missed], [1, [idOf(ben)], [idOf(cleo)]])
  assert.equal(keyId(ann), keyId(ben))
  assert.notEqual(keyId(ann), oldId)
  assert.ok(connectedTo(ann, ben), 'connections stand')

  const awake = await openPeer(scope, { identity: cleo.identity, secrets: cleo.kept() })
  for (const peer of [ann, ben]) awake.known.add(idOf(peer))
  await awake.host.network.connect(addressOf(ben.host))
  await proven([awake, ben])
  // Not the one who rotated hands it on.
  await stepOf(ben)
  assert.equal(keyId(awake), keyId(ben))
  assert.match(ben.rotations.status(), /every member/)
})

test('after the stated time the old secret connects nobody, and before it no stranger', async () => {
  await using scope = new Scope()
  const [ann, ben, cleo] = await cluster(scope, 3)
  await cleo.stop()
  await ann.rotations.rotate({ exclude: [] })
  await using stranger = await testHost({ network: privateNetwork() })
  for (const peer of [ann, ben]) {
    await assert.rejects(stranger.network.connect(addressOf(peer.host)), {
      code: 'DIAL_FAILED',
      message: /invite line/,
    })
    await assert.rejects(peer.host.network.connect(addressOf(stranger)), { code: 'OTHER_NETWORK' })
    await until('it is hung up on', () => stranger.network.connected().length === 0)
    assert.ok(!peer.host.network.connected().some(({ peer: id }) => id === stranger.network.self))
    assert.ok(!peer.host.admission.proves(stranger.network.self, stranger.admission.proof()!))
  }
  const awake = await openPeer(scope, { identity: cleo.identity, secrets: cleo.kept() })
  assert.ok(ann.host.admission.proves(idOf(awake), awake.host.admission.proof()!))
  ann.later(times.rotationOverlapMs + 1)
  assert.ok(!ann.host.admission.proves(idOf(awake), awake.host.admission.proof()!))
  await assert.rejects(ann.host.network.connect(addressOf(awake.host)), { code: 'OTHER_NETWORK' })
})

test('who is excluded is out at once, and stays out with any name', async () => {
  await using scope = new Scope()
  const [ann, ben, cleo, dora] = (await cluster(scope, 4)) as [Peer, Peer, Peer, Peer]
  const { reached, missed } = await ann.rotations.rotate({ exclude: [idOf(cleo)] })
  assert.deepEqual([reached.sort(), missed], [[idOf(ben), idOf(dora)].sort(), []])
  assert.equal(new Set([ann, ben, dora].map(keyId)).size, 1)
  assert.notEqual(keyId(cleo), keyId(ann))
  await until('her connections are closed', () => [ann, ben, dora].every((peer) => !connectedTo(peer, cleo)))
  assert.ok(connectedTo(ann, ben) && connectedTo(ben, dora))
  await using other = await testHost({ network: privateNetwork() })
  for (const peer of [ann, ben, dora]) {
    assert.ok(!peer.host.admission.proves(idOf(cleo), cleo.host.admission.proof()!))
    for (const guest of [cleo.host, other]) {
      await assert.rejects(guest.network.connect(addressOf(peer.host)), { code: 'DIAL_FAILED', message: /invite line/ })
      await until('it is hung up on', () => !guest.network.connected().some(({ peer: id }) => id === idOf(peer)))
      await assert.rejects(peer.host.network.connect(addressOf(guest)), { code: /OTHER_NETWORK|DIAL_FAILED/ })
    }
    peer.later(times.rotationHandMs + 1)
  }
  // A restart does not let her in either, and from then on she is told why.
  await ann.stop()
  const again = await openPeer(scope, { identity: ann.identity, secrets: ann.kept() })
  again.later(times.rotationHandMs + 1)
  await assert.rejects(again.host.network.connect(addressOf(cleo.host)), { code: 'OTHER_NETWORK' })
  await again.host.network.connect(addressOf(ben.host))
})

test('two rotations at once end with one secret, and whoever either shut out is out', async () => {
  for (const excludes of [false, true]) {
    await using scope = new Scope()
    const [ann, ben, cleo, dora] = (await cluster(scope, 4)) as [Peer, Peer, Peer, Peer]
    await Promise.all([
      ann.rotations.rotate({ exclude: excludes ? [idOf(cleo)] : [] }),
      ben.rotations.rotate({ exclude: excludes ? [idOf(dora)] : [] }),
    ])
    const left = excludes ? [ann, ben] : [ann, ben, cleo, dora]
    await until('all have one secret', async () => {
      for (const peer of left) await stepOf(peer)
      return new Set(left.map(keyId)).size === 1
    })
    if (excludes) for (const peer of [cleo, dora]) assert.notEqual(keyId(peer), keyId(ann))
  }
})

test('a secret is taken only from a proven member, and only if a known member made it', async () => {
  await using scope = new Scope()
  const [ann, ben, cleo] = await cluster(scope, 3)
  ann.proven.delete(idOf(ben))
  const { reached, missed } = await ben.rotations.rotate({ exclude: [] })
  assert.deepEqual([reached, missed], [[idOf(cleo)], [idOf(ann)]])
  assert.equal(ann.kept().generation, 0)
  // Cleo is proven to Ann, but Ann has never heard of Ben, who made it.
  ann.known.delete(idOf(ben))
  await stepOf(cleo)
  assert.equal(ann.kept().generation, 0)
  ann.known.add(idOf(ben))
  await stepOf(cleo)
  assert.equal(keyId(ann), keyId(ben))
})

test('a secret that could not be kept is not put in force', async () => {
  await using scope = new Scope()
  const [ann, ben] = await cluster(scope, 3)
  ben.failing = true
  const { reached } = await ann.rotations.rotate({ exclude: [] })
  assert.ok(!reached.includes(idOf(ben)))
  assert.equal(ben.host.secrets()?.generation, 0)
  ben.failing = false
  await stepOf(ann)
  assert.equal(keyId(ann), keyId(ben))
})

test('an exclusion of oneself and peers that are no members are refused', async () => {
  await using scope = new Scope()
  const [ann, ben] = await cluster(scope, 3)
  await assert.rejects(ann.rotations.rotate({ exclude: [idOf(ann)] }), { code: 'ROTATION_REFUSED', message: /leave/ })
  assert.equal(ann.kept().generation, 0)
  const { networkKey } = keysOf(ann.kept().current)
  const hub = await openPeer(scope, { secrets: secretsOf({ kind: 'hub', bytes: networkKey }) })
  await hub.host.network.connect(addressOf(ben.host))
  assert.equal(hub.host.admission.proof(), undefined)
  await assert.rejects(hub.rotations.rotate({ exclude: [] }), { code: 'NOT_A_MEMBER' })
})
