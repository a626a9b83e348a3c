// A wire that tests can cut or hold: a TCP relay in front of a host. Cutting it is what a pulled cable looks like after the
// sockets notice; holding it is a peer that has stopped answering without going away.
import { connect, createServer, type Socket } from 'node:net'
import type { Host } from '../../src/net/host.ts'
import { addressOf } from './hosts.ts'

export interface Wire extends AsyncDisposable {
  /** The host's address by way of this wire. */
  readonly address: string
  cut(): void
  hold(): void
}

export async function wireTo(host: Host): Promise<Wire> {
  const sockets = new Set<Socket>()
  const address = addressOf(host)
  const port = Number(/\/tcp\/(\d+)/.exec(address)?.[1])
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const own = (server.address() as { port: number }).port
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    address: address.replace(/\/tcp\/\d+/, `/tcp/${own}`),
    cut,
    hold: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    [Symbol.asyncDispose]: async () => {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
