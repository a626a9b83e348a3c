// potluck as a library: two peers in one process share a name. One sets it to content that it adds, the other reads both;
// then both write, each only over the version that it has seen, and the second of them is told that it came too late.
// In a project of your own, import from 'potluck'.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPeer } from '../src/index.ts'

const folder = await mkdtemp(join(tmpdir(), 'potluck-example-'))
try {
  const local = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false }
  await using first = await createPeer({ home: join(folder, 'first'), ...local })
  await using second = await createPeer({ home: join(folder, 'second'), ...local })
  const { line } = await first.invite()
  await second.join(line)

  const page = join(folder, 'handbook.txt')
  await writeFile(page, 'Be kind.\n')
  const { cid } = await first.add(page)
  // `w: 'all'`: not before both have it on their disks.
  const set = await first.names.set('team/handbook', cid, { w: 'all' })
  console.log(`set on ${set.acks} of ${set.wanted}`)

  const { value, version } = await second.names.get('team/handbook')
  console.log(`the other reads the same: ${value === cid}`)
  for await (const bytes of second.cat('team/handbook')) process.stdout.write(bytes)

  await second.names.set('team/handbook', 'closed for today', { ifVersion: version })
  try {
    await first.names.set('team/handbook', 'open for ever', { ifVersion: version })
  } catch (error) {
    console.log(`too late: ${(error as { code: string }).code}`)
  }
  console.log((await first.names.get('team/handbook', { r: 'all' })).value)
} finally {
  await rm(folder, { recursive: true, force: true })
}
