// What a REF leads to, by way of names of both kinds, with scripted namers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/random.ts'
import { formatIpnsName } from '../../src/core/ipns-name.ts'
import { limits } from '../../src/core/limits.ts'
import { formatRef } from '../../src/core/ref.ts'
import { type Namers, publishable, resolveRef } from '../../src/node/refs.ts'
import { newPeerId } from '../twins/dht.ts'

const random = seededRandom(1)
const peers = Array.from({ length: limits.ipnsDepthMax + 2 }, () => newPeerId(random))
const [anna, ben, eve] = peers as [(typeof peers)[0], (typeof peers)[0], (typeof peers)[0]]
const cid = 'bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4'
const names: Record<string, string> = { 'team/book': `/ipns/${anna}/intro`, secret: cid, broken: '/ipns/nobody' }
const published = new Map<string, string>([
  [anna, `/ipfs/${cid}/docs/`],
  [ben, `/ipns/${formatIpnsName(anna)}/more`],
  [eve, 'secret'],
  ...peers.slice(3).map((peer, index): [string, string] => [peer, `/ipns/${peers[index + 4] ?? peers[3]}`]),
])
const namers = {
  names: { get: async (name: string) => ({ value: names[name] ?? null }) },
  ipns: { resolve: async (peer: string) => ({ value: published.get(peer) }) },
} as unknown as Namers
const resolved = async (text: string, known: Namers | undefined = namers) => formatRef(await resolveRef(text, known))

test('IPNS names lead to content, with what comes after them, through other names', async () => {
  assert.equal(await resolved(`/ipns/${anna}`), `${cid}/docs`)
  assert.equal(await resolved(`ipns://${formatIpnsName(anna)}/a/b`), `${cid}/docs/a/b`)
  assert.equal(await resolved(`/ipns/${ben}/x`), `${cid}/docs/more/x`)
  assert.equal(await resolved('team/book/page'), `${cid}/docs/intro/page`)
  assert.equal(await resolved(`/ipfs/${cid}/y`), `${cid}/y`)
})

test('circles end, and what a stranger says is no name of ours', async () => {
  await assert.rejects(resolved(`/ipns/${peers[3]}`), { code: 'REF_NOT_FOUND', message: /perhaps in a circle/ })
  await assert.rejects(resolved(`/ipns/${eve}`), { code: 'REF_NOT_FOUND', message: /leads to 'secret'/ })
  await assert.rejects(resolved('broken'), { code: 'REF_NOT_FOUND', message: /holds text that is not a CID/ })
  await assert.rejects(resolveRef(`/ipns/${anna}`, undefined), { code: 'NO_PEER' })
  await assert.rejects(resolved('/ipns/example.org'), { code: 'REF_INVALID' })
})

test('an IPNS name is published as it is, other names as what they are now, and none as itself', async () => {
  assert.equal(await publishable(`ipns://${ben}/x`, namers, anna), `/ipns/${formatIpnsName(ben)}/x`)
  assert.equal(await publishable('secret/y', namers, anna), `/ipfs/${cid}/y`)
  assert.equal(await publishable(cid, namers, anna), `/ipfs/${cid}`)
  await assert.rejects(publishable(`/ipns/${anna}/x`, namers, anna), { code: 'REQUEST_INVALID' })
})
