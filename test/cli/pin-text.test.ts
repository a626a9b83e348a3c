// Pins as people read and ask for them: the line, the page and the preview, and flags that are no numbers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keepOptions, pinLine, pinPage, previewText } from '../../src/cli/pin-text.ts'
import type { PeerId } from '../../src/core/peer.ts'
import type { PinInfo } from '../../src/node/api.ts'

const [ben, cleo] = ['12D3ben', '12D3cleo'] as PeerId[] as [PeerId, PeerId]
const pin: PinInfo = {
  cid: 'bafy',
  copies: 3,
  held: 1,
  holders: [ben],
  state: 'waiting',
  why: 'waiting for a third member',
  size: 2_048,
  places: [
    { peerId: ben, zone: 'attic', state: 'held', bytes: 2_048 },
    { peerId: cleo, zone: 'cellar', state: 'fetching', bytes: 1_024, why: 'slow' },
  ],
  bytesToGo: 1_024,
  bytesPerSecond: 512,
  expires: '2030-01-01T00:00:00.000Z',
}

test('a pin is a line', () => {
  assert.equal(pinLine(pin), 'bafy  1 of 3 copies  2.0 KiB  waiting: waiting for a third member')
  const alone: PinInfo = { ...pin, copies: 1, size: null, state: 'held' }
  delete alone.why
  assert.equal(pinLine(alone), 'bafy  1 of 1 copy  held')
})

test('a pin is a page, with every place, what is to go and until when', () => {
  assert.equal(
    pinPage(pin),
    [
      'bafy',
      '  1 of 3 copies, 2.0 KiB, waiting',
      '  waiting for a third member',
      '  held      12D3ben  zone attic  2.0 KiB',
      '  fetching  12D3cleo  zone cellar  1.0 KiB of 2.0 KiB  slow',
      '  1.0 KiB to go, 512 B/s, 2.0 s left',
      '  until 2030-01-01T00:00:00.000Z',
    ].join('\n'),
  )
  assert.match(pinPage({ ...pin, bytesPerSecond: 0 }), /1\.0 KiB to go, nothing is on its way now\n/)
  const alone: PinInfo = { ...pin, size: null, places: [], bytesToGo: 0, state: 'held' }
  assert.match(pinPage(alone), /^bafy\n {2}1 of 3 copies, held\n.*\n {2}held by 12D3ben\n/)
})

test('a preview says what moves where, and what will be short', () => {
  const preview = { change: 'leave', peerId: ben, pins: 2, bytes: 3_072, short: 1 } as const
  assert.equal(
    previewText({ ...preview, byPeer: { [cleo]: 3_072 }, unreached: [ben] }),
    [
      'if this peer leaves: 2 pins with 3.0 KiB in all are copied',
      '  3.0 KiB to 12D3cleo',
      '  1 pin will have fewer copies than wanted: nobody is left to hold them',
      '  there may be more: 12D3ben did not answer',
    ].join('\n'),
  )
  const none = { ...preview, pins: 0, bytes: 0, short: 0, byPeer: {}, unreached: [] }
  assert.equal(
    previewText({ ...none, change: 'zone', zone: 'attic' }),
    'if this peer moves to zone attic: nothing is copied',
  )
})

test('flags are numbers and times, or an error that names them', () => {
  assert.deepEqual(keepOptions({ copies: '3', wait: '16' }), { copies: 3, wait: 16, expiresMs: undefined })
  for (const given of ['0', '17', '-1', '1.5', 'all', '', 'NaN'])
    assert.throws(() => keepOptions({ copies: given }), { code: 'REQUEST_INVALID', message: /--copies/ }, given)
  assert.throws(() => keepOptions({ expires: 'soon' }), { code: 'TIME_INVALID' })
  const { expiresMs = 0 } = keepOptions({ expires: '30d' })
  const early = keepOptions({ expires: '29d' }).expiresMs ?? 0
  assert.ok(expiresMs - early >= 86_300_000 && expiresMs - early <= 86_500_000)
})
