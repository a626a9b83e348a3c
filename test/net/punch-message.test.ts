// The messages of hole punching: written as the specification has them, and read from anybody without harm.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { ByteReader } from '../../src/base/frames.ts'
import { limits } from '../../src/core/limits.ts'
import { plausibleAddresses, tcpEndpoint } from '../../src/net/punch-addresses.ts'
import { decodePunch, encodePunch } from '../../src/net/punch-message.ts'

const at = (text: string) => multiaddr(text)

async function unframed(bytes: Uint8Array): Promise<Uint8Array> {
  const pieces: (Uint8Array[] | undefined)[] = [[bytes], undefined]
  const frame = await new ByteReader(async () => pieces.shift()).frame(limits.punchMessageBytesMax)
  return frame!
}

const bytes = (...values: number[]) => Uint8Array.from(values)

test('SYNC and CONNECT are the bytes that others send', () => {
  assert.deepEqual(Buffer.from(encodePunch({ type: 'sync' })), Buffer.of(3, 0x08, 0xac, 0x02))
  const connect = encodePunch({ type: 'connect', addresses: [at('/ip4/203.0.113.7/tcp/4001')] })
  assert.equal(Buffer.from(connect).toString('hex'), '0c08641208' + '04cb007107' + '060fa1')
})

test('what is written is read again', async () => {
  const port = fc.integer({ min: 1, max: 65_535 })
  const address = fc.tuple(fc.ipV4(), port).map(([host, number]) => at(`/ip4/${host}/tcp/${number}`))
  await fc.assert(
    fc.asyncProperty(fc.array(address, { maxLength: limits.punchAddressesMax }), async (addresses) => {
      const read = decodePunch(await unframed(encodePunch({ type: 'connect', addresses })))
      assert.equal(read.type, 'connect')
      assert.deepEqual(read.type === 'connect' && read.addresses.map(String), addresses.map(String))
    }),
  )
})

test('any bytes are a message, or refused with a reason', () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    // Nearly right: a type, then fields of any kind.
    fc.uint8Array({ maxLength: 60 }).map((rest) => Uint8Array.from([0x08, 0x64, 0x12, rest.byteLength, ...rest])),
    fc
      .array(fc.uint8Array({ maxLength: 9 }), { maxLength: 40 })
      .map((all) => Uint8Array.from([0x08, 0x64, ...all.flatMap((each) => [0x12, each.byteLength, ...each])])),
  )
  fc.assert(
    fc.property(hostile, (input) => {
      try {
        const message = decodePunch(input)
        if (message.type !== 'connect') return
        assert.ok(message.addresses.length <= limits.punchAddressesMax)
        plausibleAddresses(message.addresses, ['10.0.0.0/8'])
      } catch (error) {
        assert.ok(['STREAM_BROKEN', 'PROTOBUF_INVALID'].includes((error as { code: string }).code), String(error))
      }
    }),
    { numRuns: 2_000 },
  )
})

test('a message without a type, or of another, is refused', () => {
  assert.throws(() => decodePunch(bytes()), { code: 'STREAM_BROKEN' })
  assert.throws(() => decodePunch(bytes(0x08, 0x65)), { code: 'STREAM_BROKEN' })
  assert.throws(() => decodePunch(bytes(0x08)), { code: 'PROTOBUF_INVALID' })
})

test('addresses past the limit, and those that nobody can read, are left out', async () => {
  const many = Array.from({ length: 100 }, (_, index) => at(`/ip4/8.8.8.8/tcp/${index + 1}`))
  const read = decodePunch(await unframed(encodePunch({ type: 'connect', addresses: many })))
  assert.equal(read.type === 'connect' && read.addresses.length, limits.punchAddressesMax)
  assert.deepEqual(decodePunch(bytes(0x08, 0x64, 0x12, 2, 0xff, 0x7f)), { type: 'connect', addresses: [] })
})

test('only addresses for TCP that are public, or of our own network, are dialed', () => {
  const told = [
    '/ip4/203.0.113.7/tcp/4001',
    '/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWCKgr2ujfN62mca7c8tFBQaznA19KVAg6qSjvk6n358g5',
    '/ip4/203.0.113.7/udp/4001/quic-v1',
    '/ip4/203.0.113.7/tcp/80/ws',
    '/ip4/203.0.113.7/tcp/0',
    '/dns4/example.org/tcp/4001',
    '/ip4/127.0.0.1/tcp/22',
    '/ip4/0.0.0.0/tcp/22',
    '/ip4/169.254.169.254/tcp/80',
    '/ip4/224.0.0.1/tcp/80',
    '/ip4/192.168.1.20/tcp/4001',
    '/ip4/192.168.2.20/tcp/4001',
    '/ip6/2001:db8::7/tcp/4001',
    '/ip6/::1/tcp/22',
    '/ip6/::ffff:7f00:1/tcp/22',
    '/ip6/fe80::1/tcp/22',
    '/ip6/fd00::1/tcp/22',
    '/ip4/203.0.113.9/tcp/4001/p2p/12D3KooWCKgr2ujfN62mca7c8tFBQaznA19KVAg6qSjvk6n358g5/p2p-circuit',
  ].map(at)
  const plausible = plausibleAddresses(told, ['192.168.1.7/24', 'nonsense']).map(tcpEndpoint)
  assert.deepEqual(plausible, [
    { host: '203.0.113.7', port: 4001 },
    { host: '192.168.1.20', port: 4001 },
    { host: '2001:db8::7', port: 4001 },
  ])
})
