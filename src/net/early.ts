// Protocols agreed on without waiting: where the answer is known beforehand (a relay speaks HOP, a peer with a place there
// speaks STOP, members secure connections alike), the question is sent, taken as answered, and the real answer is held
// against that when it comes. It costs nobody anything and saves a round trip; the other side sees plain multistream-select.
import type { MessageStream, NewStreamOptions, Stream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import type { AbstractMessageStream } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { NetError } from './errors.ts'

/** For `newStream` with one protocol that the peer is known to speak. */
export const early: NewStreamOptions = { early: true } as NewStreamOptions

/** Takes the answer off the front of what comes, and compares it. */
export class AwaitedAnswer {
  readonly #expected: Uint8Array
  #seen = new Uint8ArrayList()
  #done = false

  constructor(expected: Uint8Array) {
    this.#expected = expected
  }

  /** What is left after the answer; nothing while it has not come whole. Throws PROTOCOL_UNSUPPORTED for another answer. */
  rest(data: Uint8Array | Uint8ArrayList): Uint8Array | Uint8ArrayList {
    if (this.#done) return data
    this.#seen.append(data)
    const length = Math.min(this.#seen.byteLength, this.#expected.byteLength)
    if (Buffer.compare(this.#seen.subarray(0, length), this.#expected.subarray(0, length)) !== 0)
      throw new NetError('PROTOCOL_UNSUPPORTED', 'could not negotiate: the other side does not speak what it should')
    if (this.#seen.byteLength < this.#expected.byteLength) return new Uint8ArrayList()
    this.#done = true
    return this.#seen.sublist(this.#expected.byteLength)
  }
}

/** A muxer factory whose streams know the `early` option. */
export function withEarlyStreams<C>(
  make: (components: C) => StreamMuxerFactory,
): (components: C) => StreamMuxerFactory {
  return (components) => {
    const factory = make(components)
    const create = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection: MessageStream) => openingEarly(create(connection))
    return factory
  }
}

function openingEarly(muxer: StreamMuxer): StreamMuxer {
  const create = muxer.createStream.bind(muxer)
  muxer.createStream = async (options) => {
    const stream = await create(options)
    const { protocol, early: isEarly } = (options ?? {}) as { protocol?: string; early?: boolean }
    return isEarly && protocol ? begun(stream, protocol) : stream
  }
  return muxer
}

function begun(stream: Stream, protocol: string): Stream {
  const question = Buffer.concat(['/multistream/1.0.0', protocol].map(line))
  const answer = new AwaitedAnswer(question)
  const inner = stream as Stream & Pick<AbstractMessageStream, 'onData'>
  const onData = inner.onData.bind(inner)
  inner.onData = (data) => {
    try {
      onData(answer.rest(data))
    } catch (error) {
      stream.abort(error as Error)
    }
  }
  // What has a protocol is not asked for it.
  stream.protocol = protocol
  stream.send(question)
  return stream
}

function line(text: string): Buffer {
  const bytes = Buffer.from(`${text}\n`)
  return Buffer.concat([Uint8Array.of(bytes.byteLength), bytes])
}
