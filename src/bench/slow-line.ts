// A line with a delay, for benchmarks: a TCP proxy that passes on every byte in order and a little later. What a handshake
// of TCP would cost on such a line is added before the first bytes, since connecting to the proxy itself costs nothing.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { systemClock } from '../base/clock.ts'

export interface SlowLine extends AsyncDisposable {
  readonly port: number
}

/** Leads to a port of this machine; a round trip takes twice `oneWayMs`. */
export async function openSlowLine(target: number, { oneWayMs }: { oneWayMs: number }): Promise<SlowLine> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true })
    const openMs = systemClock.monotonicMs() + 2 * oneWayMs
    delay(near, far, oneWayMs, openMs, sockets)
    delay(far, near, oneWayMs, openMs, sockets)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function delay(from: Socket, to: Socket, oneWayMs: number, openMs: number, sockets: Set<Socket>): void {
  sockets.add(from)
  // Timers that are due together may fire in any order: each takes what is first in line.
  const line: (() => void)[] = []
  const later = (work: () => void) => {
    line.push(work)
    systemClock.timer(Math.max(0, openMs - systemClock.monotonicMs()) + oneWayMs, () => line.shift()?.())
  }
  from.on('data', (bytes) => later(() => to.writable && to.write(bytes)))
  from.on('end', () => later(() => to.end()))
  from.on('error', () => to.destroy())
  from.on('close', () => {
    sockets.delete(from)
    later(() => to.destroy())
  })
}
