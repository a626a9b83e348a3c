// Protocols agreed on without waiting: where the answer is known beforehand (a relay speaks HOP, a peer with a place there
// speaks STOP, members secure connections alike), the question is sent, taken as answered, and the real answer is held
// against that when it comes. It costs nobody anything and saves a round trip; the other side sees plain multistream-select.
import type {
  MessageStream,
  MultiaddrConnection,
  NewStreamOptions,
  Stream,
  StreamMuxer,
  StreamMuxerFactory,
  Upgrader,
} from '@libp2p/interface'
import type { AbstractMessageStream } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { NetError } from './errors.ts'

/** For `newStream` with one protocol that the peer is known to speak. */
export const early: NewStreamOptions = { early: true } as NewStreamOptions

const header = line('/multistream/1.0.0')

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
    if (!startsAlike(this.#seen.subarray(), this.#expected)) throw this.#refused()
    if (this.#seen.byteLength < this.#expected.byteLength) return new Uint8ArrayList()
    this.#done = true
    return this.#seen.sublist(this.#expected.byteLength)
  }

  #refused(): NetError {
    const speaks = startsAlike(this.#seen.subarray(), this.#expected.subarray(0, header.byteLength))
    const why = speaks ? 'could not negotiate: it does not speak what it should' : 'it speaks something else altogether'
    return new NetError('PROTOCOL_UNSUPPORTED', why)
  }
}

/** What it is built on shows how bytes come and go. */
type Inside = Pick<AbstractMessageStream, 'onData' | 'sendData'>

/** With one way alone to secure connections there is nothing to agree on: the first question on it is taken as answered. */
export function secureEarly<C extends MultiaddrConnection>(connection: C, upgrader: Upgrader): C {
  if (upgrader.getConnectionEncrypters().size !== 1) return connection
  const inner = connection as C & Inside
  const sendData = inner.sendData.bind(inner)
  inner.sendData = (data) => {
    const question = data.slice()
    inner.sendData = sendData
    const hear = heldAgainst(connection, new AwaitedAnswer(question))
    queueMicrotask(() => hear(question))
    return sendData(data)
  }
  return connection
}

/** From now on what comes is first held against the answer. Returns how the stream heard until now. */
function heldAgainst(stream: MessageStream, answer: AwaitedAnswer): Inside['onData'] {
  const inner = stream as MessageStream & Inside
  const onData = inner.onData.bind(inner)
  inner.onData = (data) => {
    try {
      onData(answer.rest(data))
    } catch (error) {
      stream.abort(error as Error)
    }
  }
  return onData
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
  const question = Buffer.concat([header, line(protocol)])
  heldAgainst(stream, new AwaitedAnswer(question))
  // What has a protocol is not asked for it.
  stream.protocol = protocol
  stream.send(question)
  return stream
}

/** Whether the shorter of the two is the beginning of the other. */
function startsAlike(a: Uint8Array, b: Uint8Array): boolean {
  const length = Math.min(a.byteLength, b.byteLength)
  return Buffer.compare(a.subarray(0, length), b.subarray(0, length)) === 0
}

function line(text: string): Buffer {
  const bytes = Buffer.from(`${text}\n`)
  return Buffer.concat([Uint8Array.of(bytes.byteLength), bytes])
}
