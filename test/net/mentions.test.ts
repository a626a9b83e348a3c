// Peers that answers mention: the same again is passed over for a while, another address is news.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { limits } from '../../src/core/limits.ts'
import { times } from '../../src/core/times.ts'
import { libp2pPeerId } from '../../src/net/addresses.ts'
import { newIdentity, peerIdOf } from '../../src/net/identity.ts'
import { passOverOldMentions } from '../../src/net/mentions.ts'
import { VirtualClock } from '../twins/clock.ts'

test('a peer is news once in a while, and at a new address', async () => {
  const clock = new VirtualClock()
  let told = 0
  const answers = { safeDispatchEvent: () => ++told > 0 }
  passOverOldMentions(answers, clock)
  const tell: (type: string, init: object) => boolean = answers.safeDispatchEvent
  const id = libp2pPeerId(peerIdOf(newIdentity()))
  const mention = (peer = id, port = 1) => {
    tell('peer', { detail: { id: peer, multiaddrs: [multiaddr(`/ip4/127.0.0.1/tcp/${port}`)] } })
    return told
  }
  assert.equal(mention(), 1)
  assert.equal(mention(), 1)
  assert.equal(mention(libp2pPeerId(peerIdOf(newIdentity()))), 2)
  assert.equal(mention(id, 2), 3)
  assert.equal(mention(id, 2), 3)
  await clock.until(new Promise<void>((resolve) => clock.timer(times.dhtMentionMs, resolve)))
  assert.equal(mention(id, 2), 4)
})

test('of one peer no more addresses are heard than are believed, and none without end', () => {
  const heard: { multiaddrs: object[] }[] = []
  const answers = {
    safeDispatchEvent: (_: string, init: object) => heard.push((init as { detail: (typeof heard)[0] }).detail) > 0,
  }
  passOverOldMentions(answers, new VirtualClock())
  const tell: (type: string, init: object) => boolean = answers.safeDispatchEvent
  const id = libp2pPeerId(peerIdOf(newIdentity()))
  const [long, ...many] = [
    `/dns4/${'a'.repeat(100_000)}/tcp/1`,
    ...Array.from({ length: 1_000 }, (_, at) => `/ip4/10.0.0.1/tcp/${at + 1}`),
  ].map((text) => multiaddr(text))
  tell('peer', { detail: { id, multiaddrs: [long, ...many] } })
  assert.deepEqual(heard[0]?.multiaddrs, many.slice(0, limits.addressesPerPeerMax - 1))
})
