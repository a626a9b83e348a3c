// A pulse shows that a process lives to others on this machine that cannot see it, because they are in another container: it
// is a socket in a folder that both see, and while the process lives, however it may end, the kernel answers there. It says
// nothing to other machines, and nothing at all on a file system that has no sockets.
import { open, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { codeOf } from '../base/errors.ts'

/** Shows a pulse at the path until the returned function is called; undefined where that cannot be done. */
export async function showPulse(path: string): Promise<(() => Promise<void>) | undefined> {
  const server = createServer((asking) => asking.destroy())
  try {
    await withShortPath(path, async (short) => {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(short, resolve)
      })
    })
  } catch {
    return undefined
  }
  server.on('error', () => {}).unref()
  return async () => {
    server.close()
    await rm(path, { force: true })
  }
}

/** False only if nobody can be alive who showed a pulse at the path on this machine. */
export async function hasPulse(path: string): Promise<boolean> {
  try {
    return await withShortPath(path, async (short) => {
      const answer = await new Promise<string>((resolve) => {
        const asked = connect(short, () => resolve('connected'))
        asked.once('error', (error) => resolve(codeOf(error) ?? '')).once('close', () => resolve(''))
        asked.unref()
      })
      return answer !== 'ECONNREFUSED' && answer !== 'ENOENT'
    })
  } catch (error) {
    return codeOf(error) !== 'ENOENT'
  }
}

// The system takes about a hundred bytes as the address of a socket, and a home may lie deeper. Linux has a short name for an
// open folder; elsewhere nobody asks for a pulse.
async function withShortPath<T>(path: string, use: (short: string) => Promise<T>): Promise<T> {
  const folder = await open(dirname(path), 'r')
  try {
    return await use(join('/proc/self/fd', String(folder.fd), basename(path)))
  } finally {
    await folder.close()
  }
}
