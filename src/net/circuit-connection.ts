// A stream through a relay, dressed as a connection, so that libp2p secures and multiplexes it as any other. It carries
// bytes and passes back-pressure on; what the relay allows is counted, for whoever asks how much is left.
import type { AbortOptions, ConnectionLimits, MultiaddrConnection, Stream } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../base/clock.ts'
import type { CircuitLimits } from './circuit-messages.ts'

interface CircuitInit {
  remote: Multiaddr
  clock: Clock
  most: CircuitLimits | undefined
}

export function circuitConnection(
  stream: Stream,
  { remote, clock, most }: CircuitInit,
): { connection: MultiaddrConnection; limits: ConnectionLimits | undefined } {
  const connection = new CircuitConnection(stream, remote)
  if (!most) return { connection, limits: undefined }
  const { seconds, bytes } = most
  const endMs = clock.monotonicMs() + (seconds ?? 0) * 1000
  const left: ConnectionLimits = {
    ...(seconds !== undefined && {
      get seconds() {
        return Math.max(0, Math.round((endMs - clock.monotonicMs()) / 1000))
      },
    }),
    ...(bytes !== undefined && {
      get bytes() {
        return BigInt(Math.max(0, bytes - connection.movedBytes))
      },
    }),
  }
  return { connection, limits: left }
}

class CircuitConnection extends AbstractMultiaddrConnection {
  /** Both ways. */
  movedBytes = 0
  readonly #stream: Stream

  constructor(stream: Stream, remoteAddr: Multiaddr) {
    super({ remoteAddr, direction: stream.direction, log: stream.log.newScope('circuit') })
    this.#stream = stream
    stream.addEventListener('close', ({ error }) => this.onTransportClosed(error))
    // A connection ends as a whole: half of one is of no use to a multiplexer.
    stream.addEventListener('remoteCloseWrite', () => {
      this.onRemoteCloseWrite()
      this.close().catch((error) => this.abort(error))
    })
    stream.addEventListener('message', ({ data }) => {
      this.movedBytes += data.byteLength
      this.onData(data)
    })
    stream.addEventListener('drain', () => this.safeDispatchEvent('drain'))
  }

  sendData(data: Uint8ArrayList): { sentBytes: number; canSendMore: boolean } {
    this.movedBytes += data.byteLength
    return { sentBytes: data.byteLength, canSendMore: this.#stream.send(data) }
  }

  async sendClose(options?: AbortOptions): Promise<void> {
    await this.#stream.close(options)
  }

  sendReset(error: Error): void {
    this.#stream.abort(error)
  }

  sendPause(): void {
    this.#stream.pause()
  }

  sendResume(): void {
    this.#stream.resume()
  }
}
