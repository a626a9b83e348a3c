// potluck as a library: two peers in one process. One adds a folder, the other joins by the invite line, finds it through
// the first and reads a file from it. In a project of your own, import from 'potluck'.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPeer } from '../src/index.ts'

const folder = await mkdtemp(join(tmpdir(), 'potluck-example-'))
try {
  const photos = join(folder, 'photos')
  await mkdir(photos)
  await writeFile(join(photos, 'hello.txt'), 'hello from the first peer\n')

  const local = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false }
  await using first = await createPeer({ home: join(folder, 'first'), ...local })
  await using second = await createPeer({ home: join(folder, 'second'), ...local })

  const { cid } = await first.add(photos)
  const { line } = await first.invite()
  await second.join(line)

  for await (const entry of second.ls(cid)) console.log(entry.cid, entry.size, entry.name)
  for await (const bytes of second.cat(`${cid}/hello.txt`)) process.stdout.write(bytes)
} finally {
  await rm(folder, { recursive: true, force: true })
}
