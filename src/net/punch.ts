// One run of DCUtR (libp2p specs, relay/DCUtR.md) on either side: agree over the relay, then dial at the same moment. What
// a dial is, and over what is spoken, are handed in; nothing here knows libp2p, so time can be a test's.
//
// The side that was called over the relay starts (it is the one that surely cannot be dialed), and acts as the server of the
// new connection: after a simultaneous open TCP itself has no roles. Each try has a stream of its own, as go-libp2p and
// rust-libp2p have it, although the specification would use one again: theirs answer once per stream.
import type { Multiaddr } from '@multiformats/multiaddr'
import { type Abortable, withDeadline } from '../base/abort.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { sentenceOf } from '../base/errors.ts'
import { ByteReader } from '../base/frames.ts'
import { limits } from '../core/limits.ts'
import type { Channel } from '../core/ports.ts'
import { times } from '../core/times.ts'
import { NetError } from './errors.ts'
import { decodePunch, encodePunch, type PunchMessage } from './punch-message.ts'

export const punchProtocol = '/libp2p/dcutr'

/** What one side can do towards the other. */
export interface PunchSide {
  /** Where others see the port that we dial from; throws DIAL_FAILED if nobody has told us. */
  seenAt(): Multiaddr[]
  /** Of the addresses that the other side told, those that we are ready to dial. */
  plausible(addresses: Multiaddr[]): Multiaddr[]
  /** Dials all of them from that port until one connects. Throws when none has. */
  dial(addresses: Multiaddr[], role: 'client' | 'server', signal: AbortSignal): Promise<void>
}

export interface PunchStarter extends PunchSide {
  /** Dials the other side as anybody would; false if there is no address to try, or it does not answer. */
  dialPlainly(signal: AbortSignal): Promise<boolean>
  /** A new stream over the relay. */
  open(options: Abortable): Promise<Channel>
}

/** How a direct connection came about: the other side could be dialed all along, or at which try the hole was there. */
export type Punched = { way: 'plain' } | { way: 'punched'; tries: number }

/** The starting side. Throws DIAL_FAILED after the last try, else what the stream throws. */
export async function startPunch(
  { clock, side }: { clock: Clock; side: PunchStarter },
  options: Abortable = {},
): Promise<Punched> {
  const plainly = within(clock, times.punchPlainMs, (signal) => side.dialPlainly(signal), options)
  if (await plainly.catch(() => false)) return { way: 'plain' }
  options.signal?.throwIfAborted()
  let failure: unknown
  for (let tries = 1; tries <= limits.punchTries; tries++) {
    const { addresses, halfWayMs } = await agree(clock, side, options)
    // By then our SYNC has arrived, and the other side dials.
    await sleep(clock, halfWayMs, options.signal)
    try {
      await within(clock, times.punchDialMs, (signal) => side.dial(addresses, 'server', signal), options)
      return { way: 'punched', tries }
    } catch (error) {
      options.signal?.throwIfAborted()
      failure = error
    }
  }
  throw new NetError('DIAL_FAILED', `no hole could be punched: ${sentenceOf(failure)}`, { cause: failure })
}

/** The side that is asked, with the stream on which it was. Throws when the stream breaks or no dial succeeds. */
export async function answerPunch(
  { clock, side }: { clock: Clock; side: PunchSide },
  channel: Channel,
  options: Abortable = {},
): Promise<void> {
  const addresses = await within(
    clock,
    times.punchTalkMs,
    async (signal) => {
      const read = reader(channel, signal)
      const told = side.plausible((await read('connect')).addresses)
      if (told.length === 0) throw nowhere()
      await channel.write([encodePunch({ type: 'connect', addresses: side.seenAt() })], { signal })
      await read('sync')
      return told
    },
    options,
  )
  // At once: the other side waits for half a round trip only.
  void channel.close().catch(() => {})
  await within(clock, times.punchDialMs, (signal) => side.dial(addresses, 'client', signal), options)
}

/** Tells where we are, hears where the other side is, and how far away; the other side dials when SYNC arrives. */
async function agree(
  clock: Clock,
  side: PunchStarter,
  options: Abortable,
): Promise<{ addresses: Multiaddr[]; halfWayMs: number }> {
  const talk = async (signal: AbortSignal) => {
    const seenAt = side.seenAt()
    const channel = await side.open({ signal })
    try {
      const read = reader(channel, signal)
      const startMs = clock.monotonicMs()
      await channel.write([encodePunch({ type: 'connect', addresses: seenAt })], { signal })
      const told = await read('connect')
      const halfWayMs = (clock.monotonicMs() - startMs) / 2
      const addresses = side.plausible(told.addresses)
      if (addresses.length === 0) throw nowhere()
      await channel.write([encodePunch({ type: 'sync' })], { signal })
      void channel.close().catch(() => {})
      return { addresses, halfWayMs }
    } catch (error) {
      channel.abort(error as Error)
      throw error
    }
  }
  return await within(clock, times.punchTalkMs, talk, options)
}

function reader(channel: Channel, signal: AbortSignal) {
  const bytes = new ByteReader((options) => channel.read(options))
  return async <Type extends PunchMessage['type']>(type: Type): Promise<PunchMessage & { type: Type }> => {
    const frame = await bytes.frame(limits.punchMessageBytesMax, { signal })
    const message = frame && decodePunch(frame)
    if (message?.type !== type)
      throw new NetError('STREAM_BROKEN', `the other peer broke off instead of sending ${type.toUpperCase()}`)
    return message as PunchMessage & { type: Type }
  }
}

function within<T>(
  clock: Clock,
  limitMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  options: Abortable,
): Promise<T> {
  return withDeadline(clock, limitMs, 'punching a hole', work, options)
}

function nowhere(): NetError {
  return new NetError('DIAL_FAILED', 'the other peer has no address that could be dialed')
}
