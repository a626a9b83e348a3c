// CIDs that others have published: the same bytes must have them here too. Sources: IPIP-499 and Kubo's
// test/cli/cid_profiles_test.go for the files and folders at the thresholds, Kubo's documentation for the rest.
import assert from 'node:assert/strict'
import { createCipheriv, createHash } from 'node:crypto'
import { test } from 'node:test'
import { addStream, discardingWriter } from '../../src/files/add.ts'
import { packed } from '../../src/files/dag-pb.ts'
import { directoryBlocks } from '../../src/files/directory.ts'
import { defaultProfile, type Profile, profileNamed, unixfsV0, unixfsV1 } from '../../src/files/profiles.ts'
import { leafBlock, partOf } from '../../src/files/unixfs.ts'

const KiB = 1024
const zeros = (length: number) => [new Uint8Array(length)]
const text = (content: string) => [Buffer.from(content)]

async function cidOf(pieces: Iterable<Uint8Array>, profile: Profile): Promise<string> {
  async function* stream() {
    yield* pieces
  }
  return (await addStream({ writer: discardingWriter }, stream(), { profile })).cid.toString()
}

test('small files', async () => {
  const vectors: [Uint8Array[], string, string][] = [
    [
      zeros(10 * KiB * KiB),
      'QmaJ6kN9fW3TKpVkpf1NuW7cjhHjNp5Jwr3cQuHzsoZWkJ',
      'bafybeibfjdi66hrbmooad7adyrxlrjsn6cizfqmiyupkpye7nropwx4rya',
    ],
    [
      text('hello world\n'),
      'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o',
      'bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4',
    ],
    [
      text('hello world'),
      'Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD',
      'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e',
    ],
    [
      [],
      'QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH',
      'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku',
    ],
  ]
  for (const [pieces, v0, v1] of vectors) {
    assert.equal(await cidOf(pieces, unixfsV0), v0)
    assert.equal(await cidOf(pieces, unixfsV1), v1)
  }
})

test('files around the fan-out of a node', async () => {
  const vectors: [number, string, Profile, string][] = [
    [44_544, 'v0-seed', unixfsV0, 'QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2'],
    [44_800, 'v0-seed', unixfsV0, 'QmepeWtdmS1hHXx1oZXsPUv6bMrfRRKfZcoPPU4eEfjnbf'],
    [1025 * KiB, 'v1-2025-seed', unixfsV1, 'bafybeihmzokxxjqwxjcryerhp5ezpcog2wcawfryb2xm64xiakgm4a5jue'],
  ]
  for (const [kib, seed, profile, cid] of vectors) assert.equal(await cidOf(keystream(seed, kib * KiB), profile), cid)
})

test('folders at the threshold of a HAMT and just over it', () => {
  const vectors: [number, number, number, Profile, string][] = [
    [4096, 30, 30, unixfsV0, 'QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN'],
    [4033, 31, 31, unixfsV0, 'QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP'],
    [4766, 11, 21, unixfsV1, 'bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4'],
    [4766, 11, 22, unixfsV1, 'bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu'],
  ]
  for (const [count, length, lastLength, profile, cid] of vectors) {
    const leaf = partOf(leafBlock(profile, Buffer.from('x')), 1)
    const entries = namesOf(count, length, lastLength, `hamt-${profile.name}`).map((name) => packed({ ...leaf, name }))
    assert.equal(rootOf(profile, entries), cid)
  }
})

test('the empty folder', () => {
  assert.equal(rootOf(unixfsV0, []), 'QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn')
  assert.equal(rootOf(unixfsV1, []), 'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354')
})

test('profiles are found by name', () => {
  assert.equal(profileNamed('unixfs-v0-2015'), unixfsV0)
  assert.equal(profileNamed('unixfs-v1-2025'), defaultProfile)
  assert.throws(() => profileNamed('v1'), {
    code: 'PROFILE_UNKNOWN',
    message: /choose unixfs-v1-2025 or unixfs-v0-2015/,
  })
})

function rootOf(profile: Profile, entries: Parameters<typeof directoryBlocks>[1]): string {
  const blocks = directoryBlocks(profile, entries)
  let next = blocks.next()
  while (!next.done) next = blocks.next()
  return next.value.cid.toString()
}

function cipher(seed: string) {
  return createCipheriv('chacha20', createHash('sha256').update(seed).digest(), Buffer.alloc(16))
}

function* keystream(seed: string, length: number): Generator<Uint8Array> {
  const stream = cipher(seed)
  const zeros = Buffer.alloc(KiB * KiB)
  for (let left = length; left > 0; left -= zeros.byteLength)
    yield stream.update(zeros.subarray(0, Math.min(left, zeros.byteLength)))
}

function namesOf(count: number, length: number, lastLength: number, seed: string): string[] {
  const letters = 'abcdefghijklmnopqrstuvwxyz01234567890-_'
  const chance = cipher(seed).update(Buffer.alloc(KiB * KiB))
  return Array.from({ length: count }, (_, index) => {
    const own = chance.subarray(index * length, index * length + (index === count - 1 ? lastLength : length))
    return Array.from(own, (byte) => letters[byte % letters.length]).join('')
  })
}
