// The start of a HOP or STOP stream: messages one at a time, each with its length before it, within a limit of size and
// time. Afterwards the stream is taken back as it is, with whatever came behind the last message still unread.
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { limits } from '../core/limits.ts'
import {
  type CircuitMessage,
  decodeHop,
  decodeStop,
  encodeHop,
  encodeStop,
  hopTypes,
  stopTypes,
} from './circuit-messages.ts'

interface Signalled {
  signal: AbortSignal
}

export interface CircuitStream {
  read(options: Signalled): Promise<CircuitMessage>
  write(message: CircuitMessage, options: Signalled): Promise<void>
  /** Answers with a status, and nothing else of it. */
  refuse(status: number, options: Signalled): Promise<void>
  /** The stream itself; there are no messages after this. */
  take(): Stream
}

export function circuitStream(stream: Stream, kind: 'hop' | 'stop'): CircuitStream {
  const messages = lpStream(stream, { maxDataLength: limits.circuitMessageBytesMax })
  const [encode, decode] = kind === 'hop' ? [encodeHop, decodeHop] : [encodeStop, decodeStop]
  const write = (message: CircuitMessage, options: Signalled) => messages.write(encode(message), options)
  return {
    read: async (options) => decode((await messages.read(options)).subarray()),
    write,
    async refuse(status, options) {
      await write({ type: kind === 'hop' ? hopTypes.status : stopTypes.status, status }, options)
      await stream.close(options)
    },
    take: () => messages.unwrap(),
  }
}
